//! Group commit: a few tasks, each with a connection, take whatever is queued into one durable transaction after the other, and answer
//! everybody afterwards. Several, so that one prepares its rows while the other's are on their way to the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{self, ConnectOptions as _};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::super::dialect;
use super::super::row::Write;
use super::error::{is_passing, is_undone};
use super::nudges::Channel;
use super::{DEADLINE, connect, group};
use crate::store::StoreError;

/// At most this many batches in one transaction.
const GROUP: usize = 256;
/// At most this many wait; further callers wait to be let in.
const QUEUE: usize = 1024;
/// How often those who are about to commit are let come along; each time whoever is ready to run does so.
const ROUNDS: usize = 4;
/// How often a transaction that others were in the way of is tried.
const TRIES: usize = 3;

/// At most this many events in a batch: those of a group have places in one block.
const EVENTS: usize = dialect::BLOCK as usize / GROUP;

/// How the hot statements are to be run, whatever the database knows of its tables: row by row over the index, planned once. Statistics
/// are old where tables grow fast.
const PLANS: [(&str, &str); 6] = [
    ("lock_timeout", "1000"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The way to the writing tasks.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    transactions: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Job {
    write: Write,
    reply: Reply,
}

impl Writer {
    /// Starts so many tasks. They end when the last handle is gone and the queue is empty.
    pub(super) fn start(options: &PgConnectOptions, channel: &Channel, tasks: u32) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (queue, transactions) = (Arc::new(Mutex::new(queue)), Arc::new(AtomicU64::new(0)));
        for _ in 0..tasks {
            let work = Work {
                options: options.clone().options(PLANS),
                channel: channel.clone(),
                connection: None,
                transactions: Arc::clone(&transactions),
            };
            tokio::spawn(work.run(Arc::clone(&queue)));
        }
        Self { jobs, transactions }
    }

    /// Transactions committed so far.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Waits until it is written, and no longer than [`DEADLINE`].
    pub(super) async fn commit(&self, write: Write) -> Result<(), StoreError> {
        if write.is_untakable(EVENTS) {
            return Err(StoreError::Unavailable(
                "a batch that PostgreSQL cannot take: too many events, or a key with a NUL or too long".into(),
            ));
        }
        let (reply, answer) = oneshot::channel();
        let answered = async {
            self.jobs.send(Job { write, reply }).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        timeout(DEADLINE, answered).await.unwrap_or_else(|_| Err(silent()))
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the tasks that write have stopped".into())
}

/// The database did not answer in time.
pub(super) fn silent() -> StoreError {
    StoreError::Unavailable("the database did not answer in time".into())
}

/// One error for everybody in a group.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the transaction failed: {0}")]
struct Shared(Arc<sqlx::Error>);

type Reply = oneshot::Sender<Result<(), StoreError>>;

/// Nobody may be waiting any more.
fn answer(reply: Reply, admitted: bool) {
    let _ = reply.send(if admitted { Ok(()) } else { Err(StoreError::Conflict) });
}

fn failed(replies: Vec<Reply>, error: sqlx::Error) {
    let (batches, error) = (replies.len(), Shared(Arc::new(error)));
    tracing::error!(error = %error.0, batches, "a transaction failed; nothing of it is acknowledged");
    for reply in replies {
        let _ = reply.send(Err(StoreError::Unavailable(error.clone().into())));
    }
}

/// What writes, one transaction after the other.
struct Work {
    options: PgConnectOptions,
    channel: Channel,
    /// None after an error: what state a failed connection is in is not worth finding out.
    connection: Option<PgConnection>,
    transactions: Arc<AtomicU64>,
}

impl Work {
    async fn run(mut self, queue: Arc<Mutex<mpsc::Receiver<Job>>>) {
        let mut waiting = VecDeque::new();
        loop {
            let open = take(&queue, &mut waiting).await;
            if waiting.is_empty() && !open {
                return;
            }
            // Nobody waits any more for those: whoever asks again finds out.
            waiting.retain(|job: &Job| !job.reply.is_closed());
            let writes: Vec<&Write> = waiting.iter().map(|job| &job.write).collect();
            let mut apart = group::apart(&writes).into_iter();
            let (now, later) = waiting.drain(..).partition(|_| apart.next() == Some(true));
            waiting = later;
            self.write(now).await;
        }
    }

    async fn write(&mut self, jobs: VecDeque<Job>) {
        let (writes, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.write, job.reply)).unzip();
        if writes.is_empty() {
            return;
        }
        // At most GROUP, so nothing is lost.
        metrics::histogram!("identree_store_commit_batches").record(u32::try_from(writes.len()).unwrap_or(u32::MAX));
        let writes: Vec<&Write> = writes.iter().collect();
        match self.in_time(&writes).await {
            Ok(admitted) => replies.into_iter().zip(admitted).for_each(|(reply, admitted)| answer(reply, admitted)),
            // One of them is at fault, or waits for a row that somebody holds: the others are not to suffer for it.
            Err(error) if writes.len() > 1 && is_undone(&error) => {
                tracing::warn!(%error, batches = writes.len(), "a transaction failed; each of its batches is tried alone");
                for (write, reply) in writes.into_iter().zip(replies) {
                    match self.in_time(&[write]).await {
                        Ok(admitted) => answer(reply, admitted.contains(&true)),
                        Err(error) => failed(vec![reply], error),
                    }
                }
            }
            Err(error) => failed(replies, error),
        }
    }

    /// Commits what fits, or gives up in time.
    async fn in_time(&mut self, writes: &[&Write]) -> sqlx::Result<Vec<bool>> {
        timeout(DEADLINE, self.commit(writes)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Commits what fits; a deadlock and the like is tried again.
    async fn commit(&mut self, writes: &[&Write]) -> sqlx::Result<Vec<bool>> {
        let mut tries = 1;
        loop {
            // Taken out: whoever gives up on this leaves no connection that is half-way through something.
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            match group::commit(&mut connection, writes, &self.channel).await {
                Ok(admitted) => {
                    self.connection = Some(connection);
                    self.transactions.fetch_add(u64::from(admitted.contains(&true)), Ordering::Relaxed);
                    return Ok(admitted);
                }
                Err(error) if tries < TRIES && is_passing(&error) => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let mut connection = self.options.connect().await?;
        connect::durable(&mut connection).await?;
        Ok(connection)
    }
}

/// Takes what is queued, at most a group with what waits already; waits for something if nothing does. Tells whether more may come.
async fn take(queue: &Mutex<mpsc::Receiver<Job>>, waiting: &mut VecDeque<Job>) -> bool {
    let mut queue = if waiting.is_empty() {
        let mut queue = queue.lock().await;
        match queue.recv().await {
            Some(job) => waiting.push_back(job),
            None => return false,
        }
        queue
    } else {
        // Whoever waits in there for something to come takes it.
        let Ok(queue) = queue.try_lock() else { return true };
        queue
    };
    // Whoever is ready to run now may be about to commit: they come along instead of waiting for the next transaction.
    for _ in 0..ROUNDS {
        let before = waiting.len();
        yield_now().await;
        while waiting.len() < GROUP
            && let Ok(job) = queue.try_recv()
        {
            waiting.push_back(job);
        }
        if waiting.len() == before {
            break;
        }
    }
    true
}
