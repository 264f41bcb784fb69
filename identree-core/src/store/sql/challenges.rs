//! Reading questions: what every store over SQL does alike.

use std::sync::Arc;

use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::dialect;
use super::entity::challenges::{Column, Entity, Model};
use super::error;
use super::window::Window;
use crate::challenge::ChallengeRecord;
use crate::store::{ChallengeFilter, Page, Paged, StoreError};

/// One question's record.
pub(super) const BY_ID: &str = "SELECT record FROM challenges WHERE id = $1";
/// The record of the newest question with a code.
pub(super) const BY_CODE: &str = "SELECT record FROM challenges WHERE code = $1 ORDER BY seq DESC LIMIT 1";

/// Reads a stored record.
pub(super) fn record(json: &str) -> Result<Arc<ChallengeRecord>, StoreError> {
    serde_json::from_str(json).map(Arc::new).map_err(|source| error::corrupt("challenges")(source.into()))
}

/// A page of questions, newest first.
pub(super) async fn page(
    pages: &DatabaseConnection,
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
            // Few wait, but a person may have a long history, which is not gone through.
            let backend = pages.get_database_backend();
            query.filter(dialect::equals_unindexed("requester", requester.as_str(), backend))
        } else {
            query.filter(Column::Requester.eq(requester.as_str()))
        };
    }
    let mut rows = query.all(pages).await.map_err(error::page)?;
    let next = window.cut(&mut rows, |row: &Model| row.seq);
    let items = rows.iter().map(|row| record(&row.record)).collect::<Result<_, _>>()?;
    Ok(Paged { items, next })
}
