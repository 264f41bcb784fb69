//! A database that an earlier release wrote is brought up to date when it is opened, and keeps everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::ChallengeId;
use identree_core::rng::SeededEntropy;
use identree_core::store::{
    Batch, ChallengeFilter, Challenges as _, Collection, Documents as _, LeaseName, Leases as _, Log as _, LogHead,
    Page, ReplicaId, SqliteStore, Store as _,
};
use identree_core::testkit::sealing::PlainSealer;
use identree_core::testkit::{fakes, journal};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};

/// What [`SqliteStore`] of the first release had written.
const M0001: &str = include_str!("released/m0001.sql");

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.expect("a database")
}

async fn released(directory: &Path, text: &'static str) -> PathBuf {
    let path = directory.join("released");
    let mut connection = connect(&path).await;
    sqlx::raw_sql(text).execute(&mut connection).await.expect("valid statements");
    connection.close().await.expect("closing works");
    path
}

async fn steps(path: &Path) -> Vec<String> {
    let mut connection = connect(path).await;
    let steps = sqlx::query_scalar("SELECT version FROM seaql_migrations ORDER BY version");
    steps.fetch_all(&mut connection).await.expect("the steps can be read")
}

/// The numbers of the events of a list.
fn numbers(events: &[AuditEvent]) -> Vec<u64> {
    events.iter().map(|event| event.details["n"].parse().expect("a number")).collect()
}

#[tokio::test]
async fn the_first_release_is_brought_up_to_date_and_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = released(directory.path(), M0001).await;
    assert_eq!(steps(&path).await, ["m0001_start"]);
    // A copy made before the update, by this version, is still the old one's.
    let copy = directory.path().join("copy");
    assert!(!SqliteStore::back_up(&path, &copy).await.unwrap().current);
    assert_eq!(
        (steps(&copy).await, steps(&path).await),
        (vec!["m0001_start".to_owned()], vec!["m0001_start".to_owned()])
    );

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(steps(&path).await, ["m0001_start", "m0002_log"]);

    let asked = |n| fakes::pending(n);
    let expired = fakes::expired(&asked(1), fakes::START + Duration::from_secs(120));
    let partly = fakes::partly_approved(&asked(2), "ben", fakes::START);
    let all = [fakes::approved(&asked(0), "ben", fakes::START), expired, partly, asked(3), asked(4)];
    let mut found = store.challenges(&ChallengeFilter::default(), Page::first(10)).await.unwrap().items;
    found.reverse();
    assert_eq!(found, all);
    let hosts = store.documents(Collection("hosts"), fakes::START, Page::first(10)).await.unwrap().items;
    let hosts: Vec<_> = hosts.iter().map(|host| (&*host.key, host.revision)).collect();
    assert_eq!(hosts, [("web-1.example", 2), ("db-1.example", 2)]);
    let sessions = store.documents(Collection("web-sessions"), fakes::START, Page::first(10)).await.unwrap().items;
    assert_eq!(sessions[0].expires_at, Some(fakes::START + Duration::from_secs(60)));
    assert_eq!(sessions[0].bytes, "{\"name\":\"s1\",\"ü\":1}".as_bytes());

    // What the first release had recorded is sealed, in its order, and the log goes on.
    assert_eq!(store.head().await.unwrap(), LogHead::EMPTY);
    let replica = ReplicaId::random(&SeededEntropy::new(1));
    let fence = store.hold(&LeaseName::SEAL, &replica, Duration::from_secs(60)).await.unwrap().unwrap();
    let before = journal::waiting(&store).await;
    assert_eq!(numbers(&before), [0, 1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(before[1].challenge, Some(fakes::question(0).id));
    let mut sealer = PlainSealer::open(&store).await;
    assert_eq!(sealer.step(&store, &fence, 100).await.unwrap(), 8);
    store.commit(Batch::event(fakes::event(9, EventKind::SignedIn))).await.unwrap();
    assert_eq!(sealer.step(&store, &fence, 100).await.unwrap(), 1);
    drop(store);
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(numbers(&journal::sealed(&store).await), [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    assert_eq!(PlainSealer::open(&store).await.head(), sealer.head());
}

#[tokio::test]
async fn a_new_file_has_every_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new");
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(steps(&path).await, ["m0001_start", "m0002_log"]);
    assert_eq!(store.challenge(ChallengeId::from_bytes([0; 16])).await.unwrap(), None);
    assert_eq!(store.head().await.unwrap(), LogHead::EMPTY);
}
