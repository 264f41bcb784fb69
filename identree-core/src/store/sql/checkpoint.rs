//! Moves the write-ahead log into the file when nothing else happens, so that commits rarely have to.

use std::time::Duration;

use sea_orm::sqlx::{self, SqlitePool};
use tokio::sync::watch;

/// How long nothing was committed before it is an idle moment.
const IDLE: Duration = Duration::from_millis(250);

/// Runs until the writer is gone. A passive checkpoint waits for nobody and blocks nobody
/// (<https://sqlite.org/pragma.html#pragma_wal_checkpoint>).
pub(super) async fn run(mut commits: watch::Receiver<u64>, pool: SqlitePool) {
    while commits.changed().await.is_ok() {
        loop {
            match tokio::time::timeout(IDLE, commits.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => break,
            }
        }
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool).await {
            tracing::debug!(%error, "an idle checkpoint did not work; the log is kept until the next");
        }
    }
}
