//! In memory, in SQLite by one thread that puts whatever waits into one durable transaction, or in PostgreSQL.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use axum::http::StatusCode;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::postgres;

/// One write: a question's row and a row of the journal.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) record: String,
    pub(super) event: String,
    pub(super) new: bool,
}

type Job = (Row, oneshot::Sender<bool>);

/// Where questions go.
#[derive(Debug)]
pub(super) struct Store {
    way: Way,
    pub(super) transactions: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Way {
    Memory,
    Sqlite(mpsc::Sender<Job>),
    Postgres(postgres::Jobs),
}

impl Store {
    /// The live table is all there is.
    pub(super) fn memory() -> Self {
        Self { way: Way::Memory, transactions: Arc::default() }
    }

    /// `synchronous=FULL`, an integer key and one unique index, at most `batch` writes in a transaction.
    pub(super) fn sqlite(path: &Path, batch: usize) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000;
             CREATE TABLE challenges (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, record TEXT NOT NULL);
             CREATE TABLE journal (seq INTEGER PRIMARY KEY, event TEXT NOT NULL);",
        )?;
        let (jobs, queue) = mpsc::channel();
        let transactions = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&transactions);
        std::thread::spawn(move || write(&connection, &queue, batch, &count));
        Ok(Self { way: Way::Sqlite(jobs), transactions })
    }

    /// `synchronous_commit=on`, an integer key and one unique index, at most `batch` writes in a transaction.
    pub(super) async fn postgres(dsn: &str, batch: usize) -> identree_benches::Result<Self> {
        let transactions = Arc::new(AtomicU64::new(0));
        let jobs = postgres::start(dsn, batch, &transactions).await?;
        Ok(Self { way: Way::Postgres(jobs), transactions })
    }

    /// Returns once it is durable.
    pub(super) async fn commit(&self, row: Row) -> Result<(), StatusCode> {
        let (reply, answer) = oneshot::channel();
        let sent = match &self.way {
            Way::Memory => return Ok(()),
            Way::Sqlite(jobs) => jobs.send((row, reply)).is_ok(),
            Way::Postgres(jobs) => jobs.send((row, reply)).await.is_ok(),
        };
        if !sent {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        if answer.await == Ok(true) { Ok(()) } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
    }
}

fn write(connection: &Connection, queue: &mpsc::Receiver<Job>, batch: usize, count: &AtomicU64) {
    while let Ok(first) = queue.recv() {
        let jobs: Vec<Job> = std::iter::once(first).chain(queue.try_iter().take(batch - 1)).collect();
        let written = group(connection, &jobs).is_ok();
        count.fetch_add(1, Ordering::Relaxed);
        for (_, reply) in jobs {
            let _ = reply.send(written); // nobody may be waiting any more
        }
    }
}

fn group(connection: &Connection, jobs: &[Job]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for (row, _) in jobs {
        let statement = if row.new {
            "INSERT INTO challenges (record, id) VALUES (?, ?)"
        } else {
            "UPDATE challenges SET record = ? WHERE id = ?"
        };
        transaction.prepare_cached(statement)?.execute((&row.record, &row.id))?;
        transaction.prepare_cached("INSERT INTO journal (event) VALUES (?)")?.execute((&row.event,))?;
    }
    transaction.commit()
}
