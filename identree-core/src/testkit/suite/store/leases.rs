//! Leases: one holder at a time, and a number that rises with each change of hands.

use super::*;
use crate::rng::SeededEntropy;
use crate::store::{Fence, LeaseName, ReplicaId};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// Server number `n`.
pub(super) fn replica(n: u64) -> ReplicaId {
    ReplicaId::random(&SeededEntropy::new(n))
}

async fn ask(store: &AnyStore, lease: &LeaseName, n: u64, ttl: Duration) -> Option<Fence> {
    store.hold(lease, &replica(n), ttl).await.expect("a lease can be asked for")
}

/// Gets a lease that is free.
pub(super) async fn held(store: &AnyStore, lease: &LeaseName, n: u64) -> Fence {
    ask(store, lease, n, LONG).await.expect("the lease is free")
}

/// A lease that is held is refused to others; its holder keeps it, with the same number.
pub async fn a_lease_has_one_holder_who_keeps_its_number(store: AnyStore) {
    let lease = LeaseName::SEAL;
    let fence = held(&store, &lease, 1).await;
    assert_eq!((&fence.lease, &fence.holder), (&lease, &replica(1)));
    assert_eq!(ask(&store, &lease, 2, LONG).await, None);
    assert_eq!(ask(&store, &lease, 1, LONG).await, Some(fence.clone()));
    assert_eq!(ask(&store, &lease, 2, LONG).await, None);
    assert_eq!(ask(&store, &lease, 1, LONG).await, Some(fence));
}

/// A lease that nobody kept goes to whoever asks next, with a higher number; the one who had it is refused from then on.
pub async fn a_lease_that_ended_goes_to_whoever_asks(store: AnyStore) {
    let lease = LeaseName::SWEEP;
    let first = ask(&store, &lease, 1, SHORT).await.expect("the lease is free");
    let second = loop {
        if let Some(fence) = ask(&store, &lease, 2, LONG).await {
            break fence;
        }
        tokio::task::yield_now().await;
    };
    assert!(second.number > first.number, "{} follows {}", second.number, first.number);
    assert_eq!(second.holder, replica(2));
    assert_eq!(ask(&store, &lease, 1, LONG).await, None);
}

/// Whoever keeps a lease keeps it from the moment of asking: a shorter time ends sooner.
pub async fn keeping_a_lease_sets_its_end_anew(store: AnyStore) {
    let lease = LeaseName::SEAL;
    held(&store, &lease, 1).await;
    ask(&store, &lease, 1, SHORT).await.expect("it is theirs");
    while ask(&store, &lease, 2, LONG).await.is_none() {
        tokio::task::yield_now().await;
    }
}

/// A lease given back is free at once; giving back one that somebody else has got meanwhile leaves it theirs.
pub async fn a_lease_given_back_is_free_and_a_lost_one_stays_lost(store: AnyStore) {
    let lease = LeaseName::sink("splunk");
    let first = held(&store, &lease, 1).await;
    store.release(&first).await.expect("it can be given back");
    let second = held(&store, &lease, 2).await;
    assert!(second.number > first.number, "{} follows {}", second.number, first.number);
    store.release(&first).await.expect("giving back late is no error");
    assert_eq!(ask(&store, &lease, 1, LONG).await, None);
    assert_eq!(ask(&store, &lease, 2, LONG).await, Some(second));
}

/// Of many who ask at once exactly one gets it.
pub async fn of_many_who_ask_exactly_one_gets_a_lease(store: AnyStore) {
    let mut tasks = JoinSet::new();
    for n in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { ask(&store, &LeaseName::SEAL, n, LONG).await });
    }
    let mut got = Vec::new();
    while let Some(done) = tasks.join_next().await {
        got.extend(done.expect("no task panics"));
    }
    assert_eq!(got.len(), 1);
    assert_eq!(store.hold(&LeaseName::SEAL, &got[0].holder, LONG).await.expect("it can be asked for"), got.pop());
}

/// Leases of different names have nothing to do with each other.
pub async fn leases_are_apart_by_name(store: AnyStore) {
    held(&store, &LeaseName::SEAL, 1).await;
    held(&store, &LeaseName::SWEEP, 2).await;
    held(&store, &LeaseName::sink("a"), 3).await;
    let other = held(&store, &LeaseName::sink("b"), 4).await;
    store.release(&other).await.expect("it can be given back");
    assert_eq!(ask(&store, &LeaseName::sink("a"), 4, LONG).await, None);
}

/// The store tells the time: it is the machine's, more or less, and does not stand still.
pub async fn the_store_has_a_clock(store: AnyStore) {
    let clock = || async { store.clock().await.expect("the clock can be read") };
    let first = clock().await;
    assert!(first > START, "{first:?} is not the time");
    while clock().await <= first {
        tokio::task::yield_now().await;
    }
}
