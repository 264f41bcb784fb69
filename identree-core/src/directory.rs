//! Where people and their groups come from.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::id::{GroupName, UserName};
use crate::policy::Revision;
use crate::retry::Retry;
use crate::time::Timestamp;

/// What is known of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub name: UserName,
    /// Their groups, as the source names them.
    pub groups: Vec<GroupName>,
    /// Until when the groups may be believed; groups that came as claims age out.
    pub groups_until: Timestamp,
    /// Whether the source has shut the person out.
    pub disabled: bool,
}

/// One consistent state of the directory.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    revision: Revision,
    people: HashMap<UserName, Person>,
}

impl Snapshot {
    /// From people; of two with one name the later counts.
    pub fn new(revision: Revision, people: impl IntoIterator<Item = Person>) -> Self {
        Self { revision, people: people.into_iter().map(|person| (person.name.clone(), person)).collect() }
    }

    /// Which state this is.
    pub const fn revision(&self) -> &Revision {
        &self.revision
    }

    /// What is known of a person.
    pub fn person(&self, name: &UserName) -> Option<&Person> {
        self.people.get(name)
    }

    /// Everybody, in no order.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// Whether a known, enabled person is in one of the groups, by facts that may be believed now.
    pub fn is_member(&self, name: &UserName, of: &[GroupName], now: Timestamp) -> bool {
        self.person(name).is_some_and(|person| {
            !person.disabled && now < person.groups_until && person.groups.iter().any(|group| of.contains(group))
        })
    }

    /// Whether the source has shut the person out. A person it does not know is not shut out.
    pub fn is_disabled(&self, name: &UserName) -> bool {
        self.person(name).is_some_and(|person| person.disabled)
    }
}

/// The source could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It did not answer; the last good state stays in force.
    #[error("the directory is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DirectoryError {
    /// What the caller may do.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unavailable(_) => Retry::Later,
        }
    }
}

/// Where people and groups come from.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// The last good state. Never waits.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Tells of each new state.
    fn changes(&self) -> watch::Receiver<Revision>;

    /// Reads the source now.
    ///
    /// # Errors
    /// [`DirectoryError`] if it cannot be read; the last good state stays.
    async fn refresh(&self) -> Result<Arc<Snapshot>, DirectoryError>;
}

#[async_trait]
impl<D: Directory + ?Sized> Directory for Arc<D> {
    fn snapshot(&self) -> Arc<Snapshot> {
        (**self).snapshot()
    }
    fn changes(&self) -> watch::Receiver<Revision> {
        (**self).changes()
    }
    async fn refresh(&self) -> Result<Arc<Snapshot>, DirectoryError> {
        (**self).refresh().await
    }
}

/// A directory that never changes: for embedders with a known set of people, and for tests.
#[derive(Debug)]
pub struct FixedDirectory {
    snapshot: Arc<Snapshot>,
    changes: watch::Sender<Revision>,
}

impl FixedDirectory {
    /// From people, each with the names of their groups.
    pub fn new(people: impl IntoIterator<Item = (UserName, Vec<GroupName>)>) -> Self {
        let people = people.into_iter().map(|(name, groups)| Person {
            name,
            groups,
            groups_until: Timestamp::MAX,
            disabled: false,
        });
        Self {
            snapshot: Arc::new(Snapshot::new(Revision::default(), people)),
            changes: watch::Sender::new(Revision::default()),
        }
    }
}

#[async_trait]
impl Directory for FixedDirectory {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }
    fn changes(&self) -> watch::Receiver<Revision> {
        self.changes.subscribe()
    }
    async fn refresh(&self) -> Result<Arc<Snapshot>, DirectoryError> {
        Ok(self.snapshot())
    }
}
