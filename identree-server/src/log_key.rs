//! The log's key: what its checkpoints are signed with, and how the database knows that it is always the same.

use std::path::Path;

use identree_core::audit::{LogKey, LogSettings, Origin};
use identree_core::grant::Signer as _;
use identree_core::rng::Entropy;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, Store, StoreError};
use identree_core::time::Timestamp;
use url::Url;

use crate::key_file::{self, KeyFileError};

/// Its name in the data directory. Servers over one database need the same file.
pub const FILE_NAME: &str = "log.key";

/// What is known of the log beside its entries.
pub const LOG: Collection = Collection("log");

/// The log cannot be sealed under this key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogKeyError {
    /// Its file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The log was begun with a key that is not here; none is made in its place.
    #[error(
        "the log of this database is signed by {recorded}, and {file} is missing: put the first server's file there (all servers over one \
         database share it, and decision.key), or restore it from a backup"
    )]
    Missing {
        /// The key that the database knows.
        recorded: LogKey,
        /// The file.
        file: String,
    },
    /// The database cannot be read or written.
    #[error("the log's key could not be compared with the database")]
    Store(#[from] StoreError),
    /// What stands in the database is no key.
    #[error("the database holds something unreadable as the log's key: {0}")]
    Recorded(String),
    /// The log was begun with another key.
    #[error(
        "the log of this database is signed by {recorded}, and {file} holds {found}: put the first server's file there (all servers \
         over one database share it), or restore it from a backup"
    )]
    Other {
        /// The key that the database knows.
        recorded: LogKey,
        /// The file.
        file: String,
        /// Its key.
        found: LogKey,
    },
}

/// The key, made at the very first start, and the name that the log got then: it stays when the server's address changes.
///
/// # Errors
/// [`LogKeyError`] says what is wrong; a log has one key. A change of keys would be written here: a statement of the old one beside it.
pub async fn settings(
    store: &dyn Store,
    data_dir: &Path,
    external_url: &Url,
    entropy: &dyn Entropy,
) -> Result<LogSettings, LogKeyError> {
    let path = data_dir.join(FILE_NAME);
    let recorded = recorded(store).await?;
    let signer = match &recorded {
        None => key_file::load_or_make(&path, entropy)?,
        // A new key would be another's.
        Some(recorded) => key_file::load(&path).map_err(|error| match error.is_missing() {
            true => LogKeyError::Missing { recorded: recorded.clone(), file: path.display().to_string() },
            false => error.into(),
        })?,
    };
    let found = LogKey { origin: origin(external_url), key: signer.public_key() };
    let recorded = match recorded {
        Some(recorded) => recorded,
        None => record(store, found.clone()).await?,
    };
    if recorded.key != found.key {
        return Err(LogKeyError::Other { recorded, file: path.display().to_string(), found });
    }
    Ok(LogSettings { signer: std::sync::Arc::new(signer), origin: recorded.origin })
}

/// The key of the log in this database; none before the first start.
///
/// # Errors
/// [`LogKeyError`] if it cannot be told.
pub async fn recorded(store: &dyn Store) -> Result<Option<LogKey>, LogKeyError> {
    let Some(document) = store.document(&key(), Timestamp::default()).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&document.bytes);
    LogKey::parse(&text).map(Some).map_err(|error| LogKeyError::Recorded(error.to_string()))
}

/// Writes the key down, unless another server was faster: then that one counts.
async fn record(store: &dyn Store, found: LogKey) -> Result<LogKey, LogKeyError> {
    let put = Put { bytes: found.to_string().into_bytes(), expires_at: None };
    let change = Change::Document { key: key(), expect: None, put: Some(put) };
    match store.commit(Batch::unrecorded(vec![change])).await {
        Ok(()) => Ok(found),
        Err(StoreError::Conflict) => Ok(recorded(store).await?.unwrap_or(found)),
        Err(error) => Err(error.into()),
    }
}

fn key() -> DocumentKey {
    DocumentKey::new(LOG, "key")
}

/// `identree.example.com/log`.
fn origin(external_url: &Url) -> Origin {
    let named = external_url.host_str().and_then(|host| Origin::parse(&format!("{host}/log")));
    named.unwrap_or_else(|| Origin::parse("localhost/log").expect("a valid origin"))
}

#[cfg(test)]
mod tests {
    use identree_core::rng::OsEntropy;
    use identree_core::store::MemoryStore;

    use super::*;

    async fn at(store: &MemoryStore, dir: &Path, url: &str) -> Result<LogSettings, LogKeyError> {
        settings(store, dir, &Url::parse(url).unwrap(), &OsEntropy).await
    }

    #[tokio::test]
    async fn a_log_keeps_its_key_and_its_name_and_takes_no_other() {
        let (store, dir) = (MemoryStore::new(), tempfile::tempdir().unwrap());
        let first = at(&store, dir.path(), "https://id.example:8443/x").await.unwrap();
        assert_eq!(first.origin.as_str(), "id.example/log");
        let again = at(&store, dir.path(), "https://new.example").await.unwrap();
        assert_eq!((again.origin, again.signer.public_key()), (first.origin.clone(), first.signer.public_key()));
        let key = recorded(&store).await.unwrap().unwrap();
        assert_eq!((&key.origin, key.key), (&first.origin, first.signer.public_key()));

        let other = tempfile::tempdir().unwrap();
        let missing = at(&store, other.path(), "https://id.example").await.unwrap_err();
        assert!(
            matches!(&missing, LogKeyError::Missing { recorded, .. } if *recorded == key),
            "none is made: {missing}"
        );
        key_file::make(&other.path().join(FILE_NAME), &OsEntropy).unwrap();
        let error = at(&store, other.path(), "https://id.example").await.unwrap_err();
        assert!(matches!(&error, LogKeyError::Other { recorded, .. } if *recorded == key));
        assert!(error.to_string().contains(&key.to_string()), "{error}");
    }
}
