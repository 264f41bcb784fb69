//! Stores over SQL.
//!
//! `sqlite` is a store in one file, `postgres` one that several servers share: each opens, writes and seals in its own way. What any
//! store over SQL does alike stands beside them: how a batch becomes rows ([`row`]), the steps of the schema ([`migration`]),
//! reading pages ([`challenges`], [`documents`], [`journal`]). Every difference in the SQL itself is in [`dialect`].

mod challenges;
mod dialect;
mod documents;
mod entity;
mod error;
mod journal;
mod migration;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod window;

#[cfg(feature = "postgres")]
pub use self::postgres::{ConnectError, PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Copied, CopyError, OpenError, SqliteStore};
