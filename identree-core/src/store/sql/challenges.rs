//! Reading questions.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::sea_query::Expr;
use sea_orm::sqlx;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::challenges::{Column, Entity, Model};
use super::{SqliteStore, Window, error};
use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::ChallengeId;
use crate::store::{ChallengeFilter, Challenges, Page, Paged, StoreError};

fn record(json: &str) -> Result<Arc<ChallengeRecord>, StoreError> {
    serde_json::from_str(json).map(Arc::new).map_err(|source| error::corrupt("challenges")(source.into()))
}

#[async_trait]
impl Challenges for SqliteStore {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        let found: Option<String> = sqlx::query_scalar("SELECT record FROM challenges WHERE id = ?")
            .bind(id.as_bytes().to_vec())
            .fetch_optional(&self.pool)
            .await
            .map_err(error::store)?;
        found.as_deref().map(record).transpose()
    }

    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        // As one value: there is a limit on how many a statement takes.
        let ids = serde_json::to_string(ids).map_err(|error| StoreError::Unavailable(error.into()))?;
        let rows: Vec<String> =
            sqlx::query_scalar("SELECT record FROM challenges WHERE id IN (SELECT unhex(value) FROM json_each(?))")
                .bind(ids)
                .fetch_all(&self.pool)
                .await
                .map_err(error::store)?;
        rows.iter().map(|row| record(row)).collect()
    }

    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        let found: Option<String> =
            sqlx::query_scalar("SELECT record FROM challenges WHERE code = ? ORDER BY seq DESC LIMIT 1")
                .bind(code.as_str().to_owned())
                .fetch_optional(&self.pool)
                .await
                .map_err(error::store)?;
        found.as_deref().map(record).transpose()
    }

    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        let window = Window::of(page);
        let mut query = Entity::find().order_by_desc(Column::Seq).limit(window.rows());
        if let Some(after) = window.after {
            query = query.filter(Column::Seq.lt(after));
        }
        query = match filter.pending {
            Some(true) => query.filter(Column::SettledAtMs.is_null()),
            Some(false) => query.filter(Column::SettledAtMs.is_not_null()),
            None => query,
        };
        if let Some(requester) = &filter.requester {
            query = if filter.pending == Some(true) {
                // Few wait, but a person may have a long history: the `+` keeps SQLite from going through that.
                query.filter(Expr::cust_with_values("+requester = ?", [requester.as_str()]))
            } else {
                query.filter(Column::Requester.eq(requester.as_str()))
            };
        }
        let mut rows = query.all(&self.pages).await.map_err(error::page)?;
        let next = window.cut(&mut rows, |row: &Model| row.seq);
        let items = rows.iter().map(|row| record(&row.record)).collect::<Result<_, _>>()?;
        Ok(Paged { items, next })
    }
}
