//! Group commit: one task takes whatever is queued into one durable transaction after the other, and answers everybody
//! afterwards. The transactions themselves run where they may block.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use sea_orm::sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{spawn_blocking, yield_now};

use super::checkpoint::{self, Progress};
use super::log_write::{self, LogWrite};
use super::transaction::{self, Sweep};
use super::{error, open};
use crate::store::StoreError;
use crate::store::sql::row::Write;
use crate::time::Timestamp;

/// At most this many batches in one transaction.
const GROUP: usize = 256;
/// At most this many wait; further callers wait to be let in.
const QUEUE: usize = 1024;
/// How often those who are about to commit are let come along; each time whoever is ready to run does so.
const ROUNDS: usize = 8;

/// The way to the writing task.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    progress: watch::Receiver<Progress>,
}

#[derive(Debug)]
enum Job {
    Commit(Write, Reply<()>),
    Log(LogWrite, Reply<Option<u64>>),
    Sweep(Sweep, Reply<u64>),
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

impl Writer {
    /// Starts the task. It ends when the last handle is gone and the queue is empty.
    pub(super) fn start(path: &Path, connection: Connection, pool: SqlitePool) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (done, progress) = watch::channel(Progress::default());
        let work = Work { path: path.into(), connection: Some(connection), done, ailing: false };
        tokio::spawn(checkpoint::run(progress.clone(), pool));
        tokio::spawn(run(work, queue));
        Self { jobs, progress }
    }

    /// Transactions committed so far.
    pub(super) fn transactions(&self) -> u64 {
        self.progress.borrow().transactions
    }

    pub(super) async fn commit(&self, write: Write) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Commit(write, reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Writes to the log or the leases; `None` if it does not fit what stands.
    pub(super) async fn log(&self, write: LogWrite) -> Result<Option<u64>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Log(write, reply)).await.map_err(|_| stopped())?;
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

async fn run(mut work: Work, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut jobs, GROUP).await > 0 {
        // Whoever is ready to run now may be about to commit: they come along instead of waiting for the next transaction.
        for _ in 0..ROUNDS {
            let before = jobs.len();
            yield_now().await;
            while jobs.len() < GROUP
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            if jobs.len() == before {
                break;
            }
        }
        let mut group = Group::of(&mut jobs);
        let done = spawn_blocking(move || {
            work.all(&mut group);
            (work, group)
        });
        // Here, not there: those who are woken run on this thread, and what they sent goes back to its allocator.
        match done.await {
            Ok((back, group)) => {
                work = back;
                group.answer();
            }
            // It has panicked, or the runtime stops: whoever waits is told that nobody answers.
            Err(error) => return tracing::error!(%error, "nothing is written any more"),
        }
    }
    let closed = spawn_blocking(move || work.connection.map(Connection::close)).await;
    if let Ok(Some(Err((_, error)))) = closed {
        tracing::debug!(%error, "closing the database");
    }
}

/// Jobs done together, and what became of them.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    replies: Vec<Reply<()>>,
    written: Option<rusqlite::Result<Vec<bool>>>,
    log: Vec<(LogWrite, Reply<Option<u64>>)>,
    logged: Option<rusqlite::Result<Vec<Option<u64>>>>,
    sweeps: Vec<(Sweep, Reply<u64>, Option<rusqlite::Result<u64>>)>,
}

impl Group {
    fn of(jobs: &mut Vec<Job>) -> Self {
        let mut group = Self::default();
        for job in jobs.drain(..) {
            match job {
                Job::Commit(write, reply) => {
                    group.writes.push(write);
                    group.replies.push(reply);
                }
                Job::Log(write, reply) => group.log.push((write, reply)),
                Job::Sweep(sweep, reply) => group.sweeps.push((sweep, reply, None)),
            }
        }
        group
    }

    /// Answers everybody in it. Nobody may be waiting any more.
    fn answer(self) {
        match self.written {
            Some(Ok(admitted)) => {
                for (reply, admitted) in self.replies.into_iter().zip(admitted) {
                    let _ = reply.send(if admitted { Ok(()) } else { Err(StoreError::Conflict) });
                }
            }
            Some(Err(error)) => {
                let (batches, error) = (self.replies.len(), Arc::new(error));
                tracing::error!(%error, batches, "a transaction failed; nothing of it is acknowledged");
                for reply in self.replies {
                    let _ = reply.send(Err(error::write(Arc::clone(&error))));
                }
            }
            None => {}
        }
        match self.logged {
            Some(Ok(done)) => {
                for ((_, reply), done) in self.log.into_iter().zip(done) {
                    let _ = reply.send(Ok(done));
                }
            }
            Some(Err(error)) => {
                let error = Arc::new(error);
                tracing::error!(%error, "writing to the log failed; nothing of it is acknowledged");
                for (_, reply) in self.log {
                    let _ = reply.send(Err(error::write(Arc::clone(&error))));
                }
            }
            None => {}
        }
        for (_, reply, gone) in self.sweeps {
            if let Some(gone) = gone {
                let _ = reply.send(gone.map_err(|error| error::write(Arc::new(error))));
            }
        }
    }
}

/// What writes, one transaction after the other.
struct Work {
    path: Box<Path>,
    /// None after an error: what state a failed connection is in is not worth finding out.
    connection: Option<Connection>,
    done: watch::Sender<Progress>,
    /// A transaction failed, and no probe has gone through since.
    ailing: bool,
}

impl Work {
    /// Does all that a group wants.
    fn all(&mut self, group: &mut Group) {
        if !group.writes.is_empty() {
            group.written = Some(self.write(&group.writes));
        }
        if !group.log.is_empty() {
            group.logged = Some(self.log(&group.log));
        }
        for (sweep, _, gone) in &mut group.sweeps {
            let done = self.with(|connection| transaction::sweep(connection, *sweep));
            self.done.send_modify(|progress| {
                progress.transactions += u64::from(done.is_ok());
                progress.batches += done.as_ref().copied().unwrap_or(0);
            });
            *gone = Some(done);
        }
    }

    /// Writes what fits; tells for each batch whether it did.
    fn write(&mut self, writes: &[Write]) -> rusqlite::Result<Vec<bool>> {
        // At most GROUP, so nothing is lost.
        metrics::histogram!("identree_store_commit_batches").record(u32::try_from(writes.len()).unwrap_or(u32::MAX));
        let ailing = std::mem::replace(&mut self.ailing, true);
        let done = self.with(|connection| transaction::group(connection, writes, ailing))?;
        self.ailing = ailing && !writes.iter().any(|write| write.probe);
        self.done.send_modify(|progress| {
            progress.transactions += u64::from(done.committed);
            progress.batches += done.admitted.iter().filter(|admitted| **admitted).count() as u64;
        });
        Ok(done.admitted)
    }

    /// Writes to the log and the leases, apart from what people wait for: neither fails with the other.
    fn log<T>(&mut self, writes: &[(LogWrite, T)]) -> rusqlite::Result<Vec<Option<u64>>> {
        let ailing = std::mem::replace(&mut self.ailing, true);
        let done = self.with(|connection| log_write::all(connection, writes.iter().map(|(write, _)| write)))?;
        self.ailing = ailing;
        self.done.send_modify(|progress| {
            progress.transactions += 1;
            progress.log_pages += writes.iter().map(|(write, _)| write.pages()).sum::<u64>();
        });
        Ok(done)
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
        let writer = Writer::start(&path, connection, pool.clone());
        let journal = super::super::journal::Reader::new(&path);
        let store = SqliteStore { writer, journal, pages: pool.clone().into(), pool };

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
