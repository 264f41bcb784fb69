//! What classic sudo says it is about to run: the facts its approval plugin is handed (`sudo_plugin(5)`) or looks up.

use serde::{Deserialize, Serialize};

use super::sudo::SudoError;
use super::{Detail, Label};
use crate::canon::Writer;
use crate::text::command_line;
use crate::wire::v1::Bytes;

/// How sudo was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunMode {
    /// With a command.
    Command,
    /// `sudo -s`: the requester's shell.
    Shell,
    /// `sudo -i`: the target's login shell.
    LoginShell,
    /// Started by a command that sudo runs and watches (`Defaults intercept`); in which directory, sudo does not say.
    Intercepted,
    /// `sudo -e`, `sudoedit`: an editor that runs as the requester, on copies that are written back.
    Edit,
}

impl RunMode {
    /// As it is typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "sudo",
            Self::Shell => "sudo -s",
            Self::LoginShell => "sudo -i",
            Self::Intercepted => "sudo, intercept",
            Self::Edit => "sudoedit",
        }
    }
}

/// What sudo decided to run, and what the host found there. All of it is bound by the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SudoRun {
    /// How sudo was called.
    pub mode: RunMode,
    /// The real uid of the requester.
    pub requester_uid: u32,
    /// The uid it would run as.
    pub run_as_uid: u32,
    /// The gid it would run as.
    pub run_as_gid: u32,
    /// The groups it would have, the primary one included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_as_groups: Vec<u32>,
    /// The resolved path of the program (`command=`), inside `root` where there is one.
    pub path: Bytes,
    /// The file there. None for [`RunMode::Edit`], whose editor runs as the requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFacts>,
    /// The directory it starts in, where that is not the requester's (`cwd=`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_in: Option<Bytes>,
    /// The root directory it is locked in (`chroot=`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Bytes>,
    /// The umask it starts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Every variable of its environment that differs from what sudo makes anew, as `NAME=value`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Bytes>,
    /// Whatever else sudo says about the run, as `name=value`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Bytes>,
}

/// One file as it was looked at. Two looks that are equal saw the same file, unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFacts {
    /// Its path without symbolic links.
    pub real: Bytes,
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// Whose it is.
    pub uid: u32,
    /// Which group's it is.
    pub gid: u32,
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// In bytes.
    pub size: u64,
    /// When its inode was changed last (`st_ctim`): seconds since the epoch.
    pub changed_secs: i64,
    /// And nanoseconds.
    pub changed_nanos: u32,
    /// What follows `#!` on its first line, if it is a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<Bytes>,
    /// Every folder passed on the way to it, those of symbolic links included.
    pub folders: Vec<Folder>,
}

/// A folder on the way to a file: who can write there can put another file in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Its path without symbolic links.
    pub path: Bytes,
    /// Whose it is.
    pub uid: u32,
    /// Which group's it is.
    pub gid: u32,
    /// Type and permissions (`st_mode`).
    pub mode: u32,
}

impl SudoRun {
    /// The longest path, in bytes (`PATH_MAX`).
    pub const MAX_PATH_BYTES: usize = 4096;
    /// The most folders on the way to a file.
    pub const MAX_FOLDERS: usize = 64;
    /// The longest list of folders, in bytes over all paths.
    pub const MAX_FOLDER_BYTES: usize = 16 * 1024;
    /// The longest difference of the environment, in bytes over all variables, separators counted.
    pub const MAX_ENVIRONMENT_BYTES: usize = 32 * 1024;
    /// The longest list of settings, in bytes, separators counted.
    pub const MAX_SETTING_BYTES: usize = 8 * 1024;
    /// The most groups (`NGROUPS_MAX` would be 65536; nobody could read them).
    pub const MAX_GROUPS: usize = 1024;

    /// The arguments that name files, for [`RunMode::Edit`]: those behind `--`.
    pub fn edited(argv: &[Vec<u8>]) -> &[Vec<u8>] {
        argv.iter().position(|argument| argument == b"--").map_or(&[], |at| &argv[at + 1..])
    }

    pub(super) fn check(&self) -> Result<(), SudoError> {
        let too_long = |what, length: usize, max| {
            if length > max { Err(SudoError::TooLong { what, max }) } else { Ok(()) }
        };
        let total = |list: &[Bytes]| list.iter().map(|bytes| bytes.0.len() + 1).sum();
        for path in [Some(&self.path), self.start_in.as_ref(), self.root.as_ref()].into_iter().flatten() {
            too_long("path", path.0.len(), Self::MAX_PATH_BYTES)?;
        }
        if let Some(file) = &self.file {
            too_long("path", file.real.0.len(), Self::MAX_PATH_BYTES)?;
            too_long("script's first line", file.interpreter.as_ref().map_or(0, |line| line.0.len()), 256)?;
            too_long("list of folders", file.folders.iter().map(|f| f.path.0.len()).sum(), Self::MAX_FOLDER_BYTES)?;
            if file.folders.len() > Self::MAX_FOLDERS {
                return Err(SudoError::TooMany { what: "folders", max: Self::MAX_FOLDERS });
            }
        }
        if self.run_as_groups.len() > Self::MAX_GROUPS {
            return Err(SudoError::TooMany { what: "groups", max: Self::MAX_GROUPS });
        }
        too_long("environment", total(&self.environment), Self::MAX_ENVIRONMENT_BYTES)?;
        too_long("list of settings", total(&self.settings), Self::MAX_SETTING_BYTES)?;
        if !self.path.0.starts_with(b"/") || self.file.is_none() != (self.mode == RunMode::Edit) {
            return Err(SudoError::Inconsistent);
        }
        Ok(())
    }

    /// Whether nothing but the command line decides what happens: a program in a place that only root can write, without
    /// another root directory, without variables of the requester.
    pub(super) fn is_plain(&self) -> bool {
        self.mode == RunMode::Command
            && self.root.is_none()
            && self.environment.is_empty()
            && self.file.as_ref().is_some_and(|file| file.writable(0).is_empty())
    }

    /// As whom, in numbers.
    pub(super) fn numbers(&self) -> String {
        let groups: Vec<String> = self.run_as_groups.iter().map(u32::to_string).collect();
        format!("uid {}, gid {}, groups {}", self.run_as_uid, self.run_as_gid, groups.join(" "))
    }

    /// Everything that is bound, for people.
    pub(super) fn describe(&self, argv: &[Vec<u8>], details: &mut Vec<Detail>) {
        let mut say = |label, value: String| details.push(Detail { label, value });
        for (label, path) in [(Label::StartsIn, &self.start_in), (Label::RootDirectory, &self.root)] {
            if let Some(path) = path {
                say(label, word(&path.0));
            }
        }
        say(Label::Mode, format!("{} (uid {})", self.mode.as_str(), self.requester_uid));
        if self.mode == RunMode::Edit {
            let own = argv.len() - Self::edited(argv).len();
            say(Label::Editor, format!("{} ({})", word(&self.path.0), command_line(&argv[..own])));
        } else {
            let name = argv.first().map_or(&[][..], Vec::as_slice);
            if self.path.0.rsplit(|b| *b == b'/').next() != Some(name) {
                say(Label::CalledAs, word(name));
            }
        }
        if let Some(file) = &self.file {
            file.describe(&mut say);
        }
        if let Some(umask) = self.umask {
            say(Label::Umask, format!("{umask:04o}"));
        }
        for (label, list) in [(Label::Environment, &self.environment), (Label::Setting, &self.settings)] {
            for entry in list {
                say(label.clone(), word(&entry.0));
            }
        }
    }

    pub(super) fn put(&self, writer: &mut Writer) {
        let Self { mode, requester_uid, run_as_uid, run_as_gid, run_as_groups, path, file, .. } = self;
        writer.put_text(mode.as_str());
        for id in [*requester_uid, *run_as_uid, *run_as_gid] {
            writer.put_number(id.into());
        }
        writer.put_number(run_as_groups.len() as u64);
        for group in run_as_groups {
            writer.put_number((*group).into());
        }
        writer.put(&path.0);
        writer.put(if file.is_some() { &[1] } else { &[0] });
        if let Some(file) = file {
            file.put(writer);
        }
        for optional in [&self.start_in, &self.root] {
            put_optional(writer, optional.as_ref());
        }
        writer.put(&self.umask.map_or(Vec::new(), |umask| umask.to_be_bytes().to_vec()));
        for list in [&self.environment, &self.settings] {
            writer.put_number(list.len() as u64);
            for entry in list {
                writer.put(&entry.0);
            }
        }
    }
}

impl FileFacts {
    /// The path of everything on the way that somebody else than root and `trusted` can change, the file last.
    pub fn writable(&self, trusted: u32) -> Vec<&[u8]> {
        let foreign = |uid: u32| uid != 0 && uid != trusted;
        // Where the sticky bit stands only owners replace what is in a folder.
        let folders = self
            .folders
            .iter()
            .filter(|folder| foreign(folder.uid) || (folder.mode & 0o022 != 0 && folder.mode & 0o1000 == 0));
        let mut found: Vec<&[u8]> = folders.map(|folder| folder.path.0.as_slice()).collect();
        if foreign(self.uid) || self.mode & 0o022 != 0 {
            found.push(&self.real.0);
        }
        found
    }

    fn describe(&self, say: &mut impl FnMut(Label, String)) {
        let Self { real, device, inode, uid, gid, mode, size, changed_secs, changed_nanos, interpreter, folders } =
            self;
        let script = interpreter.as_ref().map(|line| format!(", #!{}", word(&line.0))).unwrap_or_default();
        let text = format!(
            "{}, {uid}:{gid} {:04o} ({mode:o}), {size} B, {changed_secs}.{changed_nanos:09} s, {device}/{inode}{script}",
            word(&real.0),
            mode & 0o7777,
        );
        say(Label::File, text);
        let folder =
            |f: &Folder| format!("{} {}:{} {:04o} ({:o})", word(&f.path.0), f.uid, f.gid, f.mode & 0o7777, f.mode);
        say(Label::Folders, folders.iter().map(folder).collect::<Vec<_>>().join(", "));
    }

    fn put(&self, writer: &mut Writer) {
        let Self { real, device, inode, uid, gid, mode, size, changed_secs, changed_nanos, interpreter, folders } =
            self;
        writer.put(&real.0);
        for number in [*device, *inode, (*uid).into(), (*gid).into(), (*mode).into(), *size] {
            writer.put_number(number);
        }
        writer.put(&changed_secs.to_be_bytes());
        writer.put_number((*changed_nanos).into());
        put_optional(writer, interpreter.as_ref());
        writer.put_number(folders.len() as u64);
        for Folder { path, uid, gid, mode } in folders {
            writer.put(&path.0);
            for number in [*uid, *gid, *mode] {
                writer.put_number(number.into());
            }
        }
    }
}

/// As in a command line, where no two words look alike.
pub(super) fn word(bytes: &[u8]) -> String {
    command_line(&[bytes])
}

/// Absent and empty are different.
fn put_optional(writer: &mut Writer, field: Option<&Bytes>) {
    writer.put(if field.is_some() { &[1] } else { &[0] });
    writer.put(field.map_or(&[], |field| &field.0));
}
