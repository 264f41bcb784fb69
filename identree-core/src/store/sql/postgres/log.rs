//! The sealed log: reads and writes over the pool.

use async_trait::async_trait;
use sea_orm::sqlx;
use sea_orm::sqlx::postgres::PgTransaction;

use super::super::error;
use super::{PostgresStore, within};
use crate::store::{
    ALL_CHECKPOINTS, Bundle, Fence, Log, LogHead, ReaderName, Sealing, StoreError, StoredCheckpoint, TILE, Tile,
};
use crate::time::Timestamp;

/// A number as the database has it: nothing is stored beyond the greatest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that the database cannot have below 0.
pub(super) fn unsigned(table: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|source| error::corrupt(table)(source.into()))
}

type CheckpointRow = (i64, i64, String);

fn checkpoint((size, at, note): CheckpointRow) -> Result<StoredCheckpoint, StoreError> {
    Ok(StoredCheckpoint { size: unsigned("log_checkpoints", size)?, at: Timestamp::from_millis(at), note })
}

#[async_trait]
impl Log for PostgresStore {
    async fn head(&self) -> Result<LogHead, StoreError> {
        let query = sqlx::query_as("SELECT size, root, erasures FROM log_head");
        let (size, root, erasures): (i64, Vec<u8>, i64) =
            within(async { query.fetch_one(&self.pool).await.map_err(error::store) }).await?;
        let root = root.try_into().map_err(|_| error::corrupt("log_head")("the root is not 32 bytes long".into()))?;
        Ok(LogHead { size: unsigned("log_head", size)?, root, erasures: unsigned("log_head", erasures)? })
    }

    async fn bundles(&self, from: u64, limit: u32) -> Result<Vec<Bundle>, StoreError> {
        let query = "SELECT number, entries, personal FROM log_bundles WHERE number >= $1 ORDER BY number LIMIT $2";
        let query = sqlx::query_as(query).bind(signed(from)).bind(i64::from(limit.clamp(1, 1000)));
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> =
            within(async { query.fetch_all(&self.pool).await.map_err(error::store) }).await?;
        let bundle =
            |(number, entries, personal)| Ok(Bundle { number: unsigned("log_bundles", number)?, entries, personal });
        rows.into_iter().map(bundle).collect()
    }

    async fn tile(&self, level: u8, number: u64) -> Result<Option<Tile>, StoreError> {
        let query = sqlx::query_scalar("SELECT hashes FROM log_tiles WHERE level = $1 AND number = $2")
            .bind(i64::from(level))
            .bind(signed(number));
        let found = within(async { query.fetch_optional(&self.pool).await.map_err(error::store) }).await?;
        Ok(found.map(|hashes| Tile { level, number, hashes }))
    }

    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let query = "SELECT size, at_ms, note FROM log_checkpoints WHERE size >= $1 ORDER BY size LIMIT $2";
        let query = sqlx::query_as(query).bind(signed(from)).bind(i64::from(limit.clamp(1, 1000)));
        let rows: Vec<CheckpointRow> =
            within(async { query.fetch_all(&self.pool).await.map_err(error::store) }).await?;
        rows.into_iter().map(checkpoint).collect()
    }

    async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let query = sqlx::query_as("SELECT size, at_ms, note FROM log_checkpoints ORDER BY size DESC LIMIT 1");
        let found = within(async { query.fetch_optional(&self.pool).await.map_err(error::store) }).await?;
        found.map(checkpoint).transpose()
    }

    async fn seal(&self, fence: &Fence, sealing: Sealing) -> Result<(), StoreError> {
        within(async {
            let mut transaction = self.fenced(fence).await?;
            seal(&mut transaction, sealing).await?;
            transaction.commit().await.map_err(error::store)
        })
        .await
    }

    async fn erase(&self, number: u64, from: &[u8], to: Vec<u8>) -> Result<(), StoreError> {
        within(async {
            let mut transaction = self.pool.begin().await.map_err(error::store)?;
            // As a sealer does: first the head.
            let head = "UPDATE log_head SET erasures = erasures + 1";
            sqlx::query(head).execute(&mut *transaction).await.map_err(error::store)?;
            let bundle = "UPDATE log_bundles SET personal = $1 WHERE number = $2 AND personal = $3";
            let query = sqlx::query(bundle).bind(to).bind(signed(number)).bind(from);
            all(1, query.execute(&mut *transaction).await)?;
            transaction.commit().await.map_err(error::store)
        })
        .await
    }

    async fn prune(&self, fence: &Fence, below: u64) -> Result<u64, StoreError> {
        within(async {
            let mut transaction = self.fenced(fence).await?;
            let size = sqlx::query_scalar("SELECT size FROM log_head").fetch_one(&mut *transaction).await;
            let below = signed(below.min(unsigned("log_head", size.map_err(error::store)?)? / TILE));
            let mut gone = 0;
            for (statement, end) in [
                ("DELETE FROM log_tiles WHERE level = 0 AND number < $1", below),
                (
                    "DELETE FROM log_checkpoints WHERE size <= $1 AND size < (SELECT max(size) FROM log_checkpoints)",
                    below * signed(TILE),
                ),
                ("DELETE FROM log_cursors WHERE entries < $1", below * signed(TILE)),
                ("DELETE FROM log_bundles WHERE number < $1", below),
            ] {
                let done = sqlx::query(statement).bind(end).execute(&mut *transaction).await.map_err(error::store)?;
                gone = done.rows_affected();
            }
            transaction.commit().await.map_err(error::store)?;
            Ok(gone)
        })
        .await
    }

    async fn cursor(&self, reader: &ReaderName) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar("SELECT entries FROM log_cursors WHERE reader = $1").bind(reader.0.to_string());
        let found = within(async { query.fetch_optional(&self.pool).await.map_err(error::store) }).await?;
        found.map_or(Ok(0), |entries| unsigned("log_cursors", entries))
    }

    async fn advance(&self, fence: &Fence, reader: &ReaderName, to: u64) -> Result<(), StoreError> {
        within(async {
            let mut transaction = self.fenced(fence).await?;
            let query = "INSERT INTO log_cursors (reader, entries) VALUES ($1, $2)
                ON CONFLICT (reader) DO UPDATE SET entries = excluded.entries";
            let query = sqlx::query(query).bind(reader.0.to_string()).bind(signed(to));
            query.execute(&mut *transaction).await.map_err(error::store)?;
            transaction.commit().await.map_err(error::store)
        })
        .await
    }
}

impl PostgresStore {
    /// A transaction under a lease. Nobody gets the lease before it ends: what is written in it was written by the newest holder.
    async fn fenced(&self, fence: &Fence) -> Result<PgTransaction<'static>, StoreError> {
        let mut transaction = self.pool.begin().await.map_err(error::store)?;
        let query = "SELECT number FROM leases WHERE name = $1 FOR SHARE";
        let query = sqlx::query_scalar(query).bind(fence.lease.0.to_string());
        let newest: Option<i64> = query.fetch_optional(&mut *transaction).await.map_err(error::store)?;
        if newest == Some(signed(fence.number)) { Ok(transaction) } else { Err(StoreError::Conflict) }
    }
}

/// That a statement changed as many rows as it was to.
fn all(rows: usize, done: sqlx::Result<sqlx::postgres::PgQueryResult>) -> Result<(), StoreError> {
    let done = done.map_err(error::store)?;
    if done.rows_affected() == rows as u64 { Ok(()) } else { Err(StoreError::Conflict) }
}

async fn seal(transaction: &mut PgTransaction<'_>, sealing: Sealing) -> Result<(), StoreError> {
    let Sealing { from, to, places, bundles, tiles, checkpoint } = sealing;
    let head =
        "UPDATE log_head SET size = $1, root = $2, erasures = $3 WHERE size = $4 AND root = $5 AND erasures = $6";
    let query = sqlx::query(head).bind(signed(to.size)).bind(&to.root[..]).bind(signed(to.erasures));
    let query = query.bind(signed(from.size)).bind(&from.root[..]).bind(signed(from.erasures));
    all(1, query.execute(&mut **transaction).await)?;
    if !places.is_empty() {
        let sealed: Vec<i64> = places.iter().copied().map(signed).collect();
        let query = sqlx::query("DELETE FROM journal WHERE seq = ANY($1)").bind(sealed);
        all(places.len(), query.execute(&mut **transaction).await)?;
    }
    if !bundles.is_empty() {
        let query = "INSERT INTO log_bundles (number, entries, personal) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
            ON CONFLICT (number) DO UPDATE SET entries = excluded.entries, personal = excluded.personal";
        let numbers: Vec<i64> = bundles.iter().map(|bundle| signed(bundle.number)).collect();
        let (entries, personal): (Vec<_>, Vec<_>) =
            bundles.into_iter().map(|bundle| (bundle.entries, bundle.personal)).unzip();
        let query = sqlx::query(query).bind(numbers).bind(entries).bind(personal);
        query.execute(&mut **transaction).await.map_err(error::store)?;
    }
    if !tiles.is_empty() {
        let query = "INSERT INTO log_tiles (level, number, hashes) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])
            ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes";
        let levels: Vec<i64> = tiles.iter().map(|tile| i64::from(tile.level)).collect();
        let numbers: Vec<i64> = tiles.iter().map(|tile| signed(tile.number)).collect();
        let hashes: Vec<_> = tiles.into_iter().map(|tile| tile.hashes).collect();
        let query = sqlx::query(query).bind(levels).bind(numbers).bind(hashes);
        query.execute(&mut **transaction).await.map_err(error::store)?;
    }
    thin(transaction, from.size, to.size).await?;
    if let Some(StoredCheckpoint { size, at, note }) = checkpoint {
        let query = "INSERT INTO log_checkpoints (size, at_ms, note) VALUES ($1, $2, $3)
            ON CONFLICT (size) DO UPDATE SET at_ms = excluded.at_ms, note = excluded.note";
        let query = sqlx::query(query).bind(signed(size)).bind(at.as_millis()).bind(note);
        query.execute(&mut **transaction).await.map_err(error::store)?;
    }
    Ok(())
}

/// Of the checkpoints in bundles that a seal has moved far enough back only the last of each bundle stays.
async fn thin(transaction: &mut PgTransaction<'_>, from: u64, to: u64) -> Result<(), StoreError> {
    let whole = |size: u64| signed(size.saturating_sub(ALL_CHECKPOINTS) / TILE * TILE);
    let (from, to) = (whole(from), whole(to));
    if from == to {
        return Ok(());
    }
    let thin = "DELETE FROM log_checkpoints WHERE size > $1 AND size <= $2 AND EXISTS (
        SELECT 1 FROM log_checkpoints later
        WHERE later.size > log_checkpoints.size AND later.size <= (log_checkpoints.size + $3 - 1) / $3 * $3)";
    let query = sqlx::query(thin).bind(from).bind(to).bind(signed(TILE));
    query.execute(&mut **transaction).await.map_err(error::store).map(drop)
}
