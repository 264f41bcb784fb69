//! Leases, on the database's clock.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::sqlx;

use super::super::error;
use super::log::{signed, unsigned};
use super::{PostgresStore, within};
use crate::store::{Fence, LeaseName, Leases, ReplicaId, StoreError};
use crate::time::Timestamp;

/// The clock of the database itself, in milliseconds: that of a transaction stands still.
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A moment is read once in each attempt: whoever waited for another's row sees what time it is then.
const HOLD: &str = "INSERT INTO leases AS l (name, holder, number, until_ms)
    VALUES ($1, $2, 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3)
    ON CONFLICT (name) DO UPDATE SET
        number = l.number + (l.holder <> excluded.holder)::int, holder = excluded.holder,
        until_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3
    WHERE l.holder = excluded.holder OR l.until_ms <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    RETURNING number";

#[async_trait]
impl Leases for PostgresStore {
    async fn hold(&self, lease: &LeaseName, holder: &ReplicaId, ttl: Duration) -> Result<Option<Fence>, StoreError> {
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4);
        let query = sqlx::query_scalar(HOLD).bind(lease.0.to_string()).bind(holder.as_str().to_owned()).bind(ttl);
        let number: Option<i64> =
            within(async { query.fetch_optional(&self.pool).await.map_err(error::store) }).await?;
        let fence =
            |number| Ok(Fence { lease: lease.clone(), holder: holder.clone(), number: unsigned("leases", number)? });
        number.map(fence).transpose()
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE leases SET until_ms = 0 WHERE name = $1 AND number = $2")
            .bind(fence.lease.0.to_string())
            .bind(signed(fence.number));
        within(async { query.execute(&self.pool).await.map(drop).map_err(error::store) }).await
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        let now = within(async { sqlx::query_scalar(NOW).fetch_one(&self.pool).await.map_err(error::store) }).await?;
        Ok(Timestamp::from_millis(now))
    }
}
