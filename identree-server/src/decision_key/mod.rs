//! The decision key: 32 bytes in a file of mode 0600, never in the database.

pub mod rotate;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use identree_core::grant::LocalSigner;
use identree_core::rng::{Entropy, bytes};
use identree_core::text::{hex, unhex};
use zeroize::Zeroizing;

/// Its name in the data directory.
pub const FILE_NAME: &str = "decision.key";

/// The key cannot be used; no answer is signed with a doubtful one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionKeyError {
    /// The file cannot be read or made.
    #[error("decision key {path}: {source}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("decision key {path}: others may read it (mode {mode:04o}); run: chmod 600 {path}, and consider the key known to them", path = .path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A rotation that was cut off cannot be finished.
    #[error("{0}; the decision key was about to be replaced")]
    Unfinished(Box<rotate::RotateError>),
    /// Not a key.
    #[error("decision key {path}: is damaged (64 hexadecimal digits expected); restore it from a backup, or move it away for a new key that every host must then be given", path = .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads the key, or makes it at the very first start.
///
/// # Errors
/// [`DecisionKeyError`]; an existing file is never overwritten.
pub fn load_or_make(data_dir: &Path, entropy: &dyn Entropy) -> Result<LocalSigner, DecisionKeyError> {
    rotate::finish(data_dir).map_err(|error| DecisionKeyError::Unfinished(Box::new(error)))?;
    let path = data_dir.join(FILE_NAME);
    match load(&path) {
        Err(DecisionKeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            make(&path, entropy)?;
            load(&path)
        }
        loaded => loaded,
    }
}

/// Reads an existing key.
///
/// # Errors
/// [`DecisionKeyError`] if there is none or it cannot be used.
pub fn load(path: &Path) -> Result<LocalSigner, DecisionKeyError> {
    let io = |source| DecisionKeyError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(DecisionKeyError::Mode { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    let damaged = || DecisionKeyError::Damaged { path: path.to_owned() };
    file.read_to_string(&mut text).map_err(|_| damaged())?;
    let mut seed = Zeroizing::new([0; 32]);
    if unhex(text.trim_end(), &mut *seed) { Ok(LocalSigner::from_seed(&seed)) } else { Err(damaged()) }
}

/// Written aside and linked into place: the file is whole or not there, and of two starts at once one wins.
fn make(path: &Path, entropy: &dyn Entropy) -> Result<(), DecisionKeyError> {
    let io = |source| DecisionKeyError::Io { path: path.to_owned(), source };
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
        let first = load_or_make(dir.path(), &OsEntropy).unwrap().public_key();
        assert_eq!(load_or_make(dir.path(), &OsEntropy).unwrap().public_key(), first);
        let path = dir.path().join(FILE_NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load_or_make(dir.path(), &OsEntropy), Err(DecisionKeyError::Mode { mode: 0o640, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(load_or_make(dir.path(), &OsEntropy), Err(DecisionKeyError::Damaged { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key", "a damaged key is not overwritten");
    }
}
