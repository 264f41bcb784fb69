//! Counting what waits in the journal: what every store over SQL does alike. Its rows each reads in its own way.

use sea_orm::{DatabaseConnection, EntityTrait, PaginatorTrait};

use super::entity::journal::Entity;
use super::error;
use crate::store::StoreError;

/// How many events are not in the log yet.
pub(super) async fn count(pages: &DatabaseConnection) -> Result<u64, StoreError> {
    Entity::find().count(pages).await.map_err(error::page)
}
