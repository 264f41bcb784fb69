//! What appending to the log needs of it: its right edge, in memory.

use crate::audit::tree::Tree;
use crate::audit::{AuditEvent, Entry, EntryError, PERSONAL_DETAILS};
use crate::canon::sha256;
use crate::store::{Bundle, Hash, LogHead, Sealing, Store, StoreError, TILE, Tile, Unsealed};
use crate::text::hex;

/// Bytes of one salt.
pub(super) const SALT: usize = 16;

/// The head of the log, its tree and its last, short bundle.
#[derive(Debug)]
pub(super) struct Edge {
    head: LogHead,
    tree: Tree,
    last: Bundle,
}

impl Edge {
    /// Reads it, a few rows however long the log is, and checks it against the root of the head.
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let head = store.head().await?;
        let (number, short) = (head.size / TILE, head.size % TILE);
        let mut last = empty(number);
        if short > 0 {
            let found = store.bundles(number, 1).await?.pop().filter(|bundle| bundle.number == number);
            last = found.ok_or_else(|| corrupt("log_bundles", "the last bundle is not there"))?;
        }
        let entries = Entry::split(&last).map_err(|error| corrupt("log_bundles", error))?;
        let mut edge = vec![entries.iter().map(Entry::leaf_hash).collect()];
        for level in 1..Tree::levels(head.size) {
            edge.push(short_tile(store, level, head.size).await?);
        }
        let tree = Tree::restore(head.size, edge).filter(|tree| tree.root() == head.root);
        match tree {
            Some(tree) => Ok(Self { head, tree, last }),
            // Somebody else seals: the pieces are of several moments.
            None if store.head().await? != head => Err(StoreError::Conflict),
            None => Err(corrupt("log_head", "the last entries and tiles do not give the root of the log")),
        }
    }

    /// Where the log stands.
    pub(super) const fn head(&self) -> LogHead {
        self.head
    }

    /// Appends events, with [`SALT`] random bytes for each. The edge stands behind them then: if what comes back is not written, it is
    /// to be loaded anew.
    pub(super) fn append(&mut self, waiting: &[Unsealed], salts: &[u8]) -> Sealing {
        let from = self.head;
        let (mut bundles, mut tiles) = (Vec::with_capacity(waiting.len() / 256 + 1), Vec::new());
        for (unsealed, salt) in waiting.iter().zip(salts.as_chunks::<SALT>().0) {
            let leaf = append(&unsealed.event, *salt, &mut self.last);
            self.tree.push(leaf, |tile| tiles.push(tile));
            if self.tree.size().is_multiple_of(TILE) {
                let next = like(&self.last, self.tree.size() / TILE);
                bundles.push(std::mem::replace(&mut self.last, next));
            }
        }
        if !waiting.is_empty() {
            bundles.extend(Some(&self.last).filter(|last| !last.entries.is_empty()).cloned());
            tiles.extend(self.grown(from.size));
        }
        self.head = LogHead { size: self.tree.size(), root: self.tree.root(), erasures: from.erasures };
        let places = waiting.iter().map(|unsealed| unsealed.place).collect();
        Sealing { from, to: self.head, places, bundles, tiles, checkpoint: None }
    }

    /// The short tiles that are not as they were when the log had this size.
    fn grown(&self, since: u64) -> impl Iterator<Item = Tile> + '_ {
        let whole = |size: u64, level: u8| size / TILE.saturating_pow(u32::from(level));
        self.tree.short_tiles().filter(move |tile| whole(self.tree.size(), tile.level) != whole(since, tile.level))
    }
}

/// The hashes of the last, short tile of a level above 0.
async fn short_tile(store: &dyn Store, level: u8, size: u64) -> Result<Vec<Hash>, StoreError> {
    let whole = size / TILE.saturating_pow(u32::from(level));
    if whole.is_multiple_of(TILE) {
        return Ok(Vec::new());
    }
    let tile = store.tile(level, whole / TILE).await?;
    let tile = tile.ok_or_else(|| corrupt("log_tiles", "a last tile is not there"))?;
    Ok(tile.hashes.as_chunks().0.to_vec())
}

/// Appends an event as an entry, whatever its length: one that is too long keeps what it is, and says that the rest is not there.
fn append(event: &AuditEvent, salt: [u8; SALT], to: &mut Bundle) -> Hash {
    let appended = match Entry::append(event, salt, to) {
        Err(error) => Entry::append(&reduced(event, &error), salt, to),
        appended => appended,
    };
    appended.unwrap_or_else(|_| {
        let bare = AuditEvent::new(event.id, event.at, event.kind).with("reduced", "too long");
        Entry::append(&bare, salt, to).unwrap_or_else(|_| {
            // What nobody can reach: an event of an id, a time and a kind fits.
            NONE.push(to);
            NONE.leaf_hash()
        })
    })
}

const NONE: Entry = Entry { leaf: Vec::new(), personal: Vec::new() };

/// The same event without its open details, with the hash of all of it.
fn reduced(event: &AuditEvent, why: &EntryError) -> AuditEvent {
    let whole = serde_json::to_vec(event).unwrap_or_default();
    tracing::error!(event.id = %event.id, kind = event.kind.as_str(), bytes = whole.len(), "an event does not fit into the log ({why}); it is sealed without its details");
    let mut event = event.clone();
    event.details.retain(|name, _| PERSONAL_DETAILS.binary_search(&name.as_str()).is_ok());
    event.via = event.via.filter(|via| via.len() <= 256);
    event.with("reduced", why.to_string()).with("sha256", hex(&sha256(&whole)))
}

/// The next bundle, with room for as much as was in the last one.
fn like(last: &Bundle, number: u64) -> Bundle {
    let room = |part: &Vec<u8>| Vec::with_capacity(part.len() + part.len() / 8);
    Bundle { number, entries: room(&last.entries), personal: room(&last.personal) }
}

const fn empty(number: u64) -> Bundle {
    Bundle { number, entries: Vec::new(), personal: Vec::new() }
}

fn corrupt(table: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Corrupt { table, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{EventKind, EventSeq};
    use crate::store::{LeaseName, Leases as _, Log as _, MemoryStore, ReplicaId};
    use crate::testkit::fakes;
    use crate::testkit::sealing::PlainSealer;

    fn waiting(from: u64, count: u64) -> Vec<Unsealed> {
        let event = |place| fakes::event(place, EventKind::SignedIn).with("user", "ann");
        (from..from + count).map(|place| Unsealed { place, event: event(place) }).collect()
    }

    /// Appends in steps and writes each; the store's log must be readable as one after any of them.
    #[tokio::test]
    async fn an_edge_loaded_anew_goes_on_as_the_one_before() {
        let store = MemoryStore::new();
        let replica = ReplicaId::random(&crate::rng::SeededEntropy::new(1));
        let fence = store.hold(&LeaseName::SEAL, &replica, std::time::Duration::from_secs(60)).await.unwrap().unwrap();
        let (mut kept, mut size) = (Edge::load(&store).await.unwrap(), 0);
        for count in [1, 254, 1, 1, 255, 256, 1, 65_000, 23, 300] {
            let events = waiting(size, count);
            let salts = vec![3; events.len() * SALT];
            let mut fresh = Edge::load(&store).await.unwrap();
            let (sealing, again) = (kept.append(&events, &salts), fresh.append(&events, &salts));
            assert_eq!(format!("{sealing:?}"), format!("{again:?}"));
            let mut sealing = sealing;
            sealing.places.clear(); // the events were never in the journal
            store.seal(&fence, sealing).await.unwrap();
            size += count;
            assert_eq!(PlainSealer::open(&store).await.head(), kept.head());
        }
        assert_eq!(kept.head().size, size);
    }

    #[tokio::test]
    async fn a_log_that_does_not_give_its_root_is_not_appended_to() {
        let store = MemoryStore::new();
        let replica = ReplicaId::random(&crate::rng::SeededEntropy::new(1));
        let fence = store.hold(&LeaseName::SEAL, &replica, std::time::Duration::from_secs(60)).await.unwrap().unwrap();
        let mut sealing = Edge::load(&store).await.unwrap().append(&waiting(0, 3), &[0; 3 * SALT]);
        sealing.places.clear();
        sealing.to.root[0] ^= 1;
        store.seal(&fence, sealing).await.unwrap();
        assert!(matches!(Edge::load(&store).await, Err(StoreError::Corrupt { table: "log_head", .. })));
    }

    #[test]
    fn an_event_that_is_too_long_is_in_the_log_without_its_details_and_says_so() {
        let mut event = fakes::event(1, EventKind::SignInFailed).with("reason", "x".repeat(100_000));
        for n in 0..40 {
            event = event.with(&format!("open{n}"), "y".repeat(4000));
        }
        let entry = |event: &AuditEvent| {
            let mut bundle = empty(0);
            let hash = append(event, [1; SALT], &mut bundle);
            let entry = Entry::split(&bundle).unwrap().remove(0);
            assert_eq!(entry.leaf_hash(), hash);
            entry
        };
        let entry_of = entry(&event);
        let sealed = entry_of.sealed(EventSeq(0)).unwrap().event;
        assert_eq!((sealed.id, sealed.at, sealed.kind), (event.id, event.at, event.kind));
        let names: Vec<_> = sealed.details.keys().map(String::as_str).collect();
        assert_eq!(names, ["reason", "reduced", "sha256"]);
        let whole = sha256(&serde_json::to_vec(&event).unwrap());
        assert_eq!(sealed.details["sha256"], hex(&whole));

        event.via = Some("z".repeat(70_000));
        let names: Vec<_> = entry(&event).sealed(EventSeq(0)).unwrap().event.details.into_keys().collect();
        assert_eq!(names, ["reason", "reduced", "sha256"]);
    }
}
