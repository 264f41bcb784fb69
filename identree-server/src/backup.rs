//! Copies of the database: made beside a running server, and brought back where none runs. Like [`boot`](crate::boot), it names a concrete
//! store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::UserName;
use identree_core::rng::OsEntropy;
use identree_core::store::{
    Batch, Change, Collection, CopyError, DocumentKey, OpenError, Page, SqliteStore, Store, StoreError,
};
use identree_core::time::SystemClock;

use crate::config::DataSettings;
use crate::data_lock::{DataLock, DataLockError};
use crate::login::SIGN_INS;
use crate::parts::Parts;
use crate::session::SESSIONS;

/// Why it was not done. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is no copy.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A server runs on the data directory.
    #[error(transparent)]
    DataLock(#[from] DataLockError),
    /// The database that was restored cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// It is done, and not written down.
    #[error("{done}; it could not be recorded: {source}")]
    Unrecorded {
        /// What is done.
        done: String,
        /// Why.
        source: StoreError,
    },
}

/// Who does it, as the system knows them.
fn event(parts: &Parts, kind: EventKind, by: &UserName) -> AuditEvent {
    AuditEvent { actor: Some(by.clone()), via: Some("command line".to_owned()), ..parts.event(kind) }
}

fn parts(store: SqliteStore) -> Parts {
    Parts { store: Arc::new(store), clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) }
}

/// Makes a backup, also beside a running server, and records it; gives its size in bytes. A database that another version of this program has
/// in use is copied as it is, and not written to.
///
/// # Errors
/// [`BackupError`]; only with [`BackupError::Unrecorded`] the backup is there.
pub async fn back_up(settings: &DataSettings, file: &Path, by: &UserName) -> Result<u64, BackupError> {
    let copied = SqliteStore::back_up(&settings.database, file).await?;
    if copied.current {
        let parts = parts(SqliteStore::open(&settings.database).await?);
        let made = event(&parts, EventKind::BackupMade, by).with("size", copied.bytes.to_string());
        let done = parts.store.commit(Batch::event(made)).await;
        done.map_err(|source| BackupError::Unrecorded { done: format!("{} is made", file.display()), source })?;
    }
    Ok(copied.bytes)
}

/// What a database that was restored begins with.
#[derive(Debug)]
pub struct Restored {
    /// How many entries its log has.
    pub log: u64,
}

/// Brings a backup back where there is no database and no server runs. Whoever was signed in then signs in anew: a session that has
/// ended since must not come back.
///
/// # Errors
/// [`BackupError`]. What is there is left as it is.
pub async fn restore(settings: &DataSettings, file: &Path, by: &UserName) -> Result<Restored, BackupError> {
    let lock = DataLock::take(&settings.data_dir)?;
    let copied = SqliteStore::restore(file, &settings.database).await?;
    let parts = parts(SqliteStore::open(&settings.database).await?);
    let unrecorded =
        |source| BackupError::Unrecorded { done: format!("{} is restored", settings.database.display()), source };
    for collection in [SESSIONS, SIGN_INS] {
        clear(&parts, collection).await.map_err(unrecorded)?;
    }
    let restored = event(&parts, EventKind::BackupRestored, by).with("size", copied.bytes.to_string());
    parts.store.commit(Batch::event(restored)).await.map_err(unrecorded)?;
    let log = parts.store.head().await.map_err(unrecorded)?.size;
    drop(lock);
    Ok(Restored { log })
}

async fn clear(parts: &Parts, collection: Collection) -> Result<(), StoreError> {
    loop {
        let found = parts.store.documents(collection, parts.now(), Page::first(500)).await?.items;
        if found.is_empty() {
            return Ok(());
        }
        let gone = found.into_iter().map(|document| Change::Document {
            key: DocumentKey::new(collection, document.key),
            expect: Some(document.revision),
            put: None,
        });
        parts.store.commit(Batch::unrecorded(gone.collect())).await?;
    }
}

/// The key files of a data directory, which no backup of the database has.
///
/// # Errors
/// If the directory cannot be read.
pub fn key_files(data_dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(data_dir)? {
        let path = file?.path();
        let is_key = path.extension().is_some_and(|ending| ending == "key" || ending == "keys");
        if is_key && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
