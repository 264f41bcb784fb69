//! The plainest sealer: what the engine's does, one step at a time, for tests of stores.

use crate::audit::Entry;
use crate::audit::tree::Tree;
use crate::rng::{self, SeededEntropy};
use crate::store::{Bundle, Fence, LogHead, Page, Sealing, Store, StoreError, TILE};

/// Moves events from the journal into the log. It knows the tree, and nothing of checkpoints.
#[derive(Debug)]
pub struct PlainSealer {
    head: LogHead,
    tree: Tree,
    last: Bundle,
}

impl PlainSealer {
    /// Reads the whole log.
    ///
    /// # Panics
    /// If it cannot be read, has gaps, or its bundles do not give the size and the root that its head says.
    pub async fn open(store: &(impl Store + ?Sized)) -> Self {
        let head = store.head().await.expect("the head can be read");
        let (mut tree, mut next) = (Tree::new(), 0);
        let mut last = empty(0);
        loop {
            let bundles = store.bundles(next, 100).await.expect("the log can be read");
            if bundles.is_empty() {
                break;
            }
            for bundle in bundles {
                assert_eq!(bundle.number, next, "bundles are there without gaps");
                let entries = Entry::split(&bundle).expect("a bundle is whole");
                entries.iter().for_each(|entry| tree.push(entry.leaf_hash(), drop));
                next += 1;
                last = bundle;
            }
        }
        assert_eq!((tree.size(), tree.root()), (head.size, head.root), "the head is that of the bundles");
        if tree.size().is_multiple_of(TILE) {
            last = empty(tree.size() / TILE);
        }
        Self { head, tree, last }
    }

    /// Where the log stands.
    pub const fn head(&self) -> LogHead {
        self.head
    }

    /// Seals at most `limit` events; gives how many.
    ///
    /// # Errors
    /// Those of [`Log::seal`](crate::store::Log::seal); then it is to be opened anew.
    ///
    /// # Panics
    /// If an event is no entry.
    pub async fn step(
        &mut self,
        store: &(impl Store + ?Sized),
        fence: &Fence,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let waiting = store.unsealed(Page::first(limit)).await?.items;
        if waiting.is_empty() {
            return Ok(0);
        }
        let (mut bundles, mut tiles) = (Vec::new(), Vec::new());
        for unsealed in &waiting {
            let salt = rng::bytes(&SeededEntropy::new(self.tree.size()));
            let entry = Entry::of(&unsealed.event, salt).expect("an event is an entry");
            entry.push(&mut self.last);
            self.tree.push(entry.leaf_hash(), |tile| tiles.push(tile));
            if self.tree.size().is_multiple_of(TILE) {
                bundles.push(std::mem::replace(&mut self.last, empty(self.tree.size() / TILE)));
            }
        }
        if !self.last.entries.is_empty() {
            bundles.push(self.last.clone());
        }
        tiles.extend(self.tree.short_tiles());
        let to = LogHead { size: self.tree.size(), root: self.tree.root(), erasures: self.head.erasures };
        let places = waiting.iter().map(|unsealed| unsealed.place).collect();
        store.seal(fence, Sealing { from: self.head, to, places, bundles, tiles, checkpoint: None }).await?;
        self.head = to;
        Ok(waiting.len())
    }
}

const fn empty(number: u64) -> Bundle {
    Bundle { number, entries: Vec::new(), personal: Vec::new() }
}
