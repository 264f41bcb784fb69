//! Reading documents.

use async_trait::async_trait;
use sea_orm::sqlx::{self, Row, sqlite::SqliteRow};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::documents::{Column, Entity, Model};
use super::{SqliteStore, Window, error};
use crate::store::{Collection, Document, DocumentKey, Documents, Page, Paged, StoreError};
use crate::time::Timestamp;

fn revision(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|source| error::corrupt("documents")(source.into()))
}

#[async_trait]
impl Documents for SqliteStore {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        let found = sqlx::query(
            "SELECT revision, expires_at_ms, bytes FROM documents
             WHERE collection = ? AND key = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)",
        )
        .bind(key.collection.0)
        .bind(key.key.to_string())
        .bind(now.as_millis())
        .fetch_optional(&self.pool)
        .await
        .map_err(error::store)?;
        let Some(row) = found else { return Ok(None) };
        let read = |row: &SqliteRow| Ok((row.try_get(0)?, row.try_get::<Option<i64>, _>(1)?, row.try_get(2)?));
        let (stored, end, bytes) =
            read(&row).map_err(|source: sqlx::Error| error::corrupt("documents")(source.into()))?;
        let expires_at = end.map(Timestamp::from_millis);
        Ok(Some(Document { key: key.key.clone(), revision: revision(stored)?, expires_at, bytes }))
    }

    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        let window = Window::of(page);
        let alive = Condition::any().add(Column::ExpiresAtMs.is_null()).add(Column::ExpiresAtMs.gt(now.as_millis()));
        let query = Entity::find()
            .filter(Column::Collection.eq(of.0))
            .filter(Column::Seq.gt(window.after.unwrap_or(0)))
            .filter(alive)
            .order_by_asc(Column::Seq)
            .limit(window.rows());
        let mut rows = query.all(&self.pages).await.map_err(error::page)?;
        let next = window.cut(&mut rows, |row: &Model| row.seq);
        let document = |row: Model| {
            let expires_at = row.expires_at_ms.map(Timestamp::from_millis);
            Ok(Document { key: row.key.into(), revision: revision(row.revision)?, expires_at, bytes: row.bytes })
        };
        Ok(Paged { items: rows.into_iter().map(document).collect::<Result<_, StoreError>>()?, next })
    }
}
