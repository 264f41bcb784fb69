//! Configuration that lives in the database: a text in force, its versions, and who changed it when.
//!
//! A change is one commit: the new version, its entry in the history, and the event with the lines that went and came. It
//! expects the version that it replaces, so that two administrators never overwrite each other. Every server over the store
//! takes it over within a second ([`Live`]).

mod author;
mod change;
pub mod client;
mod file;
mod followed;
mod live;
mod name;
mod policies;
pub mod sudo_rules;
#[cfg(test)]
mod tests;
mod text;

use identree_core::store::{Collection, DocumentKey, StoreError};
use identree_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::author::Author;
pub(crate) use self::change::comparable;
pub use self::change::{Change, Changed, Take};
pub use self::file::{FileError, FileStanding, SettingFile, WatchedFile};
pub use self::followed::{Followed, Own};
pub use self::live::{InForce, Live, ReadText};
pub use self::name::{ContentError, Name};
pub use self::policies::LivePolicies;
pub use self::text::SyntaxError;
pub(crate) use self::text::{at, json};
use crate::parts::Parts;

/// What is in force: one small document for each name. Its revision is the version's number.
pub(crate) const CURRENT: Collection = Collection("config");

/// The list of versions of each name, newest first.
const HISTORY: Collection = Collection("config-history");

/// The text of each version, by `name/number`.
const TEXTS: Collection = Collection("config-texts");

/// How many versions of each name are kept; the oldest leave in the commit that writes a new one.
pub const KEPT: usize = 100;

/// One version of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1, without gaps.
    pub number: u64,
    /// When it came into force.
    pub at: Timestamp,
    /// Who made it.
    #[serde(flatten)]
    pub author: Author,
    /// The SHA-256 of what was given, in hexadecimal digits: of the text, or of the file it was made of.
    pub digest: String,
    /// The size of the text in bytes.
    pub bytes: u64,
}

/// Why a setting was not read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Another version is in force than the one that was to be replaced.
    #[error("{name}: {} is in force, not version {expected}; look at what changed, and import again", now.map_or("none".to_owned(), |now| format!("version {now}")))]
    Expected {
        /// Which setting.
        name: Name,
        /// What was to be replaced.
        expected: u64,
        /// What is in force.
        now: Option<u64>,
    },
    /// Somebody changed it at the same moment.
    #[error("{0}: somebody else changed it at the same moment; look at what is in force, and import again")]
    Raced(Name),
    /// There is no such version, or no longer.
    #[error("{name} has no version {number}; `identree config history {name}` lists those that are kept")]
    Unknown {
        /// Which setting.
        name: Name,
        /// Which version.
        number: u64,
    },
    /// It was never given.
    #[error("{0} has no version yet; `identree config import {0} FILE` makes the first")]
    Unset(Name),
    /// The text cannot be used.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// What is stored cannot be used by this program: a newer one has written it.
    #[error("{source}; run the program that wrote it, or `identree config rollback {name} VERSION`")]
    NotUnderstood {
        /// Which setting.
        name: Name,
        /// What is wrong with it.
        source: ContentError,
    },
    /// The store failed.
    #[error("the settings could not be read or written")]
    Store(#[from] StoreError),
}

/// The settings as kept in a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Versions {
    parts: Parts,
}

impl Versions {
    /// Those of this store.
    pub const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The version in force, if there ever was one.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn current(&self, name: Name) -> Result<Option<Version>, StoreError> {
        let Some(document) = self.parts.store.document(&current_key(name), self.parts.now()).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&document.bytes).map(Some).map_err(corrupt)
    }

    /// The versions that are kept, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn history(&self, name: Name) -> Result<Vec<Version>, StoreError> {
        Ok(self.listed(name).await?.1)
    }

    /// The text of one version; none if it is not kept.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn text(&self, name: Name, number: u64) -> Result<Option<String>, StoreError> {
        let Some(document) = self.parts.store.document(&text_key(name, number), self.parts.now()).await? else {
            return Ok(None);
        };
        String::from_utf8(document.bytes).map(Some).map_err(corrupt)
    }

    /// The text in force, with its version. A version that leaves between two reads is read anew.
    ///
    /// # Errors
    /// [`VersionError::Unset`] if there never was one; [`VersionError::Store`] if it cannot be read.
    pub async fn in_force(&self, name: Name) -> Result<(Version, String), VersionError> {
        let mut last = None;
        loop {
            let version = self.current(name).await?.ok_or(VersionError::Unset(name))?;
            if let Some(text) = self.text(name, version.number).await? {
                return Ok((version, text));
            }
            if last.replace(version.number) == Some(version.number) {
                return Err(VersionError::Unknown { name, number: version.number });
            }
        }
    }

    /// The history, with the revision of its document.
    async fn listed(&self, name: Name) -> Result<(Option<u64>, Vec<Version>), StoreError> {
        let Some(document) = self.parts.store.document(&history_key(name), self.parts.now()).await? else {
            return Ok((None, Vec::new()));
        };
        Ok((Some(document.revision), serde_json::from_slice(&document.bytes).map_err(corrupt)?))
    }
}

fn current_key(name: Name) -> DocumentKey {
    DocumentKey::new(CURRENT, name.as_str())
}

fn history_key(name: Name) -> DocumentKey {
    DocumentKey::new(HISTORY, name.as_str())
}

fn text_key(name: Name, number: u64) -> DocumentKey {
    DocumentKey::new(TEXTS, format!("{name}/{number}"))
}

fn corrupt(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Corrupt { table: "config", source: Box::new(source) }
}
