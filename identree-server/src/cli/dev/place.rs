//! Where a run keeps its files: a private directory that goes with it, or one to keep.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::DevError;

/// A directory that its owner alone may enter.
#[derive(Debug)]
pub(super) enum Place {
    /// Removed with everything in it when this is dropped.
    Temporary(TempDir),
    /// Stays.
    Kept(PathBuf),
}

impl Place {
    /// A new private directory under the system's temporary directory.
    pub(super) fn temporary() -> Result<Self, DevError> {
        let dir =
            tempfile::Builder::new().prefix("identree-dev-").permissions(fs::Permissions::from_mode(0o700)).tempdir();
        dir.map(Self::Temporary).map_err(|error| DevError::file(&std::env::temp_dir(), error))
    }

    /// The given directory, made if it is missing; refused when others may enter it.
    pub(super) fn kept(dir: &Path) -> Result<Self, DevError> {
        let failed = |error| DevError::file(dir, error);
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let dir = dir.canonicalize().map_err(failed)?;
        let about = fs::metadata(&dir).map_err(failed)?;
        if !about.is_dir() || about.mode() & 0o077 != 0 || about.uid() != rustix::process::geteuid().as_raw() {
            return Err(DevError::NotPrivate(dir));
        }
        Ok(Self::Kept(dir))
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }

    /// Whether it stays.
    pub(super) const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Removes what is not to be kept, and says if that fails.
    pub(super) fn clear(self) -> Result<(), DevError> {
        match self {
            Self::Temporary(dir) => {
                let path = dir.path().to_owned();
                dir.close().map_err(|error| DevError::file(&path, error))
            }
            Self::Kept(_) => Ok(()),
        }
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file whole, 0600: under another name first, so that nobody reads half of it.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, DevError> {
        let (path, new) = (self.path(name), self.path(&format!(".{name}.new")));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(content)?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| DevError::file(&path, error))?;
        Ok(path)
    }

    /// A file's content, if it is there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, DevError> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DevError::file(&self.path(name), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_place_is_private_and_leaves_nothing() {
        let place = Place::temporary().unwrap();
        let dir = place.dir().to_owned();
        let file = place.write("secret", b"x").unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(place.read("secret").unwrap().as_deref(), Some("x"));
        assert_eq!(place.read("other").unwrap(), None);
        place.clear().unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn a_kept_place_that_others_may_enter_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("data");
        assert!(Place::kept(&dir).is_ok());
        assert!(Place::kept(&dir).is_ok(), "it may exist");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Place::kept(&dir), Err(DevError::NotPrivate(_))));
    }
}
