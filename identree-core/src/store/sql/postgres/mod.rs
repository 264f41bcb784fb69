//! A store in a PostgreSQL database that several servers share.
//!
//! What is hot goes through a few tasks ([`writer`]) that put whatever is queued into one durable transaction; what each transaction
//! changes is told to the other servers when it is committed ([`nudges`]). All else uses a pool of connections. Whatever the
//! database does not answer in time is [`StoreError::Unavailable`].

mod address;
mod connect;
mod error;
mod group;
mod journal;
mod leases;
mod log;
mod nudges;
mod read;
mod statements;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use sea_orm::sqlx::postgres::PgPool;
use sea_orm::sqlx::{self};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::address::Address;
pub use self::error::ConnectError;
use self::nudges::Channel;
use self::writer::Writer;
use super::error::store as failed;
use super::row::Write;
use crate::store::{Batch, Nudge, Store, StoreError};
use crate::time::Timestamp;

/// How long the database may take to answer, whatever it is asked.
const DEADLINE: Duration = Duration::from_secs(5);
/// The connections that write what is hot.
const WRITERS: u32 = 2;

/// How a [`PostgresStore`] uses its database.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// At most so many connections, 4 or more: two write, one hears of other servers, the rest read.
    pub max_connections: u32,
}

impl PostgresOptions {
    /// The fewest connections.
    pub const FEWEST: u32 = WRITERS + 2;
}

impl Default for PostgresOptions {
    /// 10 connections.
    fn default() -> Self {
        Self { max_connections: 10 }
    }
}

/// Keeps everything in one schema of a PostgreSQL database, durably: an acknowledged commit survives a crash and a power cut of the
/// database (`synchronous_commit` is never off). Several servers may share it.
///
/// Cheap to clone; all clones share their connections. When the last one is dropped, what was queued is still written.
/// It needs a tokio runtime with time, and real time: a paused test clock makes it give up at once.
#[derive(Clone)]
pub struct PostgresStore {
    writer: Writer,
    pool: PgPool,
    pages: DatabaseConnection,
    hearing: Arc<Hearing>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

struct Hearing {
    nudges: broadcast::Sender<Nudge>,
    task: AbortHandle,
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PostgresStore {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…` and brings its schema up to date. An empty database gets our
    /// tables, in the first schema of its search path (`?options[search_path]=NAME`). Servers that start together do so one after
    /// the other.
    ///
    /// # Errors
    /// [`ConnectError`] says why the database cannot be used and what to do. One that is not ours is left as it was.
    pub async fn connect(dsn: &str, options: PostgresOptions) -> Result<Self, ConnectError> {
        let address = Address::parse(dsn)?;
        let schema = connect::open(&address).await?;
        let Address { options: to, place } = address;
        let channel = Channel::of(&schema);
        let hearing = nudges::start(to.clone(), channel.clone()).await;
        let (nudges, task) = hearing.map_err(|source| ConnectError::Unavailable { place, source: source.into() })?;
        let writer = Writer::start(&to, &channel, WRITERS);
        let pool = connect::pool(to, options.max_connections.max(PostgresOptions::FEWEST) - WRITERS - 1);
        let pages = DatabaseConnection::from(pool.clone());
        Ok(Self { writer, pages, pool, hearing: Arc::new(Hearing { nudges, task }) })
    }

    /// How many transactions of batches this process has committed since it connected: fewer than commits, since commits that arrive together
    /// share one.
    pub fn transactions(&self) -> u64 {
        self.writer.transactions()
    }
}

/// What the database says in time.
async fn within<T>(answer: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
    timeout(DEADLINE, answer).await.unwrap_or_else(|_| Err(writer::silent()))
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.changes().is_empty() && batch.events().is_empty() {
            return Ok(());
        }
        if batch.repeats() {
            return Err(StoreError::Conflict);
        }
        self.writer.commit(Write::encode(batch)?).await
    }

    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // What somebody else writes at this moment is left for the next time.
        let documents =
            "DELETE FROM documents WHERE seq = ANY(ARRAY(SELECT seq FROM documents WHERE expires_at_ms <= $1
            ORDER BY expires_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED))";
        let questions =
            "DELETE FROM challenges WHERE seq = ANY(ARRAY(SELECT seq FROM challenges WHERE settled_at_ms < $1
            ORDER BY settled_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED))";
        let mut gone = 0;
        for (statement, before) in [(documents, now), (questions, settled_before)] {
            let query = sqlx::query(statement).bind(before.as_millis()).bind(i64::from(limit));
            let swept = within(async { query.execute(&self.pool).await.map_err(failed) }).await?;
            gone += swept.rows_affected();
        }
        Ok(gone)
    }

    /// Reads and writes.
    async fn probe(&self) -> Result<(), StoreError> {
        within(async { self.pool.acquire().await.map_err(failed) }).await?;
        self.writer.commit(Write::probe()).await
    }

    fn nudges(&self) -> Option<broadcast::Receiver<Nudge>> {
        Some(self.hearing.nudges.subscribe())
    }
}
