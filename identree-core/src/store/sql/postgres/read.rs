//! Reading, over the pool.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::sqlx;

use super::super::{challenges, documents, error, journal};
use super::{PostgresStore, within};
use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::ChallengeId;
use crate::store::{
    ChallengeFilter, Challenges, Collection, Document, DocumentKey, Documents, Journal, Page, Paged, StoreError,
    Unsealed,
};
use crate::time::Timestamp;

#[async_trait]
impl Challenges for PostgresStore {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        let query = sqlx::query_scalar(challenges::BY_ID).bind(id.as_bytes().to_vec());
        let found: Option<String> =
            within(async { query.fetch_optional(&self.pool).await.map_err(error::store) }).await?;
        found.as_deref().map(challenges::record).transpose()
    }

    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        let ids: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        let query = sqlx::query_scalar("SELECT record FROM challenges WHERE id = ANY($1)").bind(ids);
        let rows: Vec<String> = within(async { query.fetch_all(&self.pool).await.map_err(error::store) }).await?;
        rows.iter().map(|row| challenges::record(row)).collect()
    }

    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        let query = sqlx::query_scalar(challenges::BY_CODE).bind(code.as_str().to_owned());
        let found: Option<String> =
            within(async { query.fetch_optional(&self.pool).await.map_err(error::store) }).await?;
        found.as_deref().map(challenges::record).transpose()
    }

    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        within(challenges::page(&self.pages, filter, page)).await
    }
}

#[async_trait]
impl Documents for PostgresStore {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        let query =
            sqlx::query_as(documents::BY_KEY).bind(key.collection.0).bind(key.key.to_string()).bind(now.as_millis());
        let found = within(async { query.fetch_optional(&self.pool).await.map_err(error::store) }).await?;
        found.map(|row| documents::document(key.key.clone(), row)).transpose()
    }

    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        within(documents::page(&self.pages, of, now, page)).await
    }
}

#[async_trait]
impl Journal for PostgresStore {
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        within(super::journal::page(&self.pages, page)).await
    }

    async fn unsealed_count(&self) -> Result<u64, StoreError> {
        within(journal::count(&self.pages)).await
    }
}
