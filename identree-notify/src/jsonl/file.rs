//! The file: opened with care, followed when it is moved, rotated by size.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::recent::Recent;
use super::{Batch, FileSettings, Fsync, Mark, tail};

/// An open log file.
pub(super) struct LogFile {
    settings: FileSettings,
    file: File,
    /// Where our last whole line ends.
    size: u64,
    recent: Recent,
}

impl LogFile {
    pub(super) fn open(settings: FileSettings) -> io::Result<Self> {
        let mut recent = Recent::default();
        // What a crash between rotation and the next line left: the newest events stand in the file before.
        if let Ok(before) = open(&numbered(&settings.path, 1), OFlags::RDONLY) {
            tail::note(&before, &mut recent)?;
        }
        let file = open(&settings.path, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)?;
        tail::mend(&file)?;
        tail::note(&file, &mut recent)?;
        let log = Self { settings, size: file.metadata()?.len(), file, recent };
        log.settle()?;
        Ok(log)
    }

    /// Writes the lines that are not there yet; afterwards all are safe.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), String> {
        self.try_write(batch).map_err(|error| format!("{}: {error}", self.settings.path.display()))
    }

    fn try_write(&mut self, batch: &Batch) -> io::Result<()> {
        self.follow()?;
        let mut size = self.size;
        let limit = self.settings.max_size.unwrap_or(u64::MAX);
        let (mut marks, mut bytes) = (Vec::with_capacity(batch.lines.len()), Vec::with_capacity(batch.bytes.len()));
        for (mark, line) in batch.fresh(&self.recent) {
            if size > 0 && size + line.len() as u64 > limit {
                self.append(&mut bytes, &mut marks)?;
                self.rotate()?;
                size = 0;
            }
            size += line.len() as u64;
            marks.push(mark);
            bytes.extend_from_slice(line);
        }
        self.append(&mut bytes, &mut marks)
    }

    /// Appends whole lines, or leaves the file as it was.
    fn append(&mut self, bytes: &mut Vec<u8>, marks: &mut Vec<Mark>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(bytes) {
            // What a full disk took of it. If this fails too, the next write finds the torn line.
            let _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.size += bytes.len() as u64;
        if self.settings.fsync == Fsync::Batch {
            self.file.sync_data()?;
        }
        for mark in marks.drain(..) {
            self.recent.note(mark.seq, mark.id);
        }
        bytes.clear();
        Ok(())
    }

    /// Makes sure that the open file is the one at the path, and that it ends with a whole line.
    fn follow(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let there = fs::symlink_metadata(&self.settings.path);
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            self.file = open(&self.settings.path, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)?;
            self.size = 0;
            self.settle()?;
        }
        // It does not end where we left it: a full disk, or somebody who copied and emptied it.
        if self.file.metadata()?.len() != self.size {
            tail::mend(&self.file)?;
            self.size = self.file.metadata()?.len();
        }
        Ok(())
    }

    /// Moves every file one number up; the last one goes. Numbers move only up to the first that is free, so that a rotation that was
    /// broken off takes nothing more away.
    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        let most = self.settings.max_files.max(1);
        let free = (1..most).find(|n| !numbered(path, *n).exists()).unwrap_or(most);
        for n in (1..free).rev() {
            fs::rename(numbered(path, n), numbered(path, n + 1))?;
        }
        fs::rename(path, numbered(path, 1))?;
        // Fewer files than before may be wanted.
        let mut beyond = most + 1;
        while fs::remove_file(numbered(path, beyond)).is_ok() {
            beyond += 1;
        }
        self.file = open(path, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)?;
        self.size = self.file.metadata()?.len();
        self.settle()
    }

    /// Makes names durable: a file of which the directory knows nothing is lost with the power.
    fn settle(&self) -> io::Result<()> {
        if self.settings.fsync == Fsync::Never {
            return Ok(());
        }
        let parent = self.settings.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Opens a regular file, never through a symbolic link at its name; 0640 if it is made.
fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    // Without blocking: a pipe that nobody reads would hold us up before it is seen that it is none of ours.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(0o640)) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => return Err(io::Error::other("is a symbolic link, which is not followed")),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is not a regular file")) }
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{n}"));
    name.into()
}
