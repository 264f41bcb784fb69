//! Who must approve what: the contract, and the built-in rules.

mod file;
mod index;
mod matcher;
mod rule;
mod ruleset;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::file::{Place, PolicyFileError};
pub use self::matcher::GlobError;
pub use self::rule::{Rule, RuleError};
pub use self::ruleset::RuleSet;
pub use self::window::{Window, WindowError};
use crate::challenge::RunAs;
use crate::directory::Snapshot;
use crate::id::{ChallengeKind, RuleName, Target, UserName};
use crate::retry::Retry;
use crate::time::Timestamp;

/// Which state of a policy or a directory: an opaque text, stored with every question.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub Box<str>);

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Everything a policy may look at.
#[derive(Debug, Clone, Copy)]
pub struct PolicyInput<'a> {
    /// What sort of question.
    pub kind: &'a ChallengeKind,
    /// Who asks.
    pub requester: &'a UserName,
    /// About what.
    pub target: &'a Target,
    /// Groups of the target.
    pub target_groups: &'a [String],
    /// The command as rules match it.
    pub command: Option<&'a str>,
    /// Whether that is exactly what will run ([`crate::challenge::Challenge::command_is_exact`]).
    pub command_is_exact: bool,
    /// As whom it would run.
    pub run_as: Option<&'a RunAs>,
    /// The time.
    pub now: Timestamp,
    /// People and groups.
    pub directory: &'a Snapshot,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Yes, without asking anybody.
    Allow(RuleName),
    /// Ask.
    Ask(Requirement),
    /// No.
    Refuse {
        /// Which rule; none when no rule matched.
        rule: Option<RuleName>,
        /// Why, for the person who asked.
        text: String,
    },
}

/// What it takes to grant a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The rule that asks; none for the fallback without a policy file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// How many distinct people.
    pub approvals: NonZeroU32,
    /// Whether only administrators count, the requester included.
    pub require_admin: bool,
    /// Whether the requester may approve.
    pub requester_may_approve: bool,
    /// Whether an approver of somebody else's question must type the number shown on the requester's terminal.
    pub number_match: bool,
    /// How recently the approver must have proven themselves, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_within_secs: Option<u64>,
}

impl Default for Requirement {
    /// The seeds' default: one approval, by the requester or an administrator.
    fn default() -> Self {
        Self {
            rule: None,
            approvals: NonZeroU32::MIN,
            require_admin: false,
            requester_may_approve: true,
            number_match: true,
            fresh_within_secs: None,
        }
    }
}

impl Requirement {
    /// What both demand.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        Self {
            rule: self.rule.clone(),
            approvals: self.approvals.max(other.approvals),
            require_admin: self.require_admin || other.require_admin,
            requester_may_approve: self.requester_may_approve && other.requester_may_approve,
            number_match: self.number_match || other.number_match,
            fresh_within_secs: match (self.fresh_within_secs, other.fresh_within_secs) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }
}

/// The policy could not be asked; callers treat it as no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Whoever keeps the policy did not answer.
    #[error("the policy is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PolicyError {
    /// What the caller may do.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unavailable(_) => Retry::Later,
        }
    }
}

/// Who must approve what. Most embedders take [`RuleSet`]; implement it to ask a policy engine of your own.
///
/// The engine calls [`evaluate`](Self::evaluate) when a question is opened, and again at each vote. The [`Requirement`] of the
/// first call is kept with the question; at a vote the stricter of it and of what the policy says by then counts, and a refusal by
/// then refuses the question.
///
/// # What it must guarantee
///
/// - The outcome depends on the [`PolicyInput`] alone: it carries the time and the people.
/// - It is quick: it stands in the way of every question and every vote. Whoever asks over a network sets its own deadline.
/// - What it does not know is [`Outcome::Refuse`]. What it could not find out is an error.
/// - [`Outcome::Allow`] never leans on a command that is not [exact](PolicyInput::command_is_exact).
///
/// # Errors and retry
///
/// Whoever gets a [`PolicyError`] treats it as no. The engine does not ask again by itself: the question is not opened, the vote
/// does not count, and the caller is told [`EngineError::Policy`](crate::EngineError::Policy).
///
/// # A toy
///
/// ```
/// use async_trait::async_trait;
/// use identree_core::policy::{Outcome, Policy, PolicyError, PolicyInput, Requirement, Revision};
///
/// /// People do as they like with what is theirs, and ask an administrator for the rest.
/// struct OwnThings;
///
/// #[async_trait]
/// impl Policy for OwnThings {
///     async fn evaluate(&self, input: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
///         let own = input.target.name().starts_with(&format!("{}/", input.requester));
///         let admin = Requirement { require_admin: true, requester_may_approve: false, ..Requirement::default() };
///         Ok(Outcome::Ask(if own { Requirement::default() } else { admin }))
///     }
///     fn revision(&self) -> Revision {
///         Revision("own-things-1".into()) // change it with the code
///     }
/// }
/// ```
#[async_trait]
pub trait Policy: Send + Sync + 'static {
    /// Must depend on `input` only: the same input replays to the same outcome.
    ///
    /// # Errors
    /// [`PolicyError`] if it cannot tell.
    async fn evaluate(&self, input: &PolicyInput<'_>) -> Result<Outcome, PolicyError>;

    /// Stored with every question.
    fn revision(&self) -> Revision;
}

#[async_trait]
impl<P: Policy + ?Sized> Policy for Arc<P> {
    async fn evaluate(&self, input: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
        (**self).evaluate(input).await
    }
    fn revision(&self) -> Revision {
        (**self).revision()
    }
}
