//! Group commit: one task owns the connection that writes, takes whatever is queued into one durable transaction, and
//! answers everybody afterwards.

use std::sync::Arc;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _, SqlitePool};
use tokio::sync::{mpsc, oneshot, watch};

use super::group::{Group, Net};
use super::row::Write;
use super::{checkpoint, error, statements};
use crate::store::StoreError;
use crate::time::Timestamp;

/// At most this many batches in one transaction.
const GROUP: usize = 256;
/// At most this many wait; further callers wait to be let in.
const QUEUE: usize = 1024;

/// The least write there is.
const PROBE: &str = "UPDATE seaql_migrations SET applied_at = applied_at";
/// As many pages as a question takes with its event: what needs less may still find room on a disk where no question does.
const PROBE_ROOM: &str = "INSERT INTO documents (collection, key, revision, bytes)
    VALUES ('probe', 'room', 1, randomblob(40000))
    ON CONFLICT (collection, key) DO UPDATE SET revision = revision + 1, bytes = randomblob(40000)";

/// The way to the writing task.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    transactions: watch::Receiver<u64>,
}

#[derive(Debug)]
enum Job {
    Commit(Write, oneshot::Sender<Result<(), StoreError>>),
    Sweep(Sweep, oneshot::Sender<Result<u64, StoreError>>),
}

#[derive(Debug, Clone, Copy)]
struct Sweep {
    now: Timestamp,
    settled_before: Timestamp,
    limit: u32,
}

impl Writer {
    /// Starts the task. It ends when the last handle is gone and the queue is empty.
    pub(super) fn start(options: SqliteConnectOptions, connection: SqliteConnection, pool: SqlitePool) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (count, transactions) = watch::channel(0);
        tokio::spawn(checkpoint::run(transactions.clone(), pool));
        tokio::spawn(Task { options, connection: Some(connection), count, ailing: false }.run(queue));
        Self { jobs, transactions }
    }

    /// Transactions committed so far.
    pub(super) fn transactions(&self) -> u64 {
        *self.transactions.borrow()
    }

    pub(super) async fn commit(&self, write: Write) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Commit(write, reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    pub(super) async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Sweep(Sweep { now, settled_before, limit }, reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the task that writes has stopped".into())
}

struct Task {
    options: SqliteConnectOptions,
    /// None after an error: what state a failed connection is in is not worth finding out.
    connection: Option<SqliteConnection>,
    count: watch::Sender<u64>,
    /// A transaction failed, and no probe has gone through since.
    ailing: bool,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(GROUP);
        while queue.recv_many(&mut jobs, GROUP).await > 0 {
            // Whoever is ready to run now may be about to commit: they come along instead of waiting for the next transaction.
            tokio::task::yield_now().await;
            while jobs.len() < GROUP
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            let (mut writes, mut replies) = (Vec::new(), Vec::new());
            let mut sweeps = Vec::new();
            for job in jobs.drain(..) {
                match job {
                    Job::Commit(write, reply) => {
                        writes.push(write);
                        replies.push(reply);
                    }
                    Job::Sweep(sweep, reply) => sweeps.push((sweep, reply)),
                }
            }
            if !writes.is_empty() {
                self.group(writes, replies).await;
            }
            for (sweep, reply) in sweeps {
                let answer = self.sweep(sweep).await;
                let _ = reply.send(answer.map_err(error::store)); // nobody may be waiting any more
            }
        }
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing the database");
        }
    }

    /// Writes a group and answers everybody in it.
    async fn group(&mut self, writes: Vec<Write>, replies: Vec<oneshot::Sender<Result<(), StoreError>>>) {
        // At most GROUP, so nothing is lost.
        metrics::histogram!("identree_store_commit_batches").record(u32::try_from(writes.len()).unwrap_or(u32::MAX));
        match self.write(writes).await {
            Ok(admitted) => {
                for (reply, admitted) in replies.into_iter().zip(admitted) {
                    let _ = reply.send(if admitted { Ok(()) } else { Err(StoreError::Conflict) });
                }
            }
            Err(error) => {
                tracing::error!(%error, batches = replies.len(), "a transaction failed; nothing of it is acknowledged");
                self.ailing = true;
                let (corrupt, shared) = (error::is_corrupt(&error), Shared(Arc::new(error)));
                for reply in replies {
                    let _ = reply.send(Err(error::told(corrupt, shared.clone())));
                }
            }
        }
    }

    /// Commits what fits of the group; tells for each batch whether it did.
    async fn write(&mut self, writes: Vec<Write>) -> sqlx::Result<Vec<bool>> {
        let mut connection = self.take().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut group = Group::default();
        for write in &writes {
            group.touch(&write.changes);
        }
        statements::look_up(&mut transaction, &mut group).await?;
        let admitted: Vec<bool> = writes.iter().map(|write| group.admit(&write.changes)).collect();
        let net: Net = group.net();
        let probe = writes.iter().any(|write| write.probe);
        let fitting = writes.into_iter().zip(&admitted).filter(|(_, admitted)| **admitted);
        let events: Vec<_> = fitting.flat_map(|(write, _)| write.events).collect();
        if admitted.contains(&true) {
            statements::apply(&mut transaction, &net, &events).await?;
            if probe {
                sqlx::query(if self.ailing { PROBE_ROOM } else { PROBE }).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            self.ailing &= !probe;
            self.count.send_modify(|count| *count += 1);
        } else {
            transaction.rollback().await?;
        }
        self.connection = Some(connection);
        Ok(admitted)
    }

    async fn sweep(&mut self, Sweep { now, settled_before, limit }: Sweep) -> sqlx::Result<u64> {
        let mut connection = self.take().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let documents = sqlx::query(
            "DELETE FROM documents WHERE seq IN
             (SELECT seq FROM documents WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?)",
        )
        .bind(now.as_millis())
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        let challenges = sqlx::query(
            "DELETE FROM challenges WHERE seq IN
             (SELECT seq FROM challenges WHERE settled_at_ms < ? ORDER BY settled_at_ms LIMIT ?)",
        )
        .bind(settled_before.as_millis())
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.count.send_modify(|count| *count += 1);
        self.connection = Some(connection);
        Ok(documents.rows_affected() + challenges.rows_affected())
    }

    /// The connection, or a new one after an error.
    async fn take(&mut self) -> sqlx::Result<SqliteConnection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.options.connect().await,
        }
    }
}

/// One error for everybody in a group.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the transaction failed: {0}")]
struct Shared(Arc<sqlx::Error>);

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use super::super::open::{open, readers};
    use super::*;
    use crate::audit::EventKind;
    use crate::id::{EventId, UserName};
    use crate::store::{Batch, Change, Collection, DocumentKey, Documents as _, Journal as _, Page, Put, Store as _};

    fn batch(n: u8, bytes: usize) -> Batch {
        let key = DocumentKey::new(Collection("hosts"), n.to_string());
        let put = Some(Put { bytes: vec![n; bytes], expires_at: None });
        let mut event =
            crate::audit::AuditEvent::new(EventId::from_bytes([n; 16]), Timestamp::from_secs(0), EventKind::HostAdded);
        event.actor = Some(UserName::parse("ann").unwrap());
        Batch::of(Change::Document { key, expect: None, put }, event)
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_never_a_false_ok_and_passes() {
        let directory = tempfile::tempdir().unwrap();
        let (options, mut connection) = open(&directory.path().join("full")).await.unwrap();
        // The first connection may not grow the file; the one that replaces it after the error may.
        sqlx::query("PRAGMA max_page_count = 20").execute(&mut connection).await.unwrap();
        let pool = readers(options.clone());
        let writer = Writer::start(options, connection, pool.clone());
        let store = SqliteStore { writer, pages: pool.clone().into(), pool };

        store.commit(batch(1, 10)).await.unwrap();
        let answer = store.commit(batch(2, 200_000)).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        assert_eq!(store.unsealed(Page::first(10)).await.unwrap().items.len(), 1);
        store.commit(batch(3, 200_000)).await.unwrap();
        store.probe().await.unwrap();
        let found = store.documents(Collection("hosts"), Timestamp::from_secs(0), Page::first(10)).await.unwrap();
        assert_eq!(found.items.iter().map(|document| &*document.key).collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(store.unsealed(Page::first(10)).await.unwrap().items.len(), 2);
    }
}
