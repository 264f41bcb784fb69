//! The engine's own log, from commits to an export that verifies.

use std::collections::BTreeSet;
use std::sync::Arc;

use identree_core::Engine;
use identree_core::audit::copy::{Export, export};
use identree_core::audit::verify::{Known, verify};
use identree_core::audit::{EventKind, LogSettings, Origin};
use identree_core::grant::LocalSigner;
use identree_core::store::{Batch, SqliteStore, Store as _};
use identree_core::testkit::fakes;
use identree_core::testkit::shelf::Shelf;

async fn commit(store: &SqliteStore, events: std::ops::Range<u64>) {
    for n in events {
        store
            .commit(Batch::event(fakes::event(n, EventKind::SignedIn).with("user", "ann")))
            .await
            .expect("the store takes it");
    }
}

async fn engine(store: SqliteStore, shelf: Shelf) -> Engine {
    let origin = Origin::parse("identree.example/log").expect("an origin");
    let log = LogSettings { signer: Arc::new(LocalSigner::from_seed(&[7; 32])), origin };
    Engine::builder().store(store).log(log).audit(shelf).build().await.expect("the store can be read")
}

/// Waits until so many different events are on the shelf.
async fn shelved(shelf: &Shelf, events: usize) {
    let mut calls = events;
    loop {
        let kept = shelf.kept(calls).await;
        if kept.iter().map(|event| event.seq).collect::<BTreeSet<_>>().len() == events {
            return;
        }
        calls = kept.len() + 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_engines_seal_one_after_the_other_is_one_log_that_verifies() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::new("shelf"));
    let store = SqliteStore::open(dir.path().join("log.db")).await.unwrap();
    let killed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = killed.spawn(engine(store.clone(), shelf.clone())).await.unwrap();
    commit(&store, 0..300).await;
    shelved(&shelf, 300).await;
    killed.shutdown_background(); // its tasks are gone, and its leases are held
    commit(&store, 300..700).await;
    let second = engine(store.clone(), shelf.clone()).await;
    second.log().unwrap().sealed().wait_for(|size| *size == 700).await.unwrap();
    shelved(&shelf, 700).await;
    second.shutdown().await;
    let third = engine(store.clone(), shelf.clone()).await; // without waiting for a lease
    commit(&store, 700..900).await;
    shelved(&shelf, 900).await;
    third.shutdown().await;
    drop(first);

    let mut seen = BTreeSet::new();
    let order: Vec<_> = shelf.so_far().into_iter().filter(|event| seen.insert(event.seq)).collect();
    let named: Vec<_> = order.iter().map(|event| event.event.details["n"].parse::<u64>().unwrap()).collect();
    assert_eq!(named, (0..900).collect::<Vec<_>>(), "to the sink in the order of commit");

    let (copy, log) = (dir.path().join("copy"), third.log().unwrap());
    let what = Export { key: log.key(), dir: &copy, with_personal: true, from: 0 };
    assert_eq!(export(&store, &what).await.unwrap().size, 900, "the last checkpoint has everything");
    let report = verify(&copy, log.key(), &Known { size: Some(900), ..Known::default() }).unwrap();
    assert_eq!(report.worst(), None, "{report:?}");
    assert_eq!((report.newest.unwrap().size, report.personal), (900, 900));
}
