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

/// Where people and groups come from: an LDAP server, an identity provider, a file. [`FixedDirectory`] is a list.
///
/// The engine takes a [`snapshot`](Self::snapshot) whenever it plans something, also for who may see a question; it never
/// waits for the source. Who calls [`refresh`](Self::refresh), and when, is the embedder's: a timer, a webhook.
///
/// # What it must guarantee
///
/// - `snapshot` answers from memory. It is the last good state, however old; what ages says so with [`Person::groups_until`].
/// - A [`Snapshot`] never changes; a new state is a new one with a new [`Revision`].
/// - Names are those of [`Challenge::requester`](crate::challenge::Challenge::requester) and [`Actor`](crate::actor::Actor): exact, case counts.
/// - After a failed `refresh` the state is the one before. An empty answer of a source is not to be believed as *nobody*
///   unless the source can tell the difference.
///
/// # Errors and retry
///
/// [`DirectoryError`] goes to whoever called `refresh`. The engine never sees it: it works with what is known, and groups that
/// have aged out make nobody an administrator.
///
/// # A toy
///
/// ```
/// use std::sync::{Arc, Mutex, PoisonError};
///
/// use async_trait::async_trait;
/// use identree_core::directory::{Directory, DirectoryError, Person, Snapshot};
/// use identree_core::id::{GroupName, UserName};
/// use identree_core::policy::Revision;
/// use identree_core::time::Timestamp;
/// use tokio::sync::watch;
///
/// /// A file of lines: a name, then the groups.
/// struct PeopleFile { path: std::path::PathBuf, known: Mutex<Arc<Snapshot>>, changes: watch::Sender<Revision> }
///
/// fn person(line: &str) -> Option<Person> {
///     let mut words = line.split_whitespace();
///     let name = UserName::parse(words.next()?).ok()?;
///     let groups = words.filter_map(|word| GroupName::parse(word).ok()).collect();
///     Some(Person { name, groups, groups_until: Timestamp::MAX, disabled: false })
/// }
///
/// #[async_trait]
/// impl Directory for PeopleFile {
///     fn snapshot(&self) -> Arc<Snapshot> {
///         Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
///     }
///     fn changes(&self) -> watch::Receiver<Revision> {
///         self.changes.subscribe()
///     }
///     async fn refresh(&self) -> Result<Arc<Snapshot>, DirectoryError> {
///         let text = std::fs::read_to_string(&self.path).map_err(|error| DirectoryError::Unavailable(error.into()))?;
///         let revision = Revision(text.len().to_string().into()); // a hash would be better
///         let fresh = Arc::new(Snapshot::new(revision.clone(), text.lines().filter_map(person)));
///         *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
///         self.changes.send_replace(revision);
///         Ok(fresh)
///     }
/// }
/// ```
///
/// A directory is one when it passes [`testkit::suite::directory`](crate::directory_suite) (feature `testkit`).
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
