//! Files that are whole or not there: written aside, synced, renamed, and the folder synced too.

use std::fs::{File, OpenOptions, rename};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Replaces a file by these bytes, readable by its owner alone.
///
/// # Errors
/// What the system says; the old file stands then.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    write_aside(&aside, bytes)?;
    replace(&aside, path)
}

/// Where the new file of a path is written first.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Writes a file of its owner alone, to the disk. A leftover of that name is nobody's: the folder is its owner's alone.
pub(crate) fn write_aside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a file in the place of another.
pub(crate) fn replace(aside: &Path, path: &Path) -> io::Result<()> {
    rename(aside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

/// Random bytes of the kernel's.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
