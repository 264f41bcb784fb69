//! What SQLite says, in our terms.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;
use sea_orm::sqlx;

use super::super::error::told;
use crate::store::StoreError;
use crate::text::visible;

/// Why a file cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its directory cannot be used.
    #[error(
        "cannot open the database {}: check that the directory exists and that this user may write to it",
        shown(path)
    )]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else than a database.
    #[error(
        "{} is not a SQLite database: give another path, or move the file away so that a new one is made",
        shown(path)
    )]
    NotADatabase {
        /// Which file.
        path: PathBuf,
    },
    /// The file is a database, of another program.
    #[error("{} is the database of another program: give another path; the file was not changed", shown(path))]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// A newer version of this program has written it.
    #[error(
        "{} was written by a newer version of this program (schema {}): run that version, or restore the backup made before \
         the update",
        shown(path),
        visible(found)
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The step this version does not know.
        found: String,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged ({}): stop everything that uses it, keep a copy, and restore a backup or recover it with \
         `sqlite3 FILE .recover`",
        shown(path),
        visible(detail)
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// The database did not answer: another process holds it, or the disk is full.
    #[error("the database {} cannot be used now: check free space and whether another process holds it", shown(path))]
    Unavailable {
        /// Which file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(super) fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

/// The primary result codes that mean a broken file (<https://sqlite.org/rescode.html>).
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_NOTADB: i32 = 26;

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// What went wrong while opening.
pub(super) fn open(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match primary_code(&error) {
        Some(SQLITE_NOTADB) => OpenError::NotADatabase { path },
        Some(SQLITE_CORRUPT) => OpenError::Damaged { path, detail: error.to_string() },
        _ => OpenError::Unavailable { path, source: error.into() },
    }
}

/// What went wrong while writing.
pub(super) fn write(error: Arc<rusqlite::Error>) -> StoreError {
    told(is_broken(&error), Shared(error))
}

/// What went wrong while reading.
pub(super) fn read(error: rusqlite::Error) -> StoreError {
    told(is_broken(&error), error)
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// One error for everybody in a group.
#[derive(Debug, thiserror::Error)]
#[error("the transaction failed: {0}")]
struct Shared(Arc<rusqlite::Error>);
