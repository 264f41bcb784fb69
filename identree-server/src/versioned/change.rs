//! One change of a setting: one commit.

use std::path::Path;

use async_trait::async_trait;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::canon::sha256;
use identree_core::diff::{self, Numbered};
use identree_core::store::{self, Batch, DocumentKey, Put, StoreError};
use identree_core::text::{hex, visible};

use super::{Author, KEPT, Name, Version, VersionError, Versions, corrupt, current_key, history_key, text_key};

/// The longest list of lines in an event, in bytes; of more lines the number is told.
const LONGEST_LIST: usize = 8 * 1024;
/// The longest line in an event, in characters.
const LONGEST_LINE: usize = 400;

/// What shall be in force.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which setting.
    pub name: Name,
    /// The text.
    pub text: String,
    /// The digest of the file that it was made of, where that is not the text.
    pub digest: Option<String>,
    /// Who wants it.
    pub author: Author,
    /// The version that it replaces, if the author has seen one.
    pub expect: Option<u64>,
}

impl Change {
    /// This text, whatever is in force.
    pub const fn new(name: Name, text: String, author: Author) -> Self {
        Self { name, text, digest: None, author, expect: None }
    }

    /// The digest under which it is remembered.
    pub fn digest(&self) -> String {
        self.digest.clone().unwrap_or_else(|| digest(self.text.as_bytes()))
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A new version is in force.
    Now(Version),
    /// This version has been in force already; nothing was written.
    Already(Version),
}

impl Changed {
    /// The version in force.
    pub const fn version(&self) -> &Version {
        match self {
            Self::Now(version) | Self::Already(version) => version,
        }
    }
}

/// Where a file's text goes.
#[async_trait]
pub trait Take: Send + Sync {
    /// Takes it as a whole, or refuses it as a whole.
    ///
    /// # Errors
    /// [`VersionError`] says why nothing has changed.
    async fn take(&self, change: Change) -> Result<Changed, VersionError>;
}

#[async_trait]
impl Take for Versions {
    async fn take(&self, change: Change) -> Result<Changed, VersionError> {
        self.change(change).await
    }
}

impl Versions {
    /// Puts a text in force, unless it is.
    ///
    /// # Errors
    /// [`VersionError::Content`] if it cannot be used, [`VersionError::Expected`] if something else is in force than what it was
    /// to replace, [`VersionError::Raced`] if somebody was faster.
    pub async fn change(&self, change: Change) -> Result<Changed, VersionError> {
        change.name.check(Path::new(change.name.as_str()), &change.text)?;
        let current = self.expected(&change).await?;
        match current {
            Some(current) if current.digest == change.digest() => Ok(Changed::Already(current)),
            current => self.write(change, current, Vec::new()).await.map(Changed::Now),
        }
    }

    /// Puts an older version in force again, as a new one.
    ///
    /// # Errors
    /// [`VersionError::Unknown`] if it is not kept; else as [`change`](Self::change).
    pub async fn roll_back(&self, name: Name, number: u64, author: Author) -> Result<Changed, VersionError> {
        let text = self.text(name, number).await?.ok_or(VersionError::Unknown { name, number })?;
        self.change(Change::new(name, text, author)).await
    }

    /// What is in force, if it is what the author has seen.
    pub(crate) async fn expected(&self, change: &Change) -> Result<Option<Version>, VersionError> {
        let current = self.current(change.name).await?;
        let now = current.as_ref().map(|current| current.number);
        match change.expect {
            Some(expected) if now.unwrap_or(0) != expected => {
                Err(VersionError::Expected { name: change.name, expected, now })
            }
            _ => Ok(current),
        }
    }

    /// Writes the next version, and what else belongs to it, in one commit.
    pub(crate) async fn write(
        &self,
        change: Change,
        current: Option<Version>,
        beside: Vec<(store::Change, Option<AuditEvent>)>,
    ) -> Result<Version, VersionError> {
        let name = change.name;
        let (listed, mut history) = self.listed(name).await?;
        let before = match &current {
            Some(current) => self.text(name, current.number).await?.unwrap_or_default(),
            None => String::new(),
        };
        let replaced = current.map(|current| current.number);
        let version = Version {
            number: replaced.unwrap_or(0) + 1,
            at: self.parts.now(),
            author: change.author.clone(),
            digest: change.digest(),
            bytes: change.text.len() as u64,
        };
        history.insert(0, version.clone());
        let event = self.event(&version, &change, &before);
        let text = document(text_key(name, version.number), None, change.text.into_bytes());
        let mut batch = Batch::of(document(current_key(name), replaced, json(&version)?), event)
            .and(text, None)
            .and(document(history_key(name), listed, json(&history[..history.len().min(KEPT)])?), None);
        for old in history.iter().skip(KEPT) {
            let gone = store::Change::Document { key: text_key(name, old.number), expect: Some(1), put: None };
            batch = batch.and(gone, None);
        }
        for (change, event) in beside {
            batch = batch.and(change, event);
        }
        match self.parts.store.commit(batch).await {
            Ok(()) => Ok(version),
            Err(StoreError::Conflict) => Err(VersionError::Raced(name)),
            Err(error) => Err(error.into()),
        }
    }

    fn event(&self, version: &Version, change: &Change, before: &str) -> AuditEvent {
        let kind = match change.name {
            Name::Policies => EventKind::PolicyChanged,
            _ => EventKind::ConfigChanged,
        };
        let (before, after) = comparable(before, &change.text);
        let (went, came) = diff::changed(&before, &after);
        let mut event = change
            .author
            .sign(self.parts.event(kind))
            .with("what", change.name.as_str())
            .with("revision", version.number.to_string())
            .with("digest", &*version.digest);
        for (detail, lines) in [("before", went), ("after", came)] {
            if !lines.is_empty() {
                event = event.with(detail, list(&lines));
            }
        }
        event
    }
}

/// Two texts in one form, so that a line that differs is a difference: JSON indented, TOML as it is unless the other is JSON.
pub(crate) fn comparable(before: &str, after: &str) -> (String, String) {
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if !is_json(before) && !is_json(after) {
        return (before.to_owned(), after.to_owned());
    }
    (indented(before), indented(after))
}

fn indented(text: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let value = value.or_else(|| toml::from_str(text).ok().filter(|_| !text.trim().is_empty()));
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| text.to_owned())
}

/// Lines with their numbers, as an event tells them.
pub(super) fn list(lines: &Numbered<'_>) -> String {
    let mut out = String::new();
    for (at, (number, line)) in lines.iter().enumerate() {
        let line: String = visible(line).chars().take(LONGEST_LINE).collect();
        if out.len() + line.len() > LONGEST_LIST {
            return format!("{out}and {} more lines", lines.len() - at);
        }
        out.push_str(&format!("{number}: {line}\n"));
    }
    out.truncate(out.trim_end().len());
    out
}

/// The SHA-256, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

fn document(key: DocumentKey, expect: Option<u64>, bytes: Vec<u8>) -> store::Change {
    store::Change::Document { key, expect, put: Some(Put { bytes, expires_at: None }) }
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(corrupt)
}
