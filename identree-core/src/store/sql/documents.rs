//! Reading documents: what every store over SQL does alike.

use sea_orm::{ColumnTrait, Condition, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::documents::{Column, Entity, Model};
use super::error;
use super::window::Window;
use crate::store::{Collection, Document, Page, Paged, StoreError};
use crate::time::Timestamp;

/// Revision, end and bytes of one document, by collection, key and the time of now.
pub(super) const BY_KEY: &str = "SELECT revision, expires_at_ms, bytes FROM documents
    WHERE collection = $1 AND key = $2 AND (expires_at_ms IS NULL OR expires_at_ms > $3)";

/// What [`BY_KEY`] finds.
pub(super) type Row = (i64, Option<i64>, Vec<u8>);

/// Makes a document of its row.
pub(super) fn document(key: Box<str>, (revision, end, bytes): Row) -> Result<Document, StoreError> {
    let revision = u64::try_from(revision).map_err(|source| error::corrupt("documents")(source.into()))?;
    Ok(Document { key, revision, expires_at: end.map(Timestamp::from_millis), bytes })
}

/// A page of a collection.
pub(super) async fn page(
    pages: &DatabaseConnection,
    of: Collection,
    now: Timestamp,
    page: Page,
) -> Result<Paged<Document>, StoreError> {
    let window = Window::of(page);
    let alive = Condition::any().add(Column::ExpiresAtMs.is_null()).add(Column::ExpiresAtMs.gt(now.as_millis()));
    let query = Entity::find()
        .filter(Column::Collection.eq(of.0))
        .filter(Column::Seq.gt(window.after.unwrap_or(0)))
        .filter(alive)
        .order_by_asc(Column::Seq)
        .limit(window.rows());
    let mut rows = query.all(pages).await.map_err(error::page)?;
    let next = window.cut(&mut rows, |row: &Model| row.seq);
    let made = |row: Model| document(row.key.into(), (row.revision, row.expires_at_ms, row.bytes));
    Ok(Paged { items: rows.into_iter().map(made).collect::<Result<_, StoreError>>()?, next })
}
