//! Many that write at once, whatever database they share.

use std::ops::Range;

use identree_core::store::Store;
use identree_core::testkit::fakes;
use tokio::task::JoinSet;

/// Commits that arrive together, one to a question; the last of them has the store for itself and drops it.
pub(super) async fn at_once(store: impl Store + Clone, questions: Range<u64>) {
    let mut tasks = JoinSet::new();
    for n in questions {
        let store = store.clone();
        tasks.spawn(async move { store.commit(fakes::opening(n)).await });
    }
    drop(store);
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").expect("the commit succeeds");
    }
}

/// So many that open the same database at once, each with a store of its own for 25 questions, counted on from 0.
pub(super) async fn that_open<S, F>(many: u64, open: impl Fn() -> F)
where
    S: Store,
    F: Future<Output = S> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for writer in 0..many {
        let store = open();
        tasks.spawn(async move {
            let store = store.await;
            for n in 0..25 {
                store.commit(fakes::opening(writer * 25 + n)).await.expect("the commit succeeds");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}
