//! Opening the store that the settings name. Here, in [`boot`](crate::boot) and in [`backup`](crate::backup) concrete stores have names; nowhere
//! else.

use std::sync::Arc;

use identree_core::store::Store;

use crate::config::Database;

/// Why the database cannot be used. Each text says what to do, and none holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The SQLite file.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Sqlite(#[from] identree_core::store::OpenError),
    /// The PostgreSQL database.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] identree_core::store::ConnectError),
    /// A sort of database that this build knows nothing of.
    #[error("this build has no store for {0}: build it with --features {0}, or set another IDENTREE_DATABASE_DRIVER")]
    NotBuilt(&'static str),
}

/// Opens the store, and brings its schema up to date.
///
/// # Errors
/// [`DatabaseError`] says why it cannot be used and what to do.
pub async fn open(database: &Database) -> Result<Arc<dyn Store>, DatabaseError> {
    match database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(path) => Ok(Arc::new(identree_core::store::SqliteStore::open(path).await?)),
        #[cfg(feature = "postgres")]
        Database::Postgres { dsn, max_connections } => {
            use identree_core::store::{PostgresOptions, PostgresStore};
            let mut options = PostgresOptions::default();
            options.max_connections = *max_connections;
            Ok(Arc::new(PostgresStore::connect(dsn.expose(), options).await?))
        }
        #[cfg(not(feature = "sqlite"))]
        Database::Sqlite(_) => Err(DatabaseError::NotBuilt("sqlite")),
        #[cfg(not(feature = "postgres"))]
        Database::Postgres { .. } => Err(DatabaseError::NotBuilt("postgres")),
    }
}
