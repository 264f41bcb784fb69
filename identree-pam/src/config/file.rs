//! Reading a file that decides who becomes root: only one that nobody else can have written.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, lstat, openat, stat};
use rustix::io::Errno;

/// Why a file is not trusted, with the command that mends it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("{}: {cause}{}", .path.display(), remedy(path, *.cause))]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: Errno,
    },
    /// A link, a directory, a device.
    #[error("{}: must be a regular file, not a link or anything else; put the file itself there", .0.display())]
    Kind(PathBuf),
    /// It belongs to somebody else.
    #[error("{}: belongs to uid {owner}; run: chown {expected} '{0}'", .path.display())]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        expected: u32,
    },
    /// Others may write or read it.
    #[error("{}: has mode {mode:04o}, so that others could change or read it; run: chmod {wanted:04o} '{0}'", .path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// Larger than any such file.
    #[error("{}: is larger than {max} bytes", .path.display())]
    Size {
        /// Which file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
}

impl FileError {
    /// Whether there is no such file, rather than one that is not to be trusted.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Read { cause: Errno::NOENT, .. })
    }
}

fn remedy(path: &Path, cause: Errno) -> &'static str {
    match cause {
        Errno::NOENT if path.extension().is_some_and(|ending| ending == "conf") => {
            "; `identree enroll` on this host makes it, or `identree add-host NAME --client-conf` on the server prints it"
        }
        Errno::LOOP => "; it is a link, put the file itself there",
        Errno::ACCESS => "; is `seteuid` missing in the PAM line?",
        _ => "",
    }
}

/// Whether the file's content is a secret or only must not be forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Nobody but the owner may read it, not even a group.
    Sealed,
    /// Others may not read it.
    Secret,
    /// Everybody may read it.
    Public,
}

/// Reads the file if `owner` alone can have written it: a regular file of that owner, not a link, in a folder of that
/// owner, both without group or other write; without other read when it is secret.
///
/// # Errors
/// [`FileError`] names what is wrong and the command to run.
pub(crate) fn read(path: &Path, owner: u32, confidence: Confidence, max: u64) -> Result<Vec<u8>, FileError> {
    let failed = |cause| FileError::Read { path: path.to_owned(), cause };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        check(folder, &stat(folder).map_err(failed)?, owner, FileType::Directory, 0o022)?;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
    // Group read of a secret is allowed (0640), group write never.
    let forbidden = match confidence {
        Confidence::Sealed => 0o077,
        Confidence::Secret => 0o027,
        Confidence::Public => 0o022,
    };
    check(path, &fstat(&file).map_err(failed)?, owner, FileType::RegularFile, forbidden)?;
    let mut bytes = Vec::new();
    let read = File::from(file).take(max + 1).read_to_end(&mut bytes);
    read.map_err(|cause| failed(Errno::from_io_error(&cause).unwrap_or(Errno::IO)))?;
    if bytes.len() as u64 > max {
        return Err(FileError::Size { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// Checks that nobody but root can have put a program there or changed it.
///
/// # Errors
/// [`FileError`] names what is wrong and the command to run.
pub(crate) fn trusted_program(path: &Path) -> Result<(), FileError> {
    let failed = |cause| FileError::Read { path: path.to_owned(), cause };
    if let Some(folder) = path.parent() {
        check(folder, &stat(folder).map_err(failed)?, 0, FileType::Directory, 0o022)?;
    }
    check(path, &lstat(path).map_err(failed)?, 0, FileType::RegularFile, 0o022)
}

fn check(path: &Path, stat: &Stat, expected: u32, kind: FileType, forbidden: u32) -> Result<(), FileError> {
    let path = path.to_owned();
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(FileError::Kind(path));
    }
    if stat.st_uid != expected {
        return Err(FileError::Owner { path, owner: stat.st_uid, expected });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & forbidden != 0 {
        let wanted = if forbidden == 0o022 { mode & !0o022 } else { 0o600 };
        return Err(FileError::Mode { path, mode, wanted });
    }
    Ok(())
}
