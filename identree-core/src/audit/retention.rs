//! How long the log is kept: whole bundles at its beginning go once they are old and every sink has them.

use std::time::Duration;

use crate::store::{Fence, ReaderName, Store, StoreError, TILE};

/// So many bundles go in one transaction: commits wait for it.
const AT_ONCE: u64 = 64;
/// So many go in one run, a million entries: a clock that is years ahead does not take the whole log at once.
const IN_ALL: u64 = 4096;
/// So many checkpoints are read at once, and so many times at most.
const PAGE: u32 = 1000;
const PAGES: u32 = 20;

/// What may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The number of the first bundle that is there.
    pub first: u64,
    /// The bundles below this number go.
    pub below: u64,
}

impl Due {
    /// How many entries that is.
    pub const fn entries(self) -> u64 {
        (self.below - self.first) * TILE
    }
}

/// Which bundles at the beginning of the log were sealed longer ago than `keep`, by the store's clock, and were taken by each of these
/// readers; none if nothing is due.
///
/// # Errors
/// [`StoreError`] if it cannot be told.
pub async fn due(store: &dyn Store, keep: Duration, readers: &[ReaderName]) -> Result<Option<Due>, StoreError> {
    let Some(first) = store.bundles(0, 1).await?.first().map(|bundle| bundle.number) else { return Ok(None) };
    let mut taken = u64::MAX;
    for reader in readers {
        taken = taken.min(store.cursor(reader).await?);
    }
    let before = store.clock().await? - keep;
    // From the beginning: one checkpoint that was signed while the clock was wrong does not make older what stands before it.
    let (mut old, mut from) = (0, first * TILE);
    for _ in 0..PAGES {
        let page = store.checkpoints(from, PAGE).await?;
        let fits = page.iter().take_while(|one| one.at < before && one.size <= taken);
        let Some(last) = fits.clone().last() else { break };
        (old, from) = (last.size, last.size + 1);
        if fits.count() < PAGE as usize {
            break;
        }
    }
    let below = (old / TILE).min(first + IN_ALL);
    Ok((below > first).then_some(Due { first, below }))
}

/// Removes what is due, a little at a time.
///
/// # Errors
/// [`StoreError::Conflict`] if the fence is not the newest of its lease; the others as they come.
pub async fn prune(store: &dyn Store, fence: &Fence, due: Due) -> Result<(), StoreError> {
    let mut below = due.first;
    while below < due.below {
        below = due.below.min(below + AT_ONCE);
        store.prune(fence, below).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rng::SeededEntropy;
    use crate::store::{Bundle, LeaseName, LogHead, MemoryStore, ReplicaId, Sealing, StoredCheckpoint};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A log whose checkpoints were signed so many days ago, each at the end of a bundle.
    async fn log(days: &[u32]) -> (Arc<dyn Store>, Fence) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let replica = ReplicaId::random(&SeededEntropy::new(1));
        let fence = store.hold(&LeaseName::SWEEP, &replica, DAY).await.unwrap().unwrap();
        let (mut from, now) = (LogHead::EMPTY, store.clock().await.unwrap());
        for (number, days) in (0..).zip(days) {
            let to = LogHead { size: (number + 1) * TILE, ..from };
            let bundles = vec![Bundle { number, entries: vec![], personal: vec![] }];
            let checkpoint = Some(StoredCheckpoint { size: to.size, at: now - DAY * *days, note: String::new() });
            let sealing = Sealing { from, to, places: vec![], bundles, tiles: vec![], checkpoint };
            store.seal(&fence, sealing).await.unwrap();
            from = to;
        }
        (store, fence)
    }

    async fn first(store: &Arc<dyn Store>) -> u64 {
        store.bundles(0, 1).await.unwrap()[0].number
    }

    #[tokio::test]
    async fn what_is_old_goes_and_nothing_else() {
        let (store, fence) = log(&[500, 450, 401, 399, 10, 0]).await;
        let found = due(&*store, DAY * 400, &[]).await.unwrap().unwrap();
        assert_eq!((found, found.entries()), (Due { first: 0, below: 3 }, 768));
        prune(&*store, &fence, found).await.unwrap();
        assert_eq!(first(&store).await, 3);
        assert_eq!(due(&*store, DAY * 400, &[]).await.unwrap(), None);
        assert_eq!(due(&*store, DAY * 398, &[]).await.unwrap(), Some(Due { first: 3, below: 4 }));
    }

    #[tokio::test]
    async fn a_sink_that_lags_keeps_what_it_has_not_taken() {
        let (store, fence) = log(&[500, 450, 420, 0]).await;
        let sinks = ["splunk", "loki"].map(|name| ReaderName(name.into()));
        assert_eq!(due(&*store, DAY * 400, &sinks).await.unwrap(), None, "neither has read anything");
        store.advance(&fence, &sinks[0], 4 * TILE).await.unwrap();
        store.advance(&fence, &sinks[1], 2 * TILE + 9).await.unwrap();
        let found = due(&*store, DAY * 400, &sinks).await.unwrap();
        assert_eq!(found, Some(Due { first: 0, below: 2 }));
        prune(&*store, &fence, found.unwrap()).await.unwrap();
        assert_eq!(store.cursor(&sinks[1]).await.unwrap(), 2 * TILE + 9);
    }

    #[tokio::test]
    async fn a_checkpoint_of_a_wrong_clock_makes_nothing_older() {
        let (store, _) = log(&[410, 30, 5000, 20, 0]).await;
        assert_eq!(due(&*store, DAY * 400, &[]).await.unwrap(), Some(Due { first: 0, below: 1 }));
    }

    #[tokio::test]
    async fn an_empty_log_owes_nothing() {
        let (store, _) = log(&[]).await;
        assert_eq!(due(&*store, Duration::ZERO, &[]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_long_backlog_goes_in_steps() {
        let (store, fence) = log(&[500; 300]).await;
        let found = due(&*store, DAY * 400, &[]).await.unwrap().unwrap();
        assert_eq!(found, Due { first: 0, below: 300 });
        prune(&*store, &fence, found).await.unwrap();
        assert!(store.bundles(0, 1).await.unwrap().is_empty());
        assert_eq!(store.last_checkpoint().await.unwrap().unwrap().size, 300 * TILE);
    }
}
