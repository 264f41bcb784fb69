//! Looking at a file and at every folder on the way to it, symbolic links included, so that two looks can be compared.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;

use identree_core::challenge::{FileFacts, Folder, SudoRun};
use identree_core::text::visible_bytes;
use identree_core::wire::v1::Bytes;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, lstat, openat, readlink};
use rustix::io::Errno;

use super::CallError;

/// As many as Linux follows (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// What the kernel reads of a script's first line.
const MAX_LINE: usize = 256;

/// Where a path leads, as far as it leads anywhere.
pub(super) struct Walk {
    /// Every folder passed, each once.
    pub(super) folders: Vec<Folder>,
    /// The path without links, and what is there.
    pub(super) end: Result<(Vec<u8>, Stat), Errno>,
}

/// Follows an absolute path inside `root`.
pub(super) fn walk(root: Option<&[u8]>, path: &[u8]) -> Walk {
    let mut folders = Vec::new();
    let end = follow(root.unwrap_or_default(), path, &mut folders);
    Walk { folders, end }
}

fn follow(root: &[u8], path: &[u8], folders: &mut Vec<Folder>) -> Result<(Vec<u8>, Stat), Errno> {
    let mut at: Vec<u8> = Vec::new();
    let mut stat = inside(root, &at)?;
    pass(folders, &at, &stat)?;
    let mut ahead: Vec<Vec<u8>> = Vec::new();
    queue(&mut ahead, path);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == b".." {
            at.truncate(at.iter().rposition(|b| *b == b'/').unwrap_or(0));
            stat = inside(root, &at)?;
            continue;
        }
        let next = [&at, b"/".as_slice(), &part].concat();
        let found = inside(root, &next)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = readlink(place(root, &next), Vec::new())?.into_bytes();
                if target.starts_with(b"/") {
                    at.clear();
                }
                queue(&mut ahead, &target);
                continue;
            }
            FileType::Directory => pass(folders, &next, &found)?,
            _ if !ahead.is_empty() => return Err(Errno::NOTDIR),
            _ => {}
        }
        (at, stat) = (next, found);
    }
    Ok((if at.is_empty() { b"/".to_vec() } else { at }, stat))
}

fn queue(ahead: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    ahead.extend(parts.map(<[u8]>::to_vec).rev());
}

fn place(root: &[u8], path: &[u8]) -> Vec<u8> {
    let place = [root, path].concat();
    if place.is_empty() { b"/".to_vec() } else { place }
}

fn inside(root: &[u8], path: &[u8]) -> Result<Stat, Errno> {
    if path.len() > SudoRun::MAX_PATH_BYTES {
        return Err(Errno::NAMETOOLONG);
    }
    // The root itself may be reached through links; what is in it is taken as it stands.
    if path.is_empty() { rustix::fs::stat(place(root, path)) } else { lstat(place(root, path)) }
}

fn pass(folders: &mut Vec<Folder>, path: &[u8], stat: &Stat) -> Result<(), Errno> {
    let path = if path.is_empty() { b"/" } else { path };
    if folders.iter().any(|folder| folder.path.0 == path) {
        return Ok(());
    }
    if folders.len() == SudoRun::MAX_FOLDERS {
        return Err(Errno::NAMETOOLONG);
    }
    folders.push(Folder { path: Bytes(path.to_vec()), uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode });
    Ok(())
}

/// Looks at the program.
pub(super) fn look(root: Option<&[u8]>, path: &[u8]) -> Result<FileFacts, CallError> {
    let failed = |cause| CallError::File { path: visible_bytes(path), cause };
    let mut found = walk(root, path);
    // Who can write the root directory itself, or a folder above it, can put another one there.
    let above = root.map(|root| walk(None, root).folders).unwrap_or_default();
    let (real, stat) = found.end.map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(failed(Errno::ACCESS));
    }
    if let (Some(root), false) = (root, above.is_empty()) {
        let inner = found
            .folders
            .into_iter()
            .filter(|f| f.path.0 != b"/")
            .map(|f| Folder { path: Bytes(place(root, &f.path.0)), ..f });
        found.folders = above.into_iter().chain(inner).collect();
    }
    Ok(FileFacts {
        interpreter: interpreter(&place(root.unwrap_or_default(), &real), &stat).map_err(failed)?,
        real: Bytes(real),
        device: stat.st_dev,
        inode: stat.st_ino,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        changed_secs: stat.st_ctime,
        changed_nanos: u32::try_from(stat.st_ctime_nsec).unwrap_or(0),
        folders: found.folders,
    })
}

/// What follows `#!`, read from the very file that was looked at.
fn interpreter(path: &[u8], seen: &Stat) -> Result<Option<Bytes>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(CWD, OsStr::from_bytes(path), flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if (stat.st_dev, stat.st_ino) != (seen.st_dev, seen.st_ino) {
        return Err(Errno::STALE);
    }
    let mut line = Vec::new();
    let mut start = BufReader::with_capacity(MAX_LINE, File::from(file).take(MAX_LINE as u64));
    start.read_until(b'\n', &mut line).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(line.strip_prefix(b"#!").map(|line| Bytes(line.trim_ascii().to_vec())))
}

/// Whether sudo, where it runs an open file (`fdexec`), has opened the one that was looked at.
pub(super) fn same_as_opened(file: &FileFacts, descriptor: u32) -> Result<(), CallError> {
    let swapped = || CallError::Swapped(visible_bytes(&file.real.0));
    let link = format!("/proc/self/fd/{descriptor}");
    let stat = rustix::fs::stat(link).map_err(|_| swapped())?;
    if (stat.st_dev, stat.st_ino) == (file.device, file.inode) { Ok(()) } else { Err(swapped()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;

    fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    fn paths(folders: &[Folder]) -> Vec<&[u8]> {
        folders.iter().map(|folder| folder.path.0.as_slice()).collect()
    }

    #[test]
    fn links_are_followed_and_their_folders_named() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("real/deep")).unwrap();
        fs::create_dir(base.join("links")).unwrap();
        fs::write(base.join("real/deep/tool"), "#! /bin/sh -e \necho\n").unwrap();
        symlink("../real/deep/../deep/tool", base.join("links/tool")).unwrap();
        symlink(base.join("links"), base.join("way")).unwrap();
        let found = look(None, bytes(&base.join("way/./tool"))).unwrap();
        assert_eq!(found.real.0, bytes(&base.join("real/deep/tool")));
        assert_eq!(found.interpreter, Some(Bytes(b"/bin/sh -e".to_vec())));
        let named = paths(&found.folders);
        for part in [&base, &base.join("links"), &base.join("real"), &base.join("real/deep")] {
            assert_eq!(named.iter().filter(|path| **path == bytes(part)).count(), 1, "{part:?}");
        }
        let inside = look(Some(bytes(&base)), b"/links/tool").unwrap();
        assert_eq!((inside.real.0.as_slice(), inside.inode), (&b"/real/deep/tool"[..], found.inode));
        assert!(paths(&inside.folders).contains(&bytes(&base)), "{:?}", inside.folders);
        assert!(look(Some(bytes(&base)), b"/way/tool").is_err(), "an absolute link stays inside its root");
    }

    #[test]
    fn any_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        fs::write(&path, "one").unwrap();
        let first = look(None, bytes(&path)).unwrap();
        assert_eq!(look(None, bytes(&path)).unwrap(), first);
        let copy = folder.path().join("copy");
        fs::write(&copy, "one").unwrap();
        fs::rename(&copy, &path).unwrap();
        let replaced = look(None, bytes(&path)).unwrap();
        assert_ne!(replaced, first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let opened = look(None, bytes(&path)).unwrap();
        assert_ne!(opened, replaced);
        assert!(opened.writable(0).contains(&bytes(&path)));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(look(None, bytes(&path)).unwrap().writable(0).contains(&bytes(folder.path())));
    }

    #[test]
    fn what_cannot_run_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        symlink("loop", folder.path().join("loop")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for (name, cause) in
            [("loop", Errno::LOOP), ("none", Errno::NOENT), ("file/x", Errno::NOTDIR), ("", Errno::ACCESS)]
        {
            match look(None, bytes(&folder.path().join(name))) {
                Err(CallError::File { cause: found, .. }) => assert_eq!(found, cause, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        let missing = walk(None, bytes(&folder.path().join("none/x")));
        assert!(missing.end.is_err() && paths(&missing.folders).contains(&bytes(folder.path())));
    }
}
