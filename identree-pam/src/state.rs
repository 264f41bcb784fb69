//! What this host keeps over a restart: a folder of root's own, small files put in place whole and forced to disk.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, fsync};
use rustix::io::Errno;

use crate::folder::{Fault, Folder, errno};
use crate::lock::Patience;

/// Where a host keeps what it must not forget. Not `/var/lib/identree`: on the server's own machine that may be the
/// service user's, who could put another folder in the place of one of ours.
pub const DIRECTORY: &str = "/var/lib/identree-host";

/// The lock is held while a file is written; who holds it for five seconds is stuck.
const PATIENCE: Patience =
    Patience { within: Duration::from_secs(5), retry: Timespec { tv_sec: 0, tv_nsec: 2_000_000 } };

/// Why the folder cannot be used. What would have needed it does not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system refused.
    #[error("{}: {cause}", .path.display())]
    System {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: Errno,
    },
    /// Not root's alone.
    #[error("{}: must be a folder of uid {owner} with mode 0700 and not a link; run: chown {owner} '{0}' && chmod 0700 '{0}'", .path.display())]
    Directory {
        /// Which folder.
        path: PathBuf,
        /// Whose it must be.
        owner: u32,
    },
    /// Somebody else could put another folder in its place.
    #[error("{}: must be a folder of uid {owner} that nobody else can write to; run: chown {owner} '{0}' && chmod go-w '{0}'", .path.display())]
    Above {
        /// Which folder.
        path: PathBuf,
        /// Whose it must be.
        owner: u32,
    },
    /// Not what was written there.
    #[error("{}: is damaged; look at it, then remove it", .0.display())]
    Damaged(PathBuf),
    /// Somebody holds the lock.
    #[error("{}: is locked by another process", .0.display())]
    Locked(PathBuf),
}

impl From<Fault> for StateError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::System { path, cause } => Self::System { path, cause },
            Fault::Foreign { path, owner } => Self::Directory { path, owner },
            Fault::Damaged(path) => Self::Damaged(path),
            Fault::Locked(path) => Self::Locked(path),
        }
    }
}

/// A folder that is `owner`'s alone.
#[derive(Debug)]
pub struct State(Folder);

/// While it lives, no other process changes the folder.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock is the open file")] OwnedFd);

impl State {
    /// Opens the folder, making it and the one above it where they are missing.
    ///
    /// # Errors
    /// [`StateError`] if it is not `owner`'s alone.
    pub fn create(path: &Path, owner: u32) -> Result<Self, StateError> {
        for folder in path.parent().into_iter().chain([path]) {
            Folder::make(folder)?;
        }
        Self::open(path, owner)
    }

    /// Opens the folder.
    ///
    /// # Errors
    /// [`StateError`] if it is not there or not `owner`'s alone.
    pub fn open(path: &Path, owner: u32) -> Result<Self, StateError> {
        let system = |cause| StateError::System { path: path.to_owned(), cause };
        if let Some(above) = path.parent() {
            let stat = rustix::fs::stat(above).map_err(system)?;
            // Where the sticky bit is set, others cannot put another folder in the place of ours.
            if stat.st_uid != owner || (stat.st_mode & 0o022 != 0 && stat.st_mode & 0o1000 == 0) {
                return Err(StateError::Above { path: above.to_owned(), owner });
            }
        }
        Ok(Self(Folder::open(path, owner)?))
    }

    /// The file's full path, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Waits for the folder's one lock.
    ///
    /// # Errors
    /// [`StateError::Locked`] after five seconds.
    pub fn lock(&self) -> Result<Lock, StateError> {
        Ok(Lock(self.0.lock("lock", PATIENCE)?))
    }

    /// The file's content; `None` if there is no such file.
    ///
    /// # Errors
    /// [`StateError::Damaged`] for what is no regular file or has more than `max` bytes.
    pub fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.read(name, max)?)
    }

    /// Puts the file in place whole, and on disk before it returns. To be called under the lock.
    ///
    /// # Errors
    /// [`StateError::System`]; then the old content stands.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        const NEW: &str = "new";
        let file = self.0.write_new(NEW, bytes)?;
        file.sync_all().map_err(|e| self.0.failed(NEW, errno(&e)))?;
        self.0.rename(NEW, name)?;
        self.sync(name)
    }

    /// Adds a line to the file, on disk before it returns.
    ///
    /// # Errors
    /// [`StateError::System`].
    pub fn append(&self, name: &str, line: &str) -> Result<(), StateError> {
        let mut file = self.0.file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND)?;
        let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|e| self.0.failed(name, errno(&e)))?;
        self.sync(name)
    }

    /// Removes the file if it is there.
    ///
    /// # Errors
    /// [`StateError::System`].
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        Ok(self.0.remove(name)?)
    }

    /// The folder's own entries, to the disk.
    fn sync(&self, name: &str) -> Result<(), StateError> {
        Ok(fsync(self.0.fd()).map_err(|cause| self.0.failed(name, cause))?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_is_written_is_read_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let owner = rustix::process::geteuid().as_raw();
        let path = folder.path().join("lib/glass");
        assert!(matches!(State::open(&path, owner), Err(StateError::System { cause: Errno::NOENT, .. })));
        let state = State::create(&path, owner).unwrap();
        assert_eq!(state.read("a", 9).unwrap(), None);
        state.write("a", b"one").unwrap();
        state.write("a", b"two").unwrap();
        state.append("a", "!").unwrap();
        assert_eq!(state.read("a", 9).unwrap().unwrap(), b"two!\n");
        assert!(matches!(state.read("a", 4), Err(StateError::Damaged(_))));
        assert_eq!(fs::metadata(state.path("a")).unwrap().permissions().mode() & 0o777, 0o600);
        state.remove("a").unwrap();
        assert_eq!(state.read("a", 9).unwrap(), None);
    }

    #[test]
    fn a_folder_that_others_can_enter_and_a_link_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let owner = rustix::process::geteuid().as_raw();
        let path = folder.path().join("lib");
        let state = State::create(&path, owner).unwrap();
        symlink("/etc/hostname", state.path("link")).unwrap();
        assert!(state.read("link", 99).is_err());
        assert!(state.append("link", "x").is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(State::open(&path, owner), Err(StateError::Directory { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(State::open(&path, owner + 1), Err(StateError::Above { .. })));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(State::open(&path, owner), Err(StateError::Above { .. })));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(State::open(&path, owner).is_ok());
    }
}
