//! A sealed log of sample events, for whoever reads one.

use std::sync::Arc;
use std::time::Duration;

use super::fakes;
use crate::audit::tree::Tree;
use crate::audit::{AuditEvent, Checkpoint, Entry, EventKind, LogKey, Origin};
use crate::grant::{LocalSigner, Signer as _};
use crate::rng::{Entropy as _, OsEntropy, SeededEntropy};
use crate::store::{
    Batch, Bundle, LeaseName, LogHead, MemoryStore, Page, ReplicaId, Sealing, Store, StoredCheckpoint, TILE,
};
use crate::time::Timestamp;

/// A store with a log, and the key it is signed with.
#[derive(Debug)]
pub struct LogOf<S = MemoryStore> {
    /// The store.
    pub store: Arc<S>,
    /// What signs.
    pub signer: LocalSigner,
    /// Which log.
    pub origin: Origin,
    made: u64,
}

impl LogOf {
    /// A log of `n` sample events in memory, with one checkpoint over all.
    pub async fn events(n: u64) -> Self {
        let mut log = Self::over(Arc::new(MemoryStore::new()));
        log.add(n).await;
        log
    }
}

impl<S: Store> LogOf<S> {
    /// The log of this store.
    ///
    /// # Panics
    /// Never.
    pub fn over(store: Arc<S>) -> Self {
        let origin = Origin::parse("identree.example/log").expect("an origin");
        Self { store, signer: LocalSigner::from_seed(&[7; 32]), origin, made: 0 }
    }

    /// The public half of its key.
    pub fn key(&self) -> LogKey {
        LogKey { origin: self.origin.clone(), key: self.signer.public_key() }
    }

    /// Adds `n` sample events, each 10 ms after the one before, and seals them under one checkpoint. Every third tells of nobody.
    ///
    /// # Panics
    /// If the store does not take them.
    pub async fn add(&mut self, n: u64) {
        let events: Vec<_> = (self.made..self.made + n).map(sample).collect();
        self.made += n;
        self.put(events).await;
    }

    /// Adds these events and seals them under one checkpoint, signed a second after the last of them.
    ///
    /// # Panics
    /// If the store does not take them.
    pub async fn put(&mut self, events: Vec<AuditEvent>) {
        let at = events.last().map_or(fakes::START, |event| event.at) + Duration::from_secs(1);
        for event in events {
            self.store.commit(Batch::event(event)).await.expect("a store takes an event");
        }
        self.seal(at).await;
    }

    /// Seals what stands in the journal, with a checkpoint of this time.
    ///
    /// # Panics
    /// If the store does not take it.
    pub async fn seal(&self, at: Timestamp) {
        let holder = ReplicaId::random(&OsEntropy);
        let fence = self.store.hold(&LeaseName::SEAL, &holder, Duration::from_secs(60)).await.expect("a lease");
        let fence = fence.expect("nobody else seals");
        let from = self.store.head().await.expect("a head");
        let (mut tree, mut last) = restored(&*self.store, from).await;
        let (mut places, mut bundles, mut tiles) = (Vec::new(), Vec::new(), Vec::new());
        let mut page = Page::first(1000);
        loop {
            let waiting = self.store.unsealed(page).await.expect("a journal");
            for unsealed in waiting.items {
                let mut salt = [0; 16];
                SeededEntropy::new(tree.size()).fill(&mut salt);
                let entry = Entry::of(&unsealed.event, salt).expect("an entry");
                entry.push(&mut last);
                tree.push(entry.leaf_hash(), |tile| tiles.push(tile));
                places.push(unsealed.place);
                if tree.size().is_multiple_of(TILE) {
                    let next = Bundle { number: tree.size() / TILE, entries: vec![], personal: vec![] };
                    bundles.push(std::mem::replace(&mut last, next));
                }
            }
            let Some(next) = waiting.next else { break };
            page.after = Some(next);
        }
        bundles.extend((!last.entries.is_empty()).then_some(last));
        tiles.extend(tree.short_tiles());
        let to = LogHead { size: tree.size(), root: tree.root(), ..from };
        let signed = Checkpoint { origin: self.origin.clone(), size: to.size, root: to.root, signed_at: Some(at) };
        let note = signed.sign(&self.signer).await.expect("a signature");
        let checkpoint = Some(StoredCheckpoint { size: to.size, at, note });
        let sealing = Sealing { from, to, places, bundles, tiles, checkpoint };
        self.store.seal(&fence, sealing).await.expect("the store takes it");
        self.store.release(&fence).await.expect("the lease is given back");
    }
}

/// The tree and the last bundle of a stored log.
async fn restored(store: &impl Store, head: LogHead) -> (Tree, Bundle) {
    let number = head.size / TILE;
    let found = store.bundles(number, 1).await.expect("a bundle").into_iter().next();
    let last = found.unwrap_or(Bundle { number, entries: vec![], personal: vec![] });
    let leaves = Entry::leaves(number, &last.entries).expect("a whole bundle");
    let mut edge = vec![leaves.into_iter().map(crate::audit::leaf_hash).collect::<Vec<_>>()];
    for level in 1..Tree::levels(head.size) {
        let whole = head.size / TILE.pow(u32::from(level));
        let tile = store.tile(level, whole / TILE).await.expect("a tile");
        let mut hashes = tile.map_or_else(Vec::new, |tile| tile.hashes.as_chunks().0.to_vec());
        hashes.truncate(usize::try_from(whole % TILE).expect("small"));
        edge.push(hashes);
    }
    (Tree::restore(head.size, edge).expect("a tree that fits"), last)
}

/// Sample event number `n`, 10 ms after the one before: a question, its approval, and a policy that tells of nobody.
pub fn sample(n: u64) -> AuditEvent {
    let at = fakes::START + Duration::from_millis(10 * n);
    let kind = [EventKind::ChallengeCreated, EventKind::ChallengeApproved, EventKind::HostAdded]
        [usize::try_from(n % 3).unwrap_or(0)];
    let mut event = AuditEvent { at, ..fakes::event(n, kind) };
    event.target = Some(fakes::host("web-1.example"));
    if n % 3 < 2 {
        let question = fakes::question(n / 3);
        event.challenge = Some(question.id);
        event.subject = Some(fakes::user(if n.is_multiple_of(2) { "ann" } else { "eve" }));
        event.actor = (n % 3 == 1).then(|| fakes::user("bob"));
        event.details.insert("command".into(), format!("systemctl restart unit-{n}"));
    }
    event
}
