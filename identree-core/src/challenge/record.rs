//! The stored question: its facts, its state, and the only ways from one state to the next.

use serde::{Deserialize, Serialize};

use super::{RunAs, Summary, UserCode};
use crate::grant::{Answer, Decision};
use crate::id::{ChallengeId, ChallengeKind, Nonce, RuleName, Target, UserName};
use crate::policy::{Requirement, Revision};
use crate::time::Timestamp;

/// What was asked: fixed when the question is opened, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Derived from target and nonce.
    pub id: ChallengeId,
    /// What the requester's terminal shows and the approver compares.
    pub code: UserCode,
    /// The asking side's own nonce; every answer carries it.
    pub nonce: Nonce,
    /// What sort of question.
    pub kind: ChallengeKind,
    /// Who asks.
    pub requester: UserName,
    /// About what.
    pub target: Target,
    /// Groups of the target, as rules match them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_groups: Vec<String>,
    /// As whom it would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<RunAs>,
    /// The command as rules match it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether that is exactly what will run.
    #[serde(default)]
    pub command_is_exact: bool,
    /// What approvers read.
    pub summary: Summary,
    /// SHA-256 of the payload.
    #[serde(with = "crate::text::hex32")]
    pub payload_sha256: [u8; 32],
    /// What was required when it was opened; the stricter of this and the policy at the vote counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<Requirement>,
    /// The policy that was asked.
    pub policy_revision: Revision,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends unanswered.
    pub expires_at: Timestamp,
}

/// A question with its state. The revision rises by one with each change and guards every commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeRecord {
    question: Question,
    state: State,
    revision: u64,
}

/// Where a question stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Waiting; it may have some of the approvals it needs.
    Pending {
        /// Approvals so far, one per person.
        votes: Vec<CastVote>,
        /// How often a wrong number was typed, by anybody.
        #[serde(default, skip_serializing_if = "is_zero")]
        wrong_numbers: u32,
    },
    /// Answered, for good.
    Settled {
        /// When.
        at: Timestamp,
        /// How.
        how: Settled,
    },
}

/// One approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CastVote {
    /// Who.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// Their reason, if they gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Yes.
    Granted(GrantedBy),
    /// A person said no.
    Denied {
        /// Who.
        by: UserName,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nobody answered in time.
    Expired,
    /// The asking side took it back.
    Cancelled {
        /// Who.
        by: UserName,
    },
    /// A rule says no.
    Refused {
        /// Which rule; none when no rule matched.
        rule: Option<RuleName>,
        /// Why.
        text: String,
    },
}

/// Where a yes came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantedBy {
    /// People.
    Votes(Vec<CastVote>),
    /// A rule that allows without asking.
    Rule(RuleName),
}

/// The question is settled already; it stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the question is already settled")]
pub struct AlreadySettled;

impl ChallengeRecord {
    /// A new question that waits.
    pub const fn pending(question: Question) -> Self {
        Self { question, state: State::Pending { votes: Vec::new(), wrong_numbers: 0 }, revision: 1 }
    }

    /// A new question that a rule settles at once.
    pub const fn settled(question: Question, at: Timestamp, how: Settled) -> Self {
        Self { question, state: State::Settled { at, how }, revision: 1 }
    }

    /// What was asked.
    pub const fn question(&self) -> &Question {
        &self.question
    }

    /// Where it stands.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The number of the state: 1 when opened.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether it still waits.
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending { .. })
    }

    /// The approvals so far; of a granted question, those that granted it.
    pub fn votes(&self) -> &[CastVote] {
        match &self.state {
            State::Pending { votes, .. } | State::Settled { how: Settled::Granted(GrantedBy::Votes(votes)), .. } => {
                votes
            }
            State::Settled { .. } => &[],
        }
    }

    /// When it was settled.
    pub const fn settled_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Pending { .. } => None,
            State::Settled { at, .. } => Some(*at),
        }
    }

    /// Approvals it needs as opened.
    pub fn needed(&self) -> u32 {
        self.question.requirement.as_ref().map_or(1, |requirement| requirement.approvals.get())
    }

    /// One more approval; with `need` of them the question is granted.
    ///
    /// # Errors
    /// [`AlreadySettled`] in every final state.
    pub fn approve(self, vote: CastVote, need: u32) -> Result<Self, AlreadySettled> {
        let State::Pending { mut votes, wrong_numbers } = self.state else {
            return Err(AlreadySettled);
        };
        let at = vote.at;
        votes.retain(|earlier| earlier.by != vote.by); // one person, one vote
        votes.push(vote);
        let enough = u32::try_from(votes.len()).unwrap_or(u32::MAX) >= need.max(1);
        let state = if enough {
            State::Settled { at, how: Settled::Granted(GrantedBy::Votes(votes)) }
        } else {
            State::Pending { votes, wrong_numbers }
        };
        Ok(Self { question: self.question, state, revision: self.revision + 1 })
    }

    /// How often a wrong number was typed while it waited.
    pub const fn wrong_numbers(&self) -> u32 {
        match &self.state {
            State::Pending { wrong_numbers, .. } => *wrong_numbers,
            State::Settled { .. } => 0,
        }
    }

    /// One more wrong number; the question goes on waiting.
    ///
    /// # Errors
    /// [`AlreadySettled`] in every final state.
    pub fn mistyped(self) -> Result<Self, AlreadySettled> {
        let State::Pending { votes, wrong_numbers } = self.state else {
            return Err(AlreadySettled);
        };
        let state = State::Pending { votes, wrong_numbers: wrong_numbers.saturating_add(1) };
        Ok(Self { question: self.question, state, revision: self.revision + 1 })
    }

    /// Ends the question without a yes: denied, expired, cancelled or refused by a rule.
    ///
    /// # Errors
    /// [`AlreadySettled`] in every final state.
    pub fn end(self, at: Timestamp, how: NotGranted) -> Result<Self, AlreadySettled> {
        if !self.is_pending() {
            return Err(AlreadySettled);
        }
        let how = match how {
            NotGranted::Denied { by, reason } => Settled::Denied { by, reason },
            NotGranted::Expired => Settled::Expired,
            NotGranted::Cancelled { by } => Settled::Cancelled { by },
            NotGranted::Refused { rule, text } => Settled::Refused { rule, text },
        };
        Ok(Self { question: self.question, state: State::Settled { at, how }, revision: self.revision + 1 })
    }

    /// The answer of a settled question, made from the record alone: the same bytes wherever and whenever it is made.
    /// A grant is worth something for `grant_life` after settling.
    pub fn answer(&self, grant_life: std::time::Duration) -> Option<Answer> {
        let State::Settled { at, how } = &self.state else {
            return None;
        };
        let mut extras: Vec<(String, String)> = Vec::new();
        let mut extra = |key: &str, value: &str| extras.push((key.to_owned(), value.to_owned()));
        let decision = match how {
            Settled::Granted(GrantedBy::Votes(votes)) => {
                extra("by", &votes.iter().map(|vote| vote.by.as_str()).collect::<Vec<_>>().join(","));
                Decision::Granted
            }
            Settled::Granted(GrantedBy::Rule(rule)) => {
                extra("rule", rule.as_str());
                Decision::Granted
            }
            Settled::Denied { by, reason } => {
                extra("by", by.as_str());
                if let Some(reason) = reason {
                    extra("reason", reason);
                }
                Decision::Denied
            }
            Settled::Expired => Decision::Expired,
            Settled::Cancelled { by } => {
                extra("by", by.as_str());
                Decision::Cancelled
            }
            Settled::Refused { rule, text } => {
                if let Some(rule) = rule {
                    extra("rule", rule.as_str());
                }
                extra("reason", text);
                Decision::Refused
            }
        };
        let question = &self.question;
        Some(Answer {
            decision,
            challenge: question.id,
            target: question.target.clone(),
            nonce: question.nonce,
            kind: question.kind.clone(),
            requester: question.requester.clone(),
            run_as_user: question.run_as.as_ref().map(|run_as| run_as.user.clone()),
            run_as_group: question.run_as.as_ref().and_then(|run_as| run_as.group.clone()),
            payload_sha256: question.payload_sha256,
            issued: *at,
            expires: *at + grant_life,
            extras,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The ends that are not a yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotGranted {
    /// A person said no.
    Denied {
        /// Who.
        by: UserName,
        /// Why.
        reason: Option<String>,
    },
    /// Nobody answered in time.
    Expired,
    /// Taken back.
    Cancelled {
        /// By whom.
        by: UserName,
    },
    /// A rule says no, now.
    Refused {
        /// Which rule.
        rule: Option<RuleName>,
        /// Why.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::HostName;

    fn question() -> Question {
        Question {
            id: ChallengeId::from_bytes([1; 16]),
            code: UserCode::parse("ABCDEF-123456").unwrap(),
            nonce: Nonce::from_bytes([2; 32]),
            kind: ChallengeKind::parse("sudo").unwrap(),
            requester: UserName::parse("ann").unwrap(),
            target: Target::Host(HostName::parse("web1").unwrap()),
            target_groups: vec![],
            run_as: None,
            command: None,
            command_is_exact: false,
            summary: Summary { action: "whoami".into(), reason: None, details: vec![] },
            payload_sha256: [3; 32],
            requirement: None,
            policy_revision: Revision::default(),
            created_at: Timestamp::from_secs(0),
            expires_at: Timestamp::from_secs(120),
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Approve(u8, u32),
        Deny,
        Expire,
        Cancel,
        Refuse,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4u8, 1..4u32).prop_map(|(by, need)| Step::Approve(by, need)),
            1 => Just(Step::Deny),
            1 => Just(Step::Expire),
            1 => Just(Step::Cancel),
            1 => Just(Step::Refuse),
        ]
    }

    fn take(record: ChallengeRecord, step: &Step) -> Result<ChallengeRecord, AlreadySettled> {
        let (by, at) = (UserName::parse("bob").unwrap(), Timestamp::from_secs(1));
        match step {
            Step::Approve(by, need) => {
                let by = UserName::parse(&format!("u{by}")).unwrap();
                record.approve(CastVote { by, at, reason: None }, *need)
            }
            Step::Deny => record.end(at, NotGranted::Denied { by, reason: None }),
            Step::Expire => record.end(at, NotGranted::Expired),
            Step::Cancel => record.end(at, NotGranted::Cancelled { by }),
            Step::Refuse => record.end(at, NotGranted::Refused { rule: None, text: String::new() }),
        }
    }

    proptest! {
        #[test]
        fn no_transition_leaves_a_final_state(steps in prop::collection::vec(step(), 1..12)) {
            let mut record = ChallengeRecord::pending(question());
            for step in &steps {
                let before = record.clone();
                match take(record, step) {
                    Ok(after) => {
                        prop_assert!(before.is_pending());
                        prop_assert_eq!(after.revision(), before.revision() + 1);
                        record = after;
                    }
                    Err(AlreadySettled) => {
                        prop_assert!(!before.is_pending());
                        record = before;
                    }
                }
            }
        }

        #[test]
        fn a_grant_has_as_many_distinct_people_as_it_needed(votes in prop::collection::vec(0..5u8, 1..12), need in 1..5u32) {
            let mut record = ChallengeRecord::pending(question());
            let mut people = std::collections::BTreeSet::new();
            for by in votes {
                if !record.is_pending() { break; }
                people.insert(by);
                record = take(record, &Step::Approve(by, need)).unwrap();
                prop_assert_eq!(record.votes().len(), people.len());
                prop_assert_eq!(record.is_pending(), people.len() < need as usize);
            }
        }

        #[test]
        fn stored_and_read_back_it_is_the_same(steps in prop::collection::vec(step(), 0..6)) {
            let mut record = ChallengeRecord::pending(question());
            for step in &steps {
                record = take(record.clone(), step).unwrap_or(record);
            }
            let json = serde_json::to_vec(&record).unwrap();
            prop_assert_eq!(serde_json::from_slice::<ChallengeRecord>(&json).unwrap(), record);
        }
    }
}
