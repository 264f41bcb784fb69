//! In PostgreSQL: two connections, each with whatever waits in one durable transaction of `INSERT … SELECT FROM unnest`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use identree_benches::Result;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection as _};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::store::Row;

const TABLES: &str = "CREATE TABLE challenges (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, record text NOT NULL);
    CREATE TABLE journal (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event text NOT NULL)";
const INSERT: &str = "INSERT INTO challenges (id, record) SELECT * FROM unnest($1::text[], $2::text[])";
const UPDATE: &str =
    "UPDATE challenges c SET record = n.record FROM unnest($1::text[], $2::text[]) AS n (id, record) WHERE c.id = n.id";
const EVENTS: &str = "INSERT INTO journal (event) SELECT * FROM unnest($1::text[])";
/// As ours: the plan of an empty table would stay.
const PLANS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";

pub(super) type Jobs = mpsc::Sender<(Row, oneshot::Sender<bool>)>;
type Queue = Arc<Mutex<mpsc::Receiver<(Row, oneshot::Sender<bool>)>>>;

/// Starts the tasks that write.
pub(super) async fn start(dsn: &str, batch: usize, count: &Arc<AtomicU64>) -> Result<Jobs> {
    let (jobs, queue) = mpsc::channel(1024);
    let queue = Arc::new(Mutex::new(queue));
    for task in 0..2 {
        let mut connection = PgConnection::connect(dsn).await?;
        if task == 0 {
            sqlx::raw_sql(TABLES).execute(&mut connection).await?;
        }
        sqlx::raw_sql(PLANS).execute(&mut connection).await?;
        tokio::spawn(write(connection, Arc::clone(&queue), batch, Arc::clone(count)));
    }
    Ok(jobs)
}

async fn write(mut connection: PgConnection, queue: Queue, batch: usize, count: Arc<AtomicU64>) {
    let mut jobs = Vec::new();
    while queue.lock().await.recv_many(&mut jobs, batch).await > 0 {
        let rows: Vec<&Row> = jobs.iter().map(|(row, _)| row).collect();
        let written = group(&mut connection, &rows).await.is_ok();
        count.fetch_add(1, Ordering::Relaxed);
        for (_, reply) in jobs.drain(..) {
            let _ = reply.send(written); // nobody may be waiting any more
        }
    }
}

async fn group(connection: &mut PgConnection, rows: &[&Row]) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    for (statement, new) in [(INSERT, true), (UPDATE, false)] {
        let of = rows.iter().filter(|row| row.new == new);
        let (ids, records): (Vec<&str>, Vec<&str>) = of.map(|row| (row.id.as_str(), row.record.as_str())).unzip();
        if !ids.is_empty() {
            sqlx::query(statement).bind(ids).bind(records).execute(&mut *transaction).await?;
        }
    }
    let events: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
    sqlx::query(EVENTS).bind(events).execute(&mut *transaction).await?;
    transaction.commit().await
}
