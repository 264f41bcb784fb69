//! What is told.

use std::fmt;

use crate::challenge::{CastVote, ChallengeRecord, GrantedBy, RunAs, Settled, State, Summary};
use crate::directory::Snapshot;
use crate::id::{ChallengeId, ChallengeKind, GroupName, RuleName, Target, UserName};
use crate::text::visible;
use crate::time::Timestamp;

/// Where the question stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// It waits, and this channel was not told of it before.
    Opened,
    /// It still waits; somebody approved, and more approvals are needed.
    Updated,
    /// It is over.
    Settled {
        /// When.
        at: Timestamp,
        /// How.
        how: Settled,
    },
}

/// One notice about one question: everything that an approver may read, and nothing that only the requester's terminal shows.
/// Neither the code nor its number is in it: an approver who must type the number has to get it from the requester.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// Where the question stands.
    pub stage: Stage,
    /// Which question.
    pub id: ChallengeId,
    /// Which of its states; rises with each. The same id and revision is the same notice.
    pub revision: u64,
    /// What sort of question.
    pub kind: ChallengeKind,
    /// Who asks.
    pub requester: UserName,
    /// About what.
    pub target: Target,
    /// Groups of the target.
    pub target_groups: Vec<String>,
    /// As whom it would run.
    pub run_as: Option<RunAs>,
    /// What approvers read. It comes from outside: escape it for where it goes.
    pub summary: Summary,
    /// The rule that asks.
    pub rule: Option<RuleName>,
    /// The approvals so far.
    pub approvals: Vec<CastVote>,
    /// How many it needs, as opened.
    pub need: u32,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends unanswered.
    pub expires_at: Timestamp,
    /// Where to decide it, if the embedder said so.
    pub url: Option<String>,
    /// Whom to tell. For [`Routes`](super::Routes): everybody who may decide. For a notifier: those of its route.
    pub recipients: Vec<UserName>,
}

impl Notice {
    /// The notice of a question as it stands, with no address and nobody to tell. `told`: whether it was told of before.
    pub fn about(record: &ChallengeRecord, told: bool) -> Self {
        let question = record.question();
        let stage = match record.state() {
            State::Settled { at, how } => Stage::Settled { at: *at, how: how.clone() },
            State::Pending { .. } if told => Stage::Updated,
            State::Pending { .. } => Stage::Opened,
        };
        Self {
            stage,
            id: question.id,
            revision: record.revision(),
            kind: question.kind.clone(),
            requester: question.requester.clone(),
            target: question.target.clone(),
            target_groups: question.target_groups.clone(),
            run_as: question.run_as.clone(),
            summary: question.summary.clone(),
            rule: question.requirement.as_ref().and_then(|requirement| requirement.rule.clone()),
            approvals: record.votes().to_vec(),
            need: record.needed(),
            created_at: question.created_at,
            expires_at: question.expires_at,
            url: None,
            recipients: Vec::new(),
        }
    }
}

/// Who may decide a question, by the facts of now: the requester unless the rule forbids it, and the administrators.
pub(super) fn deciders(
    record: &ChallengeRecord,
    directory: &Snapshot,
    admin_groups: &[GroupName],
    now: Timestamp,
) -> Vec<UserName> {
    let requester = &record.question().requester;
    let requirement = record.question().requirement.clone().unwrap_or_default();
    let is_admin = |name: &UserName| directory.is_member(name, admin_groups, now);
    let own = requirement.requester_may_approve
        && !directory.is_disabled(requester)
        && (!requirement.require_admin || is_admin(requester));
    let mut admins: Vec<_> =
        directory.people().map(|person| &person.name).filter(|name| *name != requester && is_admin(name)).collect();
    admins.sort_unstable();
    own.then_some(requester).into_iter().chain(admins).cloned().collect()
}

/// One line of English without hidden characters: for logs, terminals, and channels that want no more.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requester, target, .. } = self;
        write!(f, "{requester} asks on {target}: {}", visible(&self.summary.action))?;
        if let Some(reason) = &self.summary.reason {
            write!(f, " (because: {})", visible(reason))?;
        }
        match &self.stage {
            Stage::Opened | Stage::Updated => write!(f, ": waits, {} of {} approvals", self.approvals.len(), self.need),
            Stage::Settled { how: Settled::Granted(GrantedBy::Votes(votes)), .. } => {
                let by: Vec<_> = votes.iter().map(|vote| vote.by.as_str()).collect();
                write!(f, ": approved by {}", by.join(", "))
            }
            Stage::Settled { how: Settled::Granted(GrantedBy::Rule(rule)), .. } => write!(f, ": allowed by {rule}"),
            Stage::Settled { how: Settled::Denied { by, reason }, .. } => {
                write!(f, ": denied by {by}")?;
                reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({})", visible(reason)))
            }
            Stage::Settled { how: Settled::Expired, .. } => f.write_str(": nobody answered in time"),
            Stage::Settled { how: Settled::Cancelled { by }, .. } => write!(f, ": taken back by {by}"),
            Stage::Settled { how: Settled::Refused { text, .. }, .. } => write!(f, ": refused, {}", visible(text)),
        }
    }
}
