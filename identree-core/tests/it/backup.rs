//! A backup beside a server that writes, and its way back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use identree_core::rng::SeededEntropy;
use identree_core::store::{
    Challenges as _, CopyError, LeaseName, Leases as _, OpenError, ReplicaId, SqliteStore, Store as _,
};
use identree_core::testkit::sealing::PlainSealer;
use identree_core::testkit::{fakes, journal};
use tokio::task::JoinSet;

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        files.map(|file| file.expect("a file").file_name().into_string().expect("a plain name")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("identree.db");
    let store = SqliteStore::open(&database).await.unwrap();
    // Writers and a sealer go on throughout; each writer's numbers below its count are acknowledged.
    const WRITERS: u64 = 4;
    let acknowledged: Arc<[AtomicU64]> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
        tasks.spawn(async move {
            for n in 0.. {
                store.commit(fakes::opening(n * WRITERS + writer)).await.unwrap();
                acknowledged[usize::try_from(writer).unwrap()].store(n + 1, Ordering::Release);
            }
        });
    }
    let sealing = store.clone();
    let replica = ReplicaId::random(&SeededEntropy::new(1));
    let fence = store.hold(&LeaseName::SEAL, &replica, Duration::from_secs(600)).await.unwrap().unwrap();
    tasks.spawn(async move {
        let mut sealer = PlainSealer::open(&sealing).await;
        loop {
            sealer.step(&sealing, &fence, 50).await.unwrap();
            tokio::task::yield_now().await;
        }
    });

    for round in 1..=3_u64 {
        while acknowledged.iter().any(|count| count.load(Ordering::Acquire) < round * 60) {
            tokio::task::yield_now().await;
        }
        let before: Vec<_> = acknowledged.iter().map(|count| count.load(Ordering::Acquire)).collect();
        let copy = directory.path().join(format!("backup-{round}"));
        SqliteStore::back_up(&database, &copy).await.unwrap();
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);

        let place = tempfile::tempdir().unwrap();
        let restored = place.path().join("identree.db");
        SqliteStore::restore(&copy, &restored).await.unwrap();
        let store = SqliteStore::open(&restored).await.unwrap();
        for (writer, count) in (0..).zip(before) {
            for n in 0..count {
                let id = fakes::question(n * WRITERS + writer).id;
                assert!(store.challenge(id).await.unwrap().is_some(), "{n} of {writer} was acknowledged");
            }
        }
        // It is of one moment: each question with its event, once, and the log is a log.
        let log = PlainSealer::open(&store).await.head();
        let (sealed, waiting) = (journal::sealed(&store).await, journal::waiting(&store).await);
        assert_eq!(sealed.len() as u64, log.size);
        let ids: std::collections::BTreeSet<_> =
            sealed.iter().chain(&waiting).map(|event| event.challenge.unwrap()).collect();
        assert_eq!(ids.len(), sealed.len() + waiting.len());
        let ids: Vec<_> = ids.into_iter().collect();
        assert_eq!(store.challenges_by_id(&ids).await.unwrap().len(), ids.len());
        store.commit(fakes::opening(1_000_000)).await.unwrap();
    }
    tasks.shutdown().await;
    let left: Vec<_> = names(directory.path()).into_iter().filter(|name| !name.starts_with("identree.db")).collect();
    assert_eq!(left, ["backup-1", "backup-2", "backup-3"], "nothing unfinished is left");
}

#[tokio::test]
async fn nothing_is_overwritten_and_nothing_unfinished_is_taken_for_whole() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let store = SqliteStore::open(at("identree.db")).await.unwrap();
    store.commit(fakes::opening(1)).await.unwrap();
    std::fs::write(at("taken"), "mine").unwrap();
    let answer = SqliteStore::back_up(&at("identree.db"), &at("taken")).await;
    assert!(matches!(&answer, Err(CopyError::Exists { path }) if *path == at("taken")), "{answer:?}");
    assert_eq!(std::fs::read(at("taken")).unwrap(), b"mine");
    std::fs::write(at("half.partial"), "").unwrap();
    let answer = SqliteStore::back_up(&at("identree.db"), &at("half")).await;
    assert!(matches!(answer, Err(CopyError::Unfinished { .. })), "{answer:?}");
    let answer = SqliteStore::back_up(&at("identree.db"), &at("none/backup")).await;
    assert!(matches!(answer, Err(CopyError::File { .. })), "{answer:?}");

    let copied = SqliteStore::back_up(&at("identree.db"), &at("backup")).await.unwrap();
    assert_eq!((copied.bytes, copied.current), (std::fs::metadata(at("backup")).unwrap().len(), true));
    let answer = SqliteStore::restore(&at("backup"), &at("identree.db")).await;
    assert!(matches!(answer, Err(CopyError::Exists { .. })), "{answer:?}");
    // What another database left would be played into this one.
    std::fs::write(at("other.db-wal"), "").unwrap();
    let answer = SqliteStore::restore(&at("backup"), &at("other.db")).await;
    assert!(matches!(&answer, Err(CopyError::Exists { path }) if *path == at("other.db-wal")), "{answer:?}");
    assert!(!at("other.db").exists());
}

#[tokio::test]
async fn what_is_no_backup_of_ours_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let refused = async |name: &str| {
        let answer = SqliteStore::restore(&at(name), &at("identree.db")).await;
        assert!(!at("identree.db").exists() && !at("identree.db.partial").exists(), "{name} leaves nothing");
        match answer.expect_err("a refusal") {
            CopyError::Database(error) => error,
            other => unreachable!("{other:?}"),
        }
    };
    let answer = SqliteStore::restore(&at("missing"), &at("identree.db")).await;
    assert!(matches!(answer, Err(CopyError::Unreadable { .. })), "{answer:?}");
    std::fs::write(at("notes"), "Dear diary,\n".repeat(1000)).unwrap();
    assert!(matches!(refused("notes").await, OpenError::NotADatabase { .. }));
    std::fs::write(at("empty"), "").unwrap();
    assert!(matches!(refused("empty").await, OpenError::NotADatabase { .. }));
    super::sqlite::sql(&at("tables"), "CREATE TABLE recipes (name TEXT)").await;
    assert!(matches!(refused("tables").await, OpenError::Foreign { .. }));

    let store = SqliteStore::open(at("source")).await.unwrap();
    for n in 0..60 {
        store.commit(fakes::opening(n)).await.unwrap();
    }
    SqliteStore::back_up(&at("source"), &at("backup")).await.unwrap();
    let whole = std::fs::read(at("backup")).unwrap();
    std::fs::write(at("cut"), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(refused("cut").await, OpenError::Damaged { .. }));
    let mut spoilt = whole.clone();
    spoilt[8192..20_480].fill(0x5a);
    std::fs::write(at("spoilt"), &spoilt).unwrap();
    assert!(matches!(refused("spoilt").await, OpenError::Damaged { .. }));
    super::sqlite::sql(&at("backup"), "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)")
        .await;
    assert!(matches!(refused("backup").await, OpenError::Newer { .. }));
}
