//! Questions: what a person can be asked to approve.

mod code;
mod flags;
#[cfg(feature = "engine")]
mod free;
mod login;
#[cfg(feature = "engine")]
pub mod record;
mod run;
mod sudo;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

pub use self::code::{CodeError, UserCode};
pub use self::flags::Flag;
#[cfg(feature = "engine")]
pub use self::free::FreeChallenge;
pub use self::login::{LoginChallenge, LoginError, LoginFacts, LoginKind};
#[cfg(feature = "engine")]
pub use self::record::{CastVote, ChallengeRecord, GrantedBy, Question, Settled, State};
pub use self::run::{FileFacts, Folder, RunMode, SudoRun};
pub use self::sudo::{CommandSource, SudoChallenge, SudoError, SudoFacts};
use crate::canon::sha256;
use crate::id::{ChallengeKind, Target, UnixGroup, UserName};

/// Something a person can be asked to approve. Implement it for deploys, queries, tool calls; sudo is one among them. Those who
/// need no type of their own take [`FreeChallenge`].
///
/// The engine calls every method once, when the question is opened ([`Engine::open`](crate::Engine::open)), and copies what it needs; the
/// value is not kept. Asked again with the same nonce, it calls them again and compares.
///
/// # What it must guarantee
///
/// - The methods give the same values each time, and do not fail: parse and check in the constructor.
/// - [`payload`](Self::payload) holds **everything that matters** in one form per meaning. The grant binds its SHA-256: what is
///   not in it can be swapped after the approval. [`canon::Writer`](crate::canon::Writer) keeps fields apart.
/// - [`summary`](Self::summary) tells an approver everything that the payload binds. They sign what they read.
/// - [`requester`](Self::requester) was proven by whoever made the value.
///
/// # A toy
///
/// ```
/// use identree_core::canon::Writer;
/// use identree_core::challenge::{Challenge, Detail, Label, Payload, Summary};
/// use identree_core::id::{ChallengeKind, NameError, Target, TargetName, UserName};
///
/// /// May this person read that table, and why?
/// #[derive(Debug)]
/// struct ReadTable { by: UserName, table: Target, kind: ChallengeKind, rows: u64 }
///
/// impl ReadTable {
///     fn new(by: UserName, table: &str, rows: u64) -> Result<Self, NameError> {
///         let table = Target::Named(TargetName::parse(table)?);
///         Ok(Self { by, table, kind: ChallengeKind::parse("read-table")?, rows })
///     }
/// }
///
/// impl Challenge for ReadTable {
///     fn kind(&self) -> ChallengeKind { self.kind.clone() }
///     fn requester(&self) -> &UserName { &self.by }
///     fn target(&self) -> &Target { &self.table }
///     fn summary(&self) -> Summary {
///         let rows = Detail { label: Label::Other("Rows".into()), value: self.rows.to_string() };
///         Summary { action: format!("read {}", self.table), reason: None, details: vec![rows] }
///     }
///     fn payload(&self) -> Payload {
///         let mut writer = Writer::new(b"example read-table v1"); // the purpose: no other payload reads the same
///         writer.put_text(self.table.name());
///         writer.put_number(self.rows);
///         Payload::new(writer.finish())
///     }
/// }
/// ```
pub trait Challenge: Debug + Send + Sync {
    /// What sort of question it is; rules match on it.
    fn kind(&self) -> ChallengeKind;
    /// Who asks.
    fn requester(&self) -> &UserName;
    /// What it is about.
    fn target(&self) -> &Target;
    /// What approvers read.
    fn summary(&self) -> Summary;
    /// Canonical bytes of what is asked; the answer binds their SHA-256.
    fn payload(&self) -> Payload;
    /// As whom it would run, where that means something.
    fn run_as(&self) -> Option<&RunAs> {
        None
    }
    /// Groups the target belongs to; rules match on them (`match_host_groups`).
    fn target_groups(&self) -> &[String] {
        &[]
    }
    /// The command as rules match it (`match_commands`), in the form of [`crate::text::command_line`]: no two different
    /// commands look alike.
    fn command(&self) -> Option<&str> {
        None
    }
    /// Whether that command is exactly what will run. What a person typed is not: a rule that allows without asking
    /// must not lean on it.
    fn command_is_exact(&self) -> bool {
        true
    }
}

/// As whom something would run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunAs {
    /// The user.
    pub user: UserName,
    /// The group, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<UnixGroup>,
}

/// What approvers read. Every text in it may come from outside; whoever shows it escapes it ([`crate::text::visible`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What would happen, complete: a command line, a deployment and its version.
    pub action: String,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whatever else helps to decide, in the order to show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// One line of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// What it is.
    pub label: Label,
    /// The text.
    pub value: String,
}

/// What a [`Detail`] is. The known ones are translated by whoever shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Label {
    /// As whom it runs.
    RunAs,
    /// From which machine.
    Remote,
    /// The working directory.
    Directory,
    /// The terminal it was typed at.
    Terminal,
    /// The PAM service that asks.
    Service,
    /// Something to be careful about.
    Caution,
    /// A known reason to look twice; whoever shows it has the words.
    Flag(Flag),
    /// How sudo was called; there on every question that binds what runs.
    Mode,
    /// The name a program is told that it has, where that is not its file's.
    CalledAs,
    /// Where it starts, if that is not the requester's directory.
    StartsIn,
    /// The root directory it is locked in.
    RootDirectory,
    /// The umask it starts with.
    Umask,
    /// The editor that is started as the requester.
    Editor,
    /// The file that runs, as it was looked at.
    File,
    /// The folders on the way to it.
    Folders,
    /// One variable of its environment.
    Environment,
    /// Something else that sudo does.
    Setting,
    /// An embedder's own label, shown as it is.
    Other(String),
}

/// The canonical bytes of what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// From canonical bytes; make them with [`crate::canon::Writer`] or any other encoding that has one form per meaning.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What an answer binds.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}
