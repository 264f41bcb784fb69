//! Why a PostgreSQL database cannot be used.

use sea_orm::sqlx;

use crate::text::visible;

/// Why a PostgreSQL database cannot be used as a store. No text holds the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none.
    #[error(
        "the address of the database cannot be read: {0}; it is postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full"
    )]
    Address(&'static str),
    /// The server does not answer, or does not let us in.
    #[error("the database {place} cannot be used now: {source}")]
    Unavailable {
        /// Host, port and name of the database.
        place: String,
        /// What was said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no schema to put tables into.
    #[error(
        "the database {place} has no schema of the search path {}: create one, or set it with ?options[search_path]=NAME",
        visible(path)
    )]
    NoSchema {
        /// Host, port and name of the database.
        place: String,
        /// The search path.
        path: String,
    },
    /// Text is not kept as UTF-8.
    #[error("the database {place} keeps text as {}: create it anew with ENCODING 'UTF8'", visible(encoding))]
    Encoding {
        /// Host, port and name of the database.
        place: String,
        /// How it keeps text.
        encoding: String,
    },
    /// The tables are those of another program.
    #[error(
        "schema {} of the database {place} belongs to another program (it holds {}): give identree a database of its own; nothing \
         was changed",
        visible(schema),
        visible(found)
    )]
    Foreign {
        /// Host, port and name of the database.
        place: String,
        /// The schema.
        schema: String,
        /// One of its tables.
        found: String,
    },
    /// A newer version of this program has written it.
    #[error(
        "the database {place} was written by a newer version of this program (schema {}): run that version, or restore the backup \
         made before the update",
        visible(found)
    )]
    Newer {
        /// Host, port and name of the database.
        place: String,
        /// The step this version does not know.
        found: String,
    },
    /// The role may not make tables.
    #[error(
        "the role may not make tables in schema {} of the database {place}: make it the owner (ALTER DATABASE NAME OWNER TO ROLE), or \
         GRANT CREATE ON SCHEMA {} TO it",
        visible(schema),
        visible(schema)
    )]
    MayNotCreate {
        /// Host, port and name of the database.
        place: String,
        /// The schema.
        schema: String,
    },
}

/// The code of a refusal for want of rights (<https://www.postgresql.org/docs/15/errcodes-appendix.html>).
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// Deadlock, failed serialization: the same again may work.
const AGAIN: [&str; 2] = ["40P01", "40001"];

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// Whether the role lacks a right.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == INSUFFICIENT_PRIVILEGE)
}

/// Whether the database refused a transaction, which is undone, and goes on itself. When it ends the connection (class 57P) it may have
/// committed before.
pub(super) fn is_undone(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| !code.starts_with("57P"))
}

/// Whether others were in the way, and the transaction is undone.
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| AGAIN.contains(&&*code))
}
