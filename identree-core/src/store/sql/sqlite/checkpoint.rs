//! Moves the write-ahead log into the file beside the commits, so that they rarely have to.

use std::time::Duration;

use sea_orm::sqlx::{self, SqlitePool};
use tokio::sync::watch;

/// How long nothing was committed before it is an idle moment.
const IDLE: Duration = Duration::from_millis(250);
/// With about so many pages in the log it does not wait for one: before a commit has to, at 8,000. Each time costs two syncs, for which
/// commits wait too.
const MANY: u64 = 5000;

/// How far the writer is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Transactions committed.
    pub(super) transactions: u64,
    /// Batches written in them.
    pub(super) batches: u64,
    /// About how many pages of the sealed log.
    pub(super) log_pages: u64,
}

impl Progress {
    /// About how many pages that came to: a transaction has its own, and a question with its event touches two more.
    const fn pages(self) -> u64 {
        4 * self.transactions + 2 * self.batches + self.log_pages
    }
}

/// Runs until the writer is gone. A passive checkpoint waits for nobody and blocks nobody
/// (<https://sqlite.org/pragma.html#pragma_wal_checkpoint>).
pub(super) async fn run(mut progress: watch::Receiver<Progress>, pool: SqlitePool) {
    let mut moved = 0;
    while progress.changed().await.is_ok() {
        while progress.borrow_and_update().pages() - moved < MANY {
            match tokio::time::timeout(IDLE, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => break,
            }
        }
        moved = progress.borrow().pages();
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool).await {
            tracing::debug!(%error, "a checkpoint did not work; the log is kept until the next");
        }
    }
}
