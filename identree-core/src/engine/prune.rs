//! The beginning of the log goes when it is older than is to be kept. It is recorded before it goes.

use std::time::Duration;

use super::Engine;
use super::sweep::SWEEP_HELD;
use crate::audit::{AuditEvent, EventKind, retention};
use crate::store::{Batch, LeaseName, StoreError, TILE};

/// How long after the start it is looked the first time: a machine that has just started may not know the time yet.
pub(super) const FIRST: Duration = Duration::from_secs(3600);
/// How often it is looked.
pub(super) const EVERY: Duration = Duration::from_secs(6 * 3600);

/// Removes what is due, and says so if that did not work.
pub(super) async fn run(engine: &Engine) {
    match prune(engine).await {
        Ok(0) => {}
        Ok(entries) => tracing::info!(entries, "the beginning of the log was removed: it is older than is to be kept"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "what of the log is older than is to be kept could not be removed; trying again later"
            );
        }
    }
}

/// Of several servers one does, by a clock that is right, and nothing that a sink has not taken. Gives how many entries went.
async fn prune(engine: &Engine) -> Result<u64, StoreError> {
    let inner = &engine.0;
    let (Some(keep), Some(log)) = (inner.settings.log_retention, &inner.log) else { return Ok(0) };
    if engine.check_clock().await.is_err() {
        return Ok(0);
    }
    let Some(fence) = inner.store.hold(&LeaseName::SWEEP, &inner.replica, SWEEP_HELD).await? else { return Ok(0) };
    let Some(due) = retention::due(&*inner.store, keep, &log.readers()).await? else { return Ok(0) };
    let event = AuditEvent::new(engine.event_id(), inner.clock.now(), EventKind::LogPruned);
    let event = event.with("count", due.entries().to_string()).with("seq", (due.below * TILE).to_string());
    inner.store.commit(Batch::event(event)).await?;
    retention::prune(&*inner.store, &fence, due).await?;
    Ok(due.entries())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::{LogSettings, Origin};
    use crate::grant::LocalSigner;
    use crate::policy::RuleSet;
    use crate::rng::SeededEntropy;
    use crate::store::{Journal as _, Leases as _};
    use crate::store::{Log as _, MemoryStore, ReplicaId, Sealing, Store as _, StoredCheckpoint};
    use crate::testkit::sealing::PlainSealer;
    use crate::testkit::{fakes, journal};
    use crate::time::ManualClock;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A log of 600 events whose checkpoint is so old.
    async fn sealed(store: &MemoryStore, age: Duration) {
        for n in 0..600 {
            store.commit(Batch::event(fakes::event(n, EventKind::SignedIn))).await.unwrap();
        }
        let replica = ReplicaId::random(&SeededEntropy::new(1));
        let fence = store.hold(&LeaseName::SEAL, &replica, DAY).await.unwrap().unwrap();
        let mut sealer = PlainSealer::open(store).await;
        while sealer.step(store, &fence, 500).await.unwrap() > 0 {}
        let (from, at) = (sealer.head(), store.clock().await.unwrap() - age);
        let checkpoint = Some(StoredCheckpoint { size: from.size, at, note: String::new() });
        let sealing = Sealing { from, to: from, places: vec![], bundles: vec![], tiles: vec![], checkpoint };
        store.seal(&fence, sealing).await.unwrap();
        store.release(&fence).await.unwrap();
        assert!(store.unsealed(crate::store::Page::first(1)).await.unwrap().items.is_empty());
    }

    async fn engine(store: &Arc<MemoryStore>, clock: &Arc<ManualClock>, keep: Option<Duration>) -> Engine {
        let origin = Origin::parse("identree.example/log").unwrap();
        let log = LogSettings { signer: Arc::new(LocalSigner::from_seed(&[7; 32])), origin };
        let builder = Engine::builder().store(Arc::clone(store)).clock(Arc::clone(clock)).policy(RuleSet::permissive());
        builder.log(log).log_retention(keep).build().await.unwrap()
    }

    #[tokio::test]
    async fn what_is_older_than_is_to_be_kept_goes_and_is_recorded() {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::with_clock(Arc::clone(&clock)));
        sealed(&store, DAY * 401).await;
        let engine = engine(&store, &clock, Some(DAY * 400)).await;
        assert_eq!(store.bundles(0, 1).await.unwrap()[0].number, 0);
        clock.advance(FIRST - Duration::from_secs(1));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.bundles(0, 1).await.unwrap()[0].number, 0, "not at once after the start");
        while store.bundles(0, 1).await.unwrap()[0].number == 0 {
            clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        assert_eq!(store.bundles(0, 1).await.unwrap()[0].number, 2, "only whole bundles");
        let events = journal::recorded(&*store).await;
        let pruned: Vec<_> = events.iter().filter(|event| event.kind == EventKind::LogPruned).collect();
        assert_eq!(pruned.len(), 1);
        assert_eq!((&*pruned[0].details["count"], &*pruned[0].details["seq"]), ("512", "512"));
        drop(engine);
    }

    #[tokio::test]
    async fn nothing_goes_that_is_young_or_to_be_kept_for_ever() {
        for (age, keep) in [(DAY * 399, Some(DAY * 400)), (DAY * 4000, None)] {
            let clock = Arc::new(ManualClock::default());
            let store = Arc::new(MemoryStore::with_clock(Arc::clone(&clock)));
            sealed(&store, age).await;
            let engine = engine(&store, &clock, keep).await;
            assert_eq!(prune(&engine).await.unwrap(), 0);
            assert_eq!(store.bundles(0, 1).await.unwrap()[0].number, 0);
        }
    }
}
