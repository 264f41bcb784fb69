//! Whether a sudo process will ask through its approval plugin: the proof that lets PAM keep silent.
//!
//! sudo maps what its sudo.conf names before it asks PAM, ends where a plugin cannot be used, and runs nothing that the
//! approval plugin has not accepted. So the very file in the memory of that process is the proof; nobody but root can put it there.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::file::look;

/// Where the plugin is.
pub const PLUGIN: &str = "/usr/libexec/identree/sudo_identree.so";

/// Whether the process has mapped, to be executed, the very file at `plugin`, which root alone can have put there.
/// Whatever cannot be seen is no proof.
pub fn plugin_is_loaded(pid: u32, plugin: &Path) -> bool {
    let Ok(file) = look(None, plugin.as_os_str().as_bytes()) else { return false };
    let Ok(maps) = fs::read(format!("/proc/{pid}/maps")) else { return false };
    file.writable(0).is_empty()
        && executable(&maps).any(|range| {
            // By the link, not by the numbers in `maps`: some file systems show others there.
            rustix::fs::stat(format!("/proc/{pid}/map_files/{range}"))
                .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (file.device, file.inode))
        })
}

/// The address ranges in `/proc/PID/maps` (`proc(5)`) that hold code of a file.
pub(crate) fn executable(maps: &[u8]) -> impl Iterator<Item = &str> {
    maps.split(|b| *b == b'\n').filter_map(|line| {
        let mut words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
        let (range, rights) = (words.next()?, words.next()?);
        let inode = words.nth(2)?;
        let hexadecimal = range.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
        let code = rights.get(2) == Some(&b'x') && inode != b"0";
        if code && hexadecimal { std::str::from_utf8(range).ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_counts() {
        let maps = b"7f00-7f10 r-xp 00000000 fe:01 42                         /usr/lib/a.so\n\
            7f10-7f20 r--p 00000000 fe:01 42  /usr/lib/a.so\n\
            7f20-7f30 r-xp 00000000 00:00 0  [vdso]\n\
            ../x r-xp 00000000 fe:01 42  /usr/lib/a.so\n\nrubbish\n";
        assert_eq!(executable(maps).collect::<Vec<_>>(), ["7f00-7f10"]);
    }

    #[test]
    fn what_is_mapped_is_found_by_its_file() {
        if !rustix::process::geteuid().is_root() {
            return; // the kernel shows these links to root alone
        }
        let me = std::process::id();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.lines().find_map(|line| line.split(' ').next_back().filter(|path| path.contains("/libc.so")));
        let libc = Path::new(libc.expect("this program uses libc"));
        assert!(plugin_is_loaded(me, libc));
        assert!(!plugin_is_loaded(me, Path::new("/usr/bin/true")), "there, but not mapped");
        assert!(!plugin_is_loaded(me, Path::new("/no/such/file")));
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("libc.so.6");
        fs::copy(libc, &copy).unwrap();
        assert!(!plugin_is_loaded(me, &copy), "the same content is not the same file");
    }
}
