//! What SQLite adds to the suite: which files are refused, who may read them, several writers, and that commits are grouped.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use identree_core::store::{Challenges as _, Journal as _, OpenError, Page, SqliteStore, Store as _};
use identree_core::testkit::fakes;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};

use crate::writers;

/// Runs statements as another program would.
pub(super) async fn sql(path: &Path, statements: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("a database");
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("valid statements");
    connection.close().await.expect("closing works");
}

/// The text of the refusal, and that the file is as it was.
async fn refused(path: &Path) -> OpenError {
    let before = std::fs::read(path).expect("the file is there");
    let error = SqliteStore::open(path).await.expect_err("a refusal");
    assert_eq!(std::fs::read(path).expect("the file is there"), before, "the file is left as it was");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error} names the file");
    error
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_in(directory.path()).await.unwrap();
    store.commit(fakes::opening(1)).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 2, "the file and its log");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_in(directory.path()).await.unwrap();
    store.commit(fakes::opening(1)).await.unwrap();
    drop(store);
    let store = SqliteStore::open_in(directory.path()).await.unwrap();
    assert_eq!(store.challenge(fakes::question(1).id).await.unwrap().unwrap(), fakes::pending(1));
    assert_eq!(store.unsealed(Page::first(10)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = SqliteStore::open_in(&directory.path().join("none")).await.unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
    assert!(error.to_string().contains("check that the directory exists"), "{error}");
    let error = SqliteStore::open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_not_a_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes");
    for content in ["x".to_owned(), "Dear diary,\n".repeat(3), "Dear diary,\n".repeat(1000)] {
        std::fs::write(&path, content).unwrap();
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let tables = directory.path().join("tables");
    sql(&tables, "CREATE TABLE recipes (name TEXT)").await;
    let error = refused(&tables).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    let marked = directory.path().join("marked");
    sql(&marked, "PRAGMA application_id = 7").await;
    let error = refused(&marked).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("newer");
    drop(SqliteStore::open(&path).await.unwrap());
    sql(&path, "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)").await;
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(&error, OpenError::Newer { found, .. } if found == "m9999_future"), "{error:?}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged");
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..50 {
        store.commit(fakes::opening(n)).await.unwrap();
    }
    drop(store);
    sql(&path, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE").await;
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0x5a; usize::try_from(length).unwrap() - 4096]).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_truncated_file_is_refused_and_not_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("short");
    let store = SqliteStore::open(&path).await.unwrap();
    store.commit(fakes::opening(1)).await.unwrap();
    drop(store);
    sql(&path, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE").await;
    let whole = std::fs::read(&path).unwrap();
    for length in [100, 1000, 4096, 9000, whole.len() - 4096] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::NotADatabase { .. } | OpenError::Damaged { .. }), "{length}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_open_a_new_file_at_once_and_all_write_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shared");
    writers::that_open(8, || {
        let path = path.clone();
        async move { SqliteStore::open(path).await.unwrap() }
    })
    .await;
    let store = SqliteStore::open(path).await.unwrap();
    assert_eq!(store.unsealed(Page::first(1000)).await.unwrap().items.len(), 200);
    for n in 0..200 {
        assert!(store.challenge(fakes::question(n).id).await.unwrap().is_some(), "{n}");
    }
}

#[tokio::test]
async fn commits_that_arrive_together_share_a_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_in(directory.path()).await.unwrap();
    writers::at_once(store.clone(), 0..200).await;
    let transactions = store.transactions();
    assert!((1..=20).contains(&transactions), "{transactions} transactions for 200 commits");
    assert_eq!(store.unsealed(Page::first(1000)).await.unwrap().items.len(), 200);
}

#[tokio::test]
async fn a_store_that_is_dropped_still_writes_what_was_queued() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_in(directory.path()).await.unwrap();
    writers::at_once(store, 0..20).await;
    let store = SqliteStore::open_in(directory.path()).await.unwrap();
    assert_eq!(store.unsealed(Page::first(1000)).await.unwrap().items.len(), 20);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt_and_not_missing() {
    use identree_core::store::StoreError;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd");
    let store = SqliteStore::open(&path).await.unwrap();
    store.commit(fakes::opening(1)).await.unwrap();
    sql(&path, "UPDATE challenges SET record = '{}'").await;
    let answer = store.challenge(fakes::question(1).id).await;
    assert!(matches!(answer, Err(StoreError::Corrupt { table: "challenges", .. })), "{answer:?}");
}
