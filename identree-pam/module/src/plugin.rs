//! Whether sudo's approval plugin will ask in the module's place: it alone knows what exactly will run.
//!
//! The proof: this process asks as sudo and has mapped, as code, the very file that stands at the plugin's place (path,
//! device and inode), which only root can have put there or changed. sudo maps it for nothing else than its approval
//! plugins, refuses to start where one cannot be loaded, and runs nothing before each of them has said yes
//! (`sudo_plugin(5)`). Anything short of that, and the module asks itself.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use identree_pam::config::trusted_program;

/// Where the plugin is, and nowhere else.
const PLUGIN: &str = "/usr/libexec/identree/sudo_identree.so";

/// Whether the plugin is mapped into this process.
pub(crate) fn asks() -> bool {
    let path = Path::new(PLUGIN);
    let (Ok(()), Ok(file), Ok(maps)) = (trusted_program(path), fs::symlink_metadata(path), fs::read("/proc/self/maps"))
    else {
        return false;
    };
    is_mapped(&String::from_utf8_lossy(&maps), PLUGIN, &device(file.dev()), file.ino())
}

/// As `/proc/self/maps` writes it: `fe:01`.
fn device(dev: u64) -> String {
    format!("{:02x}:{:02x}", rustix::fs::major(dev), rustix::fs::minor(dev))
}

/// Whether a line of `maps` (`proc_pid_maps(5)`) is code of that file: `address perms offset dev inode   path`. A file that
/// has been removed or replaced since has another inode, and ` (deleted)` behind its path.
fn is_mapped(maps: &str, path: &str, device: &str, inode: u64) -> bool {
    let inode = inode.to_string();
    maps.lines().any(|line| {
        let mut fields = line.splitn(6, ' ');
        let (_, perms, _) = (fields.next(), fields.next(), fields.next());
        let (dev, ino, name) = (fields.next(), fields.next(), fields.next().map(str::trim_start));
        perms.is_some_and(|perms| perms.contains('x'))
            && dev == Some(device)
            && ino == Some(&*inode)
            && name == Some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "7f1b2c000000-7f1b2c021000 r-xp 00002000 fe:01 1234                       /usr/libexec/identree/sudo_identree.so";

    #[test]
    fn only_the_very_file_mapped_as_code_counts() {
        let told = |line: &str| is_mapped(line, PLUGIN, "fe:01", 1234);
        assert!(told(LINE) && told(&format!("00400000-00401000 r--p 00000000 fe:01 9 /usr/bin/sudo\n{LINE}\n")));
        for other in [
            LINE.replace("r-xp", "r--p"),
            LINE.replace("fe:01", "fe:02"),
            LINE.replace(" 1234 ", " 1235 "),
            LINE.replace("/usr/libexec", "/home/ann"),
            format!("{LINE} (deleted)"),
            format!("{LINE}.so"),
            "rubbish".into(),
            String::new(),
        ] {
            assert!(!told(&other), "{other}");
        }
    }

    #[test]
    fn what_this_process_has_mapped_is_found_as_the_kernel_writes_it() {
        let exe = fs::read_link("/proc/self/exe").unwrap();
        let (file, maps) = (fs::metadata(&exe).unwrap(), fs::read_to_string("/proc/self/maps").unwrap());
        assert!(is_mapped(&maps, exe.to_str().unwrap(), &device(file.dev()), file.ino()));
        assert!(!asks(), "a test is no sudo");
    }
}
