//! The yardsticks: as many rows with as little around them as can be.

use std::sync::Arc;

use sea_orm::sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, Connection as _};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::Failure;

/// One write: a question's row and a row of the journal.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: Vec<u8>,
    pub(super) record: String,
    pub(super) event: String,
    pub(super) new: bool,
}

const TABLES: &str = "CREATE TABLE bare_challenges (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bytea NOT NULL UNIQUE, record text NOT NULL);
    CREATE TABLE bare_journal (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event text NOT NULL)";
const INSERT: &str = "INSERT INTO bare_challenges (id, record) SELECT * FROM unnest($1::bytea[], $2::text[])";
const UPDATE: &str = "UPDATE bare_challenges c SET record = n.record FROM unnest($1::bytea[], $2::text[]) AS n (id, record) WHERE c.id = n.id";
const EVENTS: &str = "INSERT INTO bare_journal (event) SELECT * FROM unnest($1::text[])";

/// Makes the tables.
pub(super) async fn prepare(dsn: &str) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(dsn).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    Ok(())
}

type Job = (Row, oneshot::Sender<()>);

/// Two connections, each with whatever is queued, at most 256, in one transaction of `INSERT … SELECT FROM unnest`.
#[derive(Debug, Clone)]
pub(super) struct Batched(mpsc::Sender<Job>);

impl Batched {
    pub(super) async fn start(dsn: &str) -> Result<Self, Failure> {
        let (jobs, queue) = mpsc::channel(1024);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..2 {
            let mut connection = PgConnection::connect(dsn).await?;
            // As ours: the plan of an empty table would stay.
            for setting in [
                "enable_seqscan = off",
                "enable_hashjoin = off",
                "enable_mergejoin = off",
                "plan_cache_mode = force_generic_plan",
            ] {
                sqlx::query(sqlx::AssertSqlSafe(format!("SET {setting}"))).execute(&mut connection).await?;
            }
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut rows: Vec<Job> = Vec::new();
                while queue.lock().await.recv_many(&mut rows, 256).await > 0 {
                    if group(&mut connection, &rows).await.is_err() {
                        return;
                    }
                    for (_, reply) in rows.drain(..) {
                        let _ = reply.send(()); // nobody may be waiting any more
                    }
                }
            });
        }
        Ok(Self(jobs))
    }

    pub(super) async fn commit(&self, row: Row) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.0.send((row, reply)).await?;
        Ok(answer.await?)
    }
}

async fn group(connection: &mut PgConnection, rows: &[Job]) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    for (statement, new) in [(INSERT, true), (UPDATE, false)] {
        let (ids, records): (Vec<&[u8]>, Vec<&str>) =
            rows.iter().filter(|(row, _)| row.new == new).map(|(row, _)| (&row.id[..], row.record.as_str())).unzip();
        if !ids.is_empty() {
            sqlx::query(statement).bind(ids).bind(records).execute(&mut *transaction).await?;
        }
    }
    let events: Vec<&str> = rows.iter().map(|(row, _)| row.event.as_str()).collect();
    sqlx::query(EVENTS).bind(events).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// As many connections as writers, each change in a transaction of its own.
#[derive(Debug, Clone)]
pub(super) struct Each(PgPool);

impl Each {
    pub(super) fn start(dsn: &str) -> Result<Self, Failure> {
        let pool = PgPoolOptions::new().max_connections(64).test_before_acquire(false);
        Ok(Self(pool.connect_lazy(dsn)?))
    }

    pub(super) async fn commit(&self, row: Row) -> Result<(), Failure> {
        let mut transaction = self.0.begin().await?;
        let change = if row.new {
            "INSERT INTO bare_challenges (id, record) VALUES ($1, $2)"
        } else {
            "UPDATE bare_challenges SET record = $2 WHERE id = $1"
        };
        sqlx::query(change).bind(row.id).bind(row.record).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO bare_journal (event) VALUES ($1)").bind(row.event).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }
}
