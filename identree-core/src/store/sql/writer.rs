//! Group commit: one thread owns the connection that writes, takes whatever is queued into one durable transaction, and
//! answers everybody afterwards.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;
use sea_orm::sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot, watch};

use super::row::Write;
use super::transaction::{self, Sweep};
use super::{checkpoint, error, open};
use crate::store::StoreError;
use crate::time::Timestamp;

/// At most this many batches in one transaction.
const GROUP: usize = 256;
/// At most this many wait; further callers wait to be let in.
const QUEUE: usize = 1024;

/// The way to the thread that writes.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    transactions: watch::Receiver<u64>,
}

#[derive(Debug)]
enum Job {
    Commit(Write, Reply<()>),
    Sweep(Sweep, Reply<u64>),
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

impl Writer {
    /// Starts the thread. It ends when the last handle is gone and the queue is empty.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(path: &Path, connection: Connection, pool: SqlitePool) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (count, transactions) = watch::channel(0);
        let work = Work { path: path.into(), connection: Some(connection), count, ailing: false };
        thread::Builder::new().name("identree-store".to_owned()).spawn(move || work.run(queue))?;
        tokio::spawn(checkpoint::run(transactions.clone(), pool));
        Ok(Self { jobs, transactions })
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
    StoreError::Unavailable("the thread that writes has stopped".into())
}

struct Work {
    path: Box<Path>,
    /// None after an error: what state a failed connection is in is not worth finding out.
    connection: Option<Connection>,
    count: watch::Sender<u64>,
    /// A transaction failed, and no probe has gone through since.
    ailing: bool,
}

impl Work {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(GROUP);
        while queue.blocking_recv_many(&mut jobs, GROUP) > 0 {
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
                self.group(&writes, replies);
            }
            for (sweep, reply) in sweeps {
                let gone = self.with(|connection| transaction::sweep(connection, sweep));
                if gone.is_ok() {
                    self.count.send_modify(|count| *count += 1);
                }
                let _ = reply.send(gone.map_err(error::write)); // nobody may be waiting any more
            }
        }
        if let Some((_, error)) = self.connection.and_then(|connection| connection.close().err()) {
            tracing::debug!(%error, "closing the database");
        }
    }

    /// Writes a group and answers everybody in it.
    fn group(&mut self, writes: &[Write], replies: Vec<Reply<()>>) {
        // At most GROUP, so nothing is lost.
        metrics::histogram!("identree_store_commit_batches").record(u32::try_from(writes.len()).unwrap_or(u32::MAX));
        let ailing = self.ailing;
        match self.with(|connection| transaction::group(connection, writes, ailing)) {
            Ok(done) => {
                self.ailing &= !writes.iter().any(|write| write.probe);
                for (reply, admitted) in replies.into_iter().zip(done.admitted) {
                    let _ = reply.send(if admitted { Ok(()) } else { Err(StoreError::Conflict) });
                }
                if done.committed {
                    self.count.send_modify(|count| *count += 1);
                }
            }
            Err(error) => {
                tracing::error!(%error, batches = replies.len(), "a transaction failed; nothing of it is acknowledged");
                self.ailing = true;
                let error = Arc::new(error);
                for reply in replies {
                    let _ = reply.send(Err(error::write_shared(&error)));
                }
            }
        }
    }

    /// Works with the connection, a new one if the last failed; after an error it is not used again.
    fn with<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open::writer(&self.path)?,
        };
        let done = work(&connection)?;
        self.connection = Some(connection);
        Ok(done)
    }
}

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
        let path = directory.path().join("full");
        let (options, connection) = open(&path).await.unwrap();
        // The first connection may not grow the file; the one that replaces it after the error may.
        connection.pragma_update(None, "max_page_count", 20).unwrap();
        let pool = readers(options);
        let writer = Writer::start(&path, connection, pool.clone()).unwrap();
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
