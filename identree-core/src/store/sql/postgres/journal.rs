//! Reading what is not in the log yet.

use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::super::entity::journal::{Column, Entity, Model};
use super::super::error;
use super::super::window::Window;
use crate::store::{Page, Paged, StoreError, Unsealed};

/// A page of what is not in the log yet.
pub(super) async fn page(pages: &DatabaseConnection, page: Page) -> Result<Paged<Unsealed>, StoreError> {
    let window = Window::of(page);
    let query =
        Entity::find().filter(Column::Seq.gt(window.after.unwrap_or(0))).order_by_asc(Column::Seq).limit(window.rows());
    let mut rows = query.all(pages).await.map_err(error::page)?;
    let next = window.cut(&mut rows, |row: &Model| row.seq);
    let corrupt = error::corrupt("journal");
    let unsealed = |row: &Model| {
        let place = u64::try_from(row.seq).map_err(|source| corrupt(source.into()))?;
        let event = serde_json::from_str(&row.event).map_err(|source| corrupt(source.into()))?;
        Ok(Unsealed { place, event })
    };
    Ok(Paged { items: rows.iter().map(unsealed).collect::<Result<_, StoreError>>()?, next })
}
