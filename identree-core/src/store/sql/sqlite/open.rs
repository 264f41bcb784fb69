//! Opening the file: whose it is, whether it is whole, and bringing its schema up to date.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _, SqlitePool};
use sea_orm::{DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait as _};
use sea_orm_migration::MigratorTrait as _;

use super::super::migration::Migrator;
use super::error::{OpenError, open as failed};
use super::{log_write, statements};

/// `IDNT`, in the header of every file of ours (<https://sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION_ID: i32 = 0x4944_4e54;
/// Files up to this size are read as a whole before they are used.
const WHOLLY_CHECKED_BYTES: u64 = 64 * 1024 * 1024;
/// The smallest page of a database, and so the smallest file.
const SMALLEST_BYTES: u64 = 512;
/// How long another process may hold the write lock before we give up.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// What the connection that writes keeps of the file in memory, at most, in KiB: the ends of every index of a long history.
const CACHE_KIB: i32 = 16 * 1024;
/// Pages in the write-ahead log at which a commit moves them into the file itself, if no idle moment came before: 32 MiB.
const CHECKPOINT_PAGES: u32 = 8000;

/// Checks, creates or upgrades the file; gives the options of connections that read, and the connection that writes.
pub(super) async fn open(path: &Path) -> Result<(SqliteConnectOptions, Connection), OpenError> {
    let file = |source| OpenError::File { path: path.to_owned(), source };
    let directory = lock_directory(path).await.map_err(file)?;
    let Some(size) = create(path, &directory).map_err(file)? else {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    };
    let plain = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut connection = plain.connect().await.map_err(|error| failed(path, error))?;
    identify(path, &mut connection).await?;
    if size <= WHOLLY_CHECKED_BYTES {
        check(path, &mut connection).await?;
    }
    connection.close().await.map_err(|error| failed(path, error))?;

    // Only now is anything but our own mark written.
    let options = plain.journal_mode(SqliteJournalMode::Wal);
    migrate(path, &options).await?;
    let connection =
        writer(path).map_err(|source| OpenError::Unavailable { path: path.to_owned(), source: source.into() })?;
    drop(directory);
    Ok((options, connection))
}

/// A connection that writes, to a file that is open already: [`open`] has checked it and set its write-ahead log.
pub(super) fn writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(statements::COUNT + log_write::COUNT);
    Ok(connection)
}

/// A connection that only reads, to a file that is open already.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    // What only reads must still be able to write the index of the write-ahead log (<https://sqlite.org/wal.html>, section 6).
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", "ON")?;
    Ok(connection)
}

/// The connections that read.
pub(super) fn readers(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(4)
        .test_before_acquire(false)
        .connect_lazy_with(options.pragma("query_only", "ON"))
}

/// Keeps other processes from opening a file of this directory until the handle is dropped: the change to a write-ahead log
/// does not wait for others as all else does.
async fn lock_directory(path: &Path) -> std::io::Result<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = File::open(parent)?;
    let locked = tokio::task::spawn_blocking(move || {
        if let Err(error) = directory.lock() {
            tracing::debug!(%error, "this file system has no locks on directories; opening without");
        }
        directory
    });
    locked.await.map_err(std::io::Error::other)
}

/// Makes an empty file that only this user can read, unless there is one; gives its size, or `None` if it is too short to be
/// a database. (SQLite takes a file shorter than a page for an empty database, and would write over it.)
///
/// A file that exists is not opened here: closing it would drop the locks of this process's other connections to it
/// (<https://sqlite.org/howtocorrupt.html>, section 2.2).
fn create(path: &Path, directory: &File) -> std::io::Result<Option<u64>> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            directory.sync_all()?; // the name is durable too
            Ok(Some(0))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let found = std::fs::metadata(path)?;
            match (found.is_file(), found.len()) {
                (false, _) => Err(std::io::Error::other("it is not a regular file")),
                (true, 1..SMALLEST_BYTES) => Ok(None),
                (true, size) => Ok(Some(size)),
            }
        }
        Err(error) => Err(error),
    }
}

/// Refuses what is not ours, before the first write; marks a new file.
async fn identify(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let error = |error| failed(path, error);
    // One look, while no other process is half-way through making the same file.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(error)?;
    if whose(path, &mut transaction).await? != Whose::Nobodys {
        return Ok(());
    }
    let mark = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    sqlx::query(mark).execute(&mut *transaction).await.map_err(error)?;
    transaction.commit().await.map_err(error)
}

/// Whose a file is that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// It is empty.
    Nobodys,
    /// Whether every step of the schema was done.
    Ours { current: bool },
}

/// Refuses another program's file, and a newer version's.
pub(super) async fn whose(path: &Path, connection: &mut SqliteConnection) -> Result<Whose, OpenError> {
    let error = |error| failed(path, error);
    let id: i32 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(error)?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&mut *connection).await.map_err(error)?;
    if id == 0 && tables.is_empty() {
        return Ok(Whose::Nobodys);
    }
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if !tables.iter().any(|name| name == "seaql_migrations") {
        return Ok(Whose::Ours { current: false });
    }
    let applied: Vec<String> = sqlx::query_scalar("SELECT version FROM seaql_migrations ORDER BY version DESC")
        .fetch_all(&mut *connection)
        .await
        .map_err(error)?;
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let newer = applied.iter().find(|name| !known.contains(name)).cloned();
    match newer {
        Some(found) => Err(OpenError::Newer { path: path.to_owned(), found }),
        None => Ok(Whose::Ours { current: applied.len() == known.len() }),
    }
}

/// Looks through the whole file for damage.
pub(super) async fn check(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let verdict: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(|error| failed(path, error))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), detail: verdict }) }
}

/// Runs the missing steps in one transaction that excludes every other writer: two processes that open a new file at the
/// same time do not get into each other's way.
async fn migrate(path: &Path, options: &SqliteConnectOptions) -> Result<(), OpenError> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let database = DatabaseConnection::from(pool.clone());
    let steps = async {
        let immediate = SqliteTransactionMode::Immediate;
        let transaction = database
            .begin_with_options(TransactionOptions { sqlite_transaction_mode: Some(immediate), ..Default::default() })
            .await?;
        Migrator::up(&transaction, None).await?;
        transaction.commit().await
    };
    let done: Result<(), DbErr> = steps.await;
    pool.close().await;
    done.map_err(|source| OpenError::Unavailable { path: path.to_owned(), source: source.into() })
}
