//! One server per data directory: each keeps in memory who waits, and would not hear of the other's votes.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file that is locked, in the data directory. It holds nothing.
pub const FILE_NAME: &str = "identree.lock";

/// Why this process may not serve the directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataLockError {
    /// Another process does.
    #[error(
        "data directory {path}: another identree serves it; stop that one first, or give this one its own IDENTREE_DATA_DIR",
        path = .path.display()
    )]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// The lock cannot be made.
    #[error("{path}: {source}; this user must be able to write there", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Held as long as the server runs. The kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the directory for this process.
    ///
    /// # Errors
    /// [`DataLockError`] if another process has it, or the file cannot be opened. A file system without locks is warned of
    /// and used.
    pub fn take(data_dir: &Path) -> Result<Self, DataLockError> {
        let path = data_dir.join(FILE_NAME);
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(|source| DataLockError::Io { path: path.clone(), source })?;
        if let Err(error) = belongs(&file, data_dir) {
            tracing::debug!(%error, "the lock stays this user's");
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataLockError::Taken { path: data_dir.to_owned() }),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "{} cannot be locked: make sure that no other identree serves this directory",
                    path.display()
                );
            }
        }
        Ok(Self { _file: file })
    }
}

/// Gives the file to the owner of its directory: root's verbs must not keep the service from its own lock.
fn belongs(file: &File, directory: &Path) -> std::io::Result<()> {
    let (is, due) = (file.metadata()?, std::fs::metadata(directory)?);
    if (is.uid(), is.gid()) == (due.uid(), due.gid()) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(due.uid()), Some(due.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataLock::take(dir.path()).unwrap();
        assert!(matches!(DataLock::take(dir.path()), Err(DataLockError::Taken { .. })));
        drop(first);
        DataLock::take(dir.path()).unwrap();
    }
}
