//! The sealed log and the leases: reads through the pool, writes through the one writer.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{self, Row as _};

use super::super::error;
use super::SqliteStore;
use super::log_write::LogWrite;
use crate::store::{
    Bundle, Fence, LeaseName, Leases, Log, LogHead, ReaderName, ReplicaId, Sealing, StoreError, StoredCheckpoint, Tile,
};
use crate::time::Timestamp;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A row in the store's terms; one that is not is corrupt.
fn read<T>(
    table: &'static str,
    row: &SqliteRow,
    of: impl Fn(&SqliteRow) -> Result<T, Source>,
) -> Result<T, StoreError> {
    of(row).map_err(error::corrupt(table))
}

fn number(row: &SqliteRow, column: usize) -> Result<u64, Source> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?)?)
}

/// A number as the database has it: nothing is stored beyond the greatest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn checkpoint(row: &SqliteRow) -> Result<StoredCheckpoint, Source> {
    let at = Timestamp::from_millis(row.try_get(1)?);
    Ok(StoredCheckpoint { size: number(row, 0)?, at, note: row.try_get(2)? })
}

#[async_trait]
impl Log for SqliteStore {
    async fn head(&self) -> Result<LogHead, StoreError> {
        let row = sqlx::query("SELECT size, root, erasures FROM log_head")
            .fetch_one(&self.pool)
            .await
            .map_err(error::store)?;
        read("log_head", &row, |row| {
            let root = row.try_get::<Vec<u8>, _>(1)?;
            let root = root.try_into().map_err(|_| "the root is not 32 bytes long")?;
            Ok(LogHead { size: number(row, 0)?, root, erasures: number(row, 2)? })
        })
    }

    async fn bundles(&self, from: u64, limit: u32) -> Result<Vec<Bundle>, StoreError> {
        let rows =
            sqlx::query("SELECT number, entries, personal FROM log_bundles WHERE number >= ? ORDER BY number LIMIT ?")
                .bind(signed(from))
                .bind(limit.clamp(1, 1000))
                .fetch_all(&self.pool)
                .await
                .map_err(error::store)?;
        let bundle = |row: &SqliteRow| {
            Ok(Bundle { number: number(row, 0)?, entries: row.try_get(1)?, personal: row.try_get(2)? })
        };
        rows.iter().map(|row| read("log_bundles", row, bundle)).collect()
    }

    async fn tile(&self, level: u8, number: u64) -> Result<Option<Tile>, StoreError> {
        let found = sqlx::query_scalar("SELECT hashes FROM log_tiles WHERE level = ? AND number = ?")
            .bind(level)
            .bind(signed(number))
            .fetch_optional(&self.pool)
            .await
            .map_err(error::store)?;
        Ok(found.map(|hashes| Tile { level, number, hashes }))
    }

    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let rows = sqlx::query("SELECT size, at_ms, note FROM log_checkpoints WHERE size >= ? ORDER BY size LIMIT ?")
            .bind(signed(from))
            .bind(limit.clamp(1, 1000))
            .fetch_all(&self.pool)
            .await
            .map_err(error::store)?;
        rows.iter().map(|row| read("log_checkpoints", row, checkpoint)).collect()
    }

    async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let found = sqlx::query("SELECT size, at_ms, note FROM log_checkpoints ORDER BY size DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await
            .map_err(error::store)?;
        found.map(|row| read("log_checkpoints", &row, checkpoint)).transpose()
    }

    async fn seal(&self, fence: &Fence, sealing: Sealing) -> Result<(), StoreError> {
        self.guarded(LogWrite::Seal(fence.clone(), Box::new(sealing))).await.map(drop)
    }

    async fn erase(&self, number: u64, from: &[u8], to: Vec<u8>) -> Result<(), StoreError> {
        self.guarded(LogWrite::Erase { number, from: from.to_vec(), to }).await.map(drop)
    }

    async fn prune(&self, fence: &Fence, below: u64) -> Result<u64, StoreError> {
        self.guarded(LogWrite::Prune { fence: fence.clone(), below }).await
    }

    async fn cursor(&self, reader: &ReaderName) -> Result<u64, StoreError> {
        let found = sqlx::query("SELECT entries FROM log_cursors WHERE reader = ?")
            .bind(reader.0.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(error::store)?;
        found.map_or(Ok(0), |row| read("log_cursors", &row, |row| number(row, 0)))
    }

    async fn advance(&self, fence: &Fence, reader: &ReaderName, to: u64) -> Result<(), StoreError> {
        self.guarded(LogWrite::Advance { fence: fence.clone(), reader: reader.clone(), to }).await.map(drop)
    }
}

impl SqliteStore {
    /// Writes what may not fit any more.
    async fn guarded(&self, write: LogWrite) -> Result<u64, StoreError> {
        self.writer.log(write).await?.ok_or(StoreError::Conflict)
    }
}

#[async_trait]
impl Leases for SqliteStore {
    async fn hold(&self, lease: &LeaseName, holder: &ReplicaId, ttl: Duration) -> Result<Option<Fence>, StoreError> {
        let write = LogWrite::Hold { lease: lease.clone(), holder: holder.clone(), ttl };
        let number = self.writer.log(write).await?;
        Ok(number.map(|number| Fence { lease: lease.clone(), holder: holder.clone(), number }))
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        self.writer.log(LogWrite::Release(fence.clone())).await.map(drop)
    }

    /// SQLite's own, so that processes side by side agree.
    async fn clock(&self) -> Result<Timestamp, StoreError> {
        let now = sqlx::query_scalar("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)")
            .fetch_one(&self.pool)
            .await
            .map_err(error::store)?;
        Ok(Timestamp::from_millis(now))
    }
}
