//! A folder that is one user's alone, and the small files in it. What a fault means, says whoever keeps something there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdir, open, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::lock::{Patience, take};

/// What can be wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system refused.
    System { path: PathBuf, cause: Errno },
    /// Not `owner`'s alone, a link, or no folder.
    Foreign { path: PathBuf, owner: u32 },
    /// No regular file, or a larger one than it can be.
    Damaged(PathBuf),
    /// Somebody holds the lock.
    Locked(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    directory: OwnedFd,
}

impl Folder {
    /// Makes it where it is missing.
    pub(crate) fn make(path: &Path) -> Result<(), Fault> {
        match mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(cause) => Err(Fault::System { path: path.to_owned(), cause }),
        }
    }

    /// Opens it; an error if it is not there or not `owner`'s alone.
    pub(crate) fn open(path: &Path, owner: u32) -> Result<Self, Fault> {
        let system = |cause| Fault::System { path: path.to_owned(), cause };
        let foreign = || Fault::Foreign { path: path.to_owned(), owner };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty()).map_err(|cause| match cause {
            Errno::NOTDIR | Errno::LOOP => foreign(),
            cause => system(cause),
        })?;
        let stat = fstat(&directory).map_err(system)?;
        if stat.st_uid != owner || stat.st_mode & 0o077 != 0 {
            return Err(foreign());
        }
        Ok(Self { path: path.to_owned(), directory })
    }

    /// Where it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// For what is not done often enough to stand here.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Waits for the lock of this name, which is held until the file is closed.
    pub(crate) fn lock(&self, name: &str, patience: Patience) -> Result<OwnedFd, Fault> {
        let file = self.file(name, OFlags::RDWR | OFlags::CREATE)?;
        match take(&file, patience) {
            Ok(true) => Ok(file.into()),
            Ok(false) => Err(Fault::Locked(self.path.join(name))),
            Err(cause) => Err(self.failed(name, cause)),
        }
    }

    /// The file's content; `None` if there is no such file, an error for more than `max` bytes.
    pub(crate) fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(cause) => return Err(self.failed(name, cause)),
        };
        let stat = fstat(&file).map_err(|cause| self.failed(name, cause))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Fault::Damaged(self.path.join(name)));
        }
        let mut bytes = Vec::new();
        File::from(file).take(max + 1).read_to_end(&mut bytes).map_err(|e| self.failed(name, errno(&e)))?;
        if bytes.len() as u64 > max { Err(Fault::Damaged(self.path.join(name))) } else { Ok(Some(bytes)) }
    }

    /// A new file, to be put in place whole with [`Folder::rename`]. A leftover of its name is nobody's.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<File, Fault> {
        self.remove(name)?;
        let mut file = self.file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        file.write_all(bytes).map_err(|e| self.failed(name, errno(&e)))?;
        Ok(file)
    }

    /// Opens a file of the folder's user alone; the flags say how.
    pub(crate) fn file(&self, name: &str, how: OFlags) -> Result<File, Fault> {
        let flags = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR);
        file.map(File::from).map_err(|cause| self.failed(name, cause))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        renameat(&self.directory, from, &self.directory, to).map_err(|cause| self.failed(to, cause))
    }

    /// Removes the file if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Fault> {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(cause) => Err(self.failed(name, cause)),
        }
    }

    /// What the system says about a file.
    pub(crate) fn failed(&self, name: &str, cause: Errno) -> Fault {
        Fault::System { path: self.path.join(name), cause }
    }
}

/// What the system said, where the standard library asked it.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
