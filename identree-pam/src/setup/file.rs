//! One file of the system as it stands, with all that belongs to it, and putting such a state back in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, OFlags, Uid, XattrFlags, fchown, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// 1 MiB: far more than any file that setup changes.
const MAX_BYTES: u64 = 1024 * 1024;
/// Extended attributes of one file (labels, access lists), names and each value.
const MAX_XATTR_BYTES: usize = 64 * 1024;

/// What a file is: content, mode, owner, extended attributes (a security label and access lists among them).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its content.
    #[serde(with = "base64ed")]
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Whose it is.
    pub uid: u32,
    /// Of which group.
    pub gid: u32,
    /// Name and value, in the order of their names.
    pub xattrs: Vec<Xattr>,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Xattr {
    name: String,
    #[serde(with = "base64ed")]
    value: Vec<u8>,
}

impl Snapshot {
    /// A new file of root's.
    pub const fn new(bytes: Vec<u8>, mode: u32) -> Self {
        Self { bytes, mode, uid: 0, gid: 0, xattrs: Vec::new() }
    }

    /// The same file with other content.
    pub fn with(&self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..self.clone() }
    }

    /// The file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// For what is no regular file, a link among them, or is too large.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
        let flags = i32::try_from(flags).map_err(io::Error::other)?;
        let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
                return Err(io::Error::other("is a link; put the file itself there"));
            }
            Err(error) => return Err(error),
        };
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(io::Error::other("is no regular file"));
        }
        let mut bytes = Vec::new();
        (&mut file).take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other("is larger than any such file"));
        }
        let xattrs = xattrs(&file)?;
        Ok(Some(Self { bytes, mode: data.permissions().mode() & 0o7777, uid: data.uid(), gid: data.gid(), xattrs }))
    }

    /// Puts this state at `path` in one step: a new file beside it, forced to disk, then a rename.
    ///
    /// # Errors
    /// What the system says; then the old file stands.
    pub fn put(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let new = beside(path);
        let _ = fs::remove_file(&new);
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&self.bytes)?;
            fchown(&file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
            for Xattr { name, value } in &self.xattrs {
                fsetxattr(&file, name, value, XattrFlags::empty())?;
            }
            // After the owner: changing that takes bits away.
            file.set_permissions(fs::Permissions::from_mode(self.mode))?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            File::open(folder)?.sync_all()
        })();
        written.inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
    }

    /// Puts a state, or its absence, at `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn restore(state: Option<&Self>, path: &Path) -> io::Result<()> {
        if let Some(snapshot) = state {
            return snapshot.put(path);
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all(),
        }
    }
}

/// The new file before its rename: no PAM service and no file of sudo's drop-in folder has a name like that. One name
/// per file, so that a killed setup leaves at most that one, and the next run takes it away.
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".identree-setup.{name}"))
}

fn xattrs(file: &File) -> io::Result<Vec<Xattr>> {
    let mut names = vec![0; MAX_XATTR_BYTES];
    let length = match flistxattr(file, &mut *names) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8(name.to_vec()).map_err(io::Error::other)?;
        let mut value = vec![0; MAX_XATTR_BYTES];
        let length = fgetxattr(file, &*name, &mut *value)?;
        value.truncate(length);
        found.push(Xattr { name, value });
    }
    found.sort();
    Ok(found)
}

/// Bytes as base64 in JSON (RFC 4648 §4).
mod base64ed {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(|_| D::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_that_belongs_to_a_file_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sudo");
        assert_eq!(Snapshot::take(&path).unwrap(), None);
        fs::write(&path, b"one\xff").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4640)).unwrap();
        let labelled = fsetxattr(File::open(&path).unwrap(), "user.label", b"a\0b", XattrFlags::empty());
        let before = Snapshot::take(&path).unwrap().unwrap();
        assert_eq!(before.xattrs.len(), usize::from(labelled.is_ok()));
        let json = serde_json::to_vec(&before).unwrap();
        fs::write(&path, "two").unwrap();
        fs::remove_file(&path).unwrap();
        Snapshot::restore(Some(&serde_json::from_slice(&json).unwrap()), &path).unwrap();
        assert_eq!(Snapshot::take(&path).unwrap().unwrap(), before);
        assert_eq!(before.mode, 0o4640);
        Snapshot::restore(None, &path).unwrap();
        Snapshot::restore(None, &path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left beside it");
    }

    #[test]
    fn a_link_and_a_folder_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/etc/passwd", &link).unwrap();
        assert!(Snapshot::take(&link).unwrap_err().to_string().contains("is a link"));
        assert!(Snapshot::take(folder.path()).is_err());
    }
}
