//! What a database says, in the store's terms.

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

use super::dialect;
use crate::store::StoreError;

/// Whether what is stored is broken, so that trying again is of no use.
fn is_corrupt(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| dialect::BROKEN.contains(&&*code))
}

/// What went wrong while a store was used.
pub(super) fn store(error: sqlx::Error) -> StoreError {
    told(is_corrupt(&error), error)
}

/// An error in the store's terms, however it is wrapped.
pub(super) fn told(corrupt: bool, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let source = source.into();
    if corrupt { StoreError::Corrupt { table: "the database", source } } else { StoreError::Unavailable(source) }
}

/// The same, through the mapper of pages.
pub(super) fn page(error: DbErr) -> StoreError {
    let corrupt = matches!(&error, DbErr::Query(RuntimeErr::SqlxError(inner)) if is_corrupt(inner));
    told(corrupt, error)
}

/// A stored value that this version cannot read.
pub(super) fn corrupt(table: &'static str) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    move |source| StoreError::Corrupt { table, source }
}
