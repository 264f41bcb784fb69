//! A store in one SQLite file.
//!
//! All writes of a process go through one task ([`writer`]) that puts whatever is queued into one durable transaction.
//! Reads use a small pool of connections of their own and never wait for it (write-ahead log). Other processes may write
//! to the same file meanwhile.

mod backup;
mod checkpoint;
mod error;
mod journal;
mod log;
mod log_write;
mod open;
mod read;
mod statements;
mod transaction;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use sea_orm::sqlx::SqlitePool;

pub use self::backup::{Copied, CopyError};
pub use self::error::OpenError;
use self::writer::Writer;
use super::error::store as failed;
use super::row::Write;
use crate::store::{Batch, Store, StoreError};
use crate::time::Timestamp;

/// Keeps everything in one SQLite file, durably: an acknowledged commit survives a crash and a power cut
/// (`synchronous=FULL`).
///
/// Cheap to clone; all clones share one writer. When the last one is dropped, what was queued is still written.
/// It needs a tokio runtime with time, and real time: a paused test clock makes its pool time out.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Writer,
    journal: journal::Reader,
    pool: SqlitePool,
    pages: DatabaseConnection,
}

impl SqliteStore {
    /// The name of the file that [`SqliteStore::open_in`] uses.
    pub const FILE_NAME: &'static str = "identree.db";

    /// Opens the file, creating it with mode 0600 if it is missing, and brings its schema up to date. The directory must
    /// exist. Files up to 64 MiB are checked for damage as a whole, larger ones only where they are read.
    ///
    /// # Errors
    /// [`OpenError`] says why the file cannot be used and what to do. A file that is not ours is left as it was.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let (options, connection) = open::open(path).await?;
        let pool = open::readers(options);
        let writer = Writer::start(path, connection, pool.clone());
        Ok(Self { writer, journal: journal::Reader::new(path), pages: DatabaseConnection::from(pool.clone()), pool })
    }

    /// Opens [`SqliteStore::FILE_NAME`] in the directory, which must exist.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_in(directory: &Path) -> Result<Self, OpenError> {
        Self::open(directory.join(Self::FILE_NAME)).await
    }

    /// How many transactions this process has committed since it opened the file: fewer than commits, since commits that
    /// arrive together share one.
    pub fn transactions(&self) -> u64 {
        self.writer.transactions()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.changes.is_empty() && batch.events.is_empty() {
            return Ok(());
        }
        if batch.repeats() {
            return Err(StoreError::Conflict);
        }
        self.writer.commit(Write::encode(batch)?).await
    }

    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.writer.sweep(now, settled_before, limit).await
    }

    /// Reads and writes, after a failure as much as a question takes, so that a full disk shows.
    async fn probe(&self) -> Result<(), StoreError> {
        self.pool.acquire().await.map_err(failed)?;
        self.writer.commit(Write::probe()).await
    }
}
