//! A file that is taken over as a new version when somebody has edited it.
//!
//! Several servers over one database may each have a file of that name, and not the same. So a file is an edit only if its
//! content is new: never imported, or imported no later than what this server saw of its file the last time. What another
//! server has imported since is no edit here, and a file left behind takes nothing back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use identree_core::text::visible;
use serde::{Deserialize, Serialize};

use super::change::{Take, digest};
use super::{Author, Change, ContentError, Name, Version, VersionError, Versions};

/// How often a file is taken over at the start, where others do the same.
const TRIES: u32 = 5;
/// More than this is read of no file, in bytes: it is refused then.
const MOST_READ: u64 = super::text::MAX_BYTES as u64 + 1;

/// Where a file is, and whether somebody named it.
#[derive(Debug, Clone)]
pub struct SettingFile {
    /// The setting.
    pub name: Name,
    /// The file.
    pub path: PathBuf,
    /// The variable that names it, if it was set: then the file must be there.
    pub named: Option<&'static str>,
    /// Where this server keeps what it saw last.
    pub seen: PathBuf,
}

/// How a file stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStanding {
    /// There is none, and none was named.
    None,
    /// Its content is in force.
    InForce(u64),
    /// Something newer is in force.
    Superseded(u64),
    /// It cannot be used, for this reason; the last good version stays.
    Refused(String),
}

impl FileStanding {
    /// What is wrong.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

/// Why a file was not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("{name} file {path}: {source}; create it{}", variable.map_or(String::new(), |name| format!(", or unset {name}")), path = .path.display())]
    Unreadable {
        /// Which setting.
        name: Name,
        /// Which file.
        path: PathBuf,
        /// What names it.
        variable: Option<&'static str>,
        /// Why.
        source: io::Error,
    },
    /// It was refused, or the store failed.
    #[error(transparent)]
    Version(#[from] VersionError),
}

impl FileError {
    const fn is_race(&self) -> bool {
        matches!(self, Self::Version(VersionError::Raced(_) | VersionError::Expected { .. }))
    }
}

impl From<ContentError> for FileError {
    fn from(error: ContentError) -> Self {
        Self::Version(error.into())
    }
}

/// What a server saw of its file the last time, and what was in force then. Kept beside the data, so that an edit between two
/// runs is seen; without it only content that was never imported is an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    file: String,
    version: u64,
    digest: String,
}

/// A file that is looked at again and again.
#[derive(Debug)]
pub struct WatchedFile {
    file: SettingFile,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The digest of what was dealt with.
    done: Option<String>,
    /// The digest of what was seen once: dealt with when it is seen again, lest half a file is taken for the whole.
    settling: Option<String>,
    standing: FileStanding,
}

impl WatchedFile {
    /// A file that was not looked at yet.
    pub const fn new(file: SettingFile) -> Self {
        Self { file, state: Mutex::new(State { done: None, settling: None, standing: FileStanding::None }) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// How it stands, as of the last look.
    pub fn standing(&self) -> FileStanding {
        self.state().standing.clone()
    }

    /// The first look: takes the file over if it is an edit.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be used and there is no version that could stay in force, or the store failed.
    pub async fn begin(&self, versions: &Versions, into: &dyn Take) -> Result<(), FileError> {
        let mut tries = 0;
        let error = loop {
            tries += 1;
            match self.look(read(&self.file.path), versions, into).await {
                Ok(()) => return Ok(()),
                // Another server begins at the same moment, most likely with the same file.
                Err(error) if error.is_race() && tries < TRIES => {}
                Err(error) => break error,
            }
        };
        let store_failed = matches!(&error, FileError::Version(VersionError::Store(_)));
        if store_failed || versions.current(self.file.name).await.map_err(VersionError::from)?.is_none() {
            return Err(error);
        }
        self.refuse(&error);
        Ok(())
    }

    /// A later look. What goes wrong is told in the log when it begins, and changes nothing.
    pub async fn again(&self, versions: &Versions, into: &dyn Take) {
        let found = read(&self.file.path);
        if let Ok(text) = &found {
            let now = Some(digest(text.as_bytes()));
            let mut state = self.state();
            if state.done == now || state.settling != now {
                state.settling = now;
                return;
            }
        }
        if let Err(error) = self.look(found, versions, into).await {
            self.refuse(&error);
        }
    }

    async fn look(&self, found: io::Result<String>, versions: &Versions, into: &dyn Take) -> Result<(), FileError> {
        let SettingFile { name, path, .. } = &self.file;
        let text = match found {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_no_loss() => return Ok(()),
            Err(source) => {
                let (name, path, variable) = (*name, path.clone(), self.file.named);
                return Err(FileError::Unreadable { name, path, variable, source });
            }
        };
        let file = digest(text.as_bytes());
        let history = versions.history(*name).await.map_err(VersionError::from)?;
        let standing =
            if history.first().is_some_and(|current| current.digest == file) || !self.is_edit(&file, &history) {
                self.known(&file, &history)
            } else {
                name.check(path, &text).inspect_err(|_| self.state().done = Some(file.clone()))?;
                let expect = Some(history.first().map_or(0, |current| current.number));
                let digest = Some(file.clone());
                let change = Change { name: *name, text, digest, author: Author::file(path), expect };
                let version = into.take(change).await?.version().clone();
                tracing::info!("{name}: {} is version {} now", path.display(), version.number);
                self.remember(&file, &version);
                FileStanding::InForce(version.number)
            };
        let mut state = self.state();
        state.done = Some(file);
        state.standing = standing;
        Ok(())
    }

    /// Whether nobody expects a file: none was named, and none was there.
    fn is_no_loss(&self) -> bool {
        self.file.named.is_none() && self.state().standing == FileStanding::None
    }

    /// Whether somebody edited this server's file since it was last seen, to what nobody has imported since.
    fn is_edit(&self, file: &str, history: &[Version]) -> bool {
        // Only what was seen over this very history counts: a database may have been restored, or be another.
        let same = |seen: &Seen| history.iter().any(|v| v.number == seen.version && v.digest == seen.digest);
        let seen = self.seen().filter(same);
        let imported = history.iter().find(|version| version.digest == file).map(|version| version.number);
        match (seen, imported) {
            (Some(seen), _) if seen.file == file => false,
            (Some(seen), Some(imported)) => imported <= seen.version,
            (None, Some(_)) => false,
            (_, None) => true,
        }
    }

    /// A file whose content was imported before.
    fn known(&self, file: &str, history: &[Version]) -> FileStanding {
        let Some(current) = history.first() else { return FileStanding::None };
        self.remember(file, current);
        if current.digest == file {
            return FileStanding::InForce(current.number);
        }
        let SettingFile { name, path, .. } = &self.file;
        tracing::info!(
            "{name}: version {} ({}) is in force, not {}; edit the file, or `identree config import {name} {}`",
            current.number,
            current.author,
            path.display(),
            path.display(),
        );
        FileStanding::Superseded(current.number)
    }

    fn seen(&self) -> Option<Seen> {
        serde_json::from_slice(&std::fs::read(&self.file.seen).ok()?).ok()
    }

    fn remember(&self, file: &str, current: &Version) {
        let seen = Seen { file: file.to_owned(), version: current.number, digest: current.digest.clone() };
        if self.seen().as_ref() == Some(&seen) {
            return;
        }
        let new = self.file.seen.with_extension("seen.new");
        let bytes = serde_json::to_vec(&seen).unwrap_or_default();
        if let Err(error) = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, &self.file.seen)) {
            // Then an edit back to an older content is not seen across a restart; all else is.
            tracing::warn!("{}: cannot be written: {error}", self.file.seen.display());
        }
    }

    fn refuse(&self, error: &FileError) {
        if error.is_race() || matches!(error, FileError::Version(VersionError::Store(_))) {
            return; // The next look finds it as it is; that a store fails is told elsewhere.
        }
        let problem = visible(&error.to_string()).into_owned();
        let mut state = self.state();
        if matches!(error, FileError::Unreadable { .. }) {
            state.done = None; // it may come back as it was
        }
        if state.standing.problem() != Some(&problem) {
            tracing::warn!("{problem}; what was in force before stays in force");
            state.standing = FileStanding::Refused(problem);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<String> {
    io::read_to_string(io::Read::take(std::fs::File::open(path)?, MOST_READ))
}
