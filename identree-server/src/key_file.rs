//! A private key in a file of the data directory: 32 bytes as 64 hexadecimal digits, mode 0600, never in the database.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use identree_core::grant::LocalSigner;
use identree_core::rng::{Entropy, bytes};
use identree_core::text::{hex, unhex};
use zeroize::Zeroizing;

/// The key cannot be used; nothing is signed with a doubtful one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or made.
    #[error("key file {path}: {source}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("key file {path}: others may read it (mode {mode:04o}); run: chmod 600 {path}, and consider the key known to them", path = .path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a key.
    #[error("key file {path}: is damaged (64 hexadecimal digits expected); restore it from a backup, or move it away for a new key: docs/operations.md says who must be told of it", path = .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

impl KeyFileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == ErrorKind::NotFound)
    }
}

/// Reads the key, or makes it at the very first start.
///
/// # Errors
/// [`KeyFileError`]; an existing file is never overwritten.
pub fn load_or_make(path: &Path, entropy: &dyn Entropy) -> Result<LocalSigner, KeyFileError> {
    match load(path) {
        Err(error) if error.is_missing() => {
            make(path, entropy)?;
            load(path)
        }
        loaded => loaded,
    }
}

/// Reads an existing key.
///
/// # Errors
/// [`KeyFileError`] if there is none or it cannot be used.
pub fn load(path: &Path) -> Result<LocalSigner, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    let damaged = || KeyFileError::Damaged { path: path.to_owned() };
    file.read_to_string(&mut text).map_err(|_| damaged())?;
    let mut seed = Zeroizing::new([0; 32]);
    if unhex(text.trim_end(), &mut *seed) { Ok(LocalSigner::from_seed(&seed)) } else { Err(damaged()) }
}

/// Makes a new one, unless there is one. Written aside and linked into place: the file is whole or not there, and of two starts at
/// once one wins.
///
/// # Errors
/// [`KeyFileError`] if it cannot be written.
pub fn make(path: &Path, entropy: &dyn Entropy) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let seed = Zeroizing::new(bytes::<32>(entropy));
    let aside = path.with_extension(format!("key.{}", hex(&bytes::<8>(entropy))));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(io)?;
    let written = file.write_all(Zeroizing::new(hex(&*seed)).as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&aside, path));
    let removed = std::fs::remove_file(&aside);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io(error)),
    }
    removed.map_err(io)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use identree_core::grant::Signer as _;
    use identree_core::rng::OsEntropy;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.key");
        assert!(load(&path).is_err_and(|error| error.is_missing()));
        let first = load_or_make(&path, &OsEntropy).unwrap().public_key();
        assert_eq!(load_or_make(&path, &OsEntropy).unwrap().public_key(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load_or_make(&path, &OsEntropy), Err(KeyFileError::Mode { mode: 0o640, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(load_or_make(&path, &OsEntropy), Err(KeyFileError::Damaged { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key", "a damaged key is not overwritten");
    }
}
