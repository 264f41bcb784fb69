//! A question of the embedder's own making, for those who need no type of their own.

use super::{Challenge, Detail, Label, Payload, RunAs, Summary};
use crate::canon::Writer;
use crate::id::{ChallengeKind, Target, UserName};

/// A question with a kind, a requester, a target, an action to read and details. Everything shown is bound.
#[derive(Debug, Clone)]
pub struct FreeChallenge {
    kind: ChallengeKind,
    requester: UserName,
    target: Target,
    summary: Summary,
    run_as: Option<RunAs>,
}

impl FreeChallenge {
    /// Starts a question: what sort, who asks, about what, and what would happen.
    pub fn new(kind: ChallengeKind, requester: UserName, target: Target, action: impl Into<String>) -> Self {
        let summary = Summary { action: action.into(), reason: None, details: Vec::new() };
        Self { kind, requester, target, summary, run_as: None }
    }

    /// The same question with a reason.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.summary.reason = Some(reason.into());
        self
    }

    /// The same question with one more line for the approver.
    #[must_use]
    pub fn with_detail(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.summary.details.push(Detail { label: Label::Other(label.into()), value: value.into() });
        self
    }

    /// The same question, run as another user.
    #[must_use]
    pub fn with_run_as(mut self, run_as: RunAs) -> Self {
        self.run_as = Some(run_as);
        self
    }
}

impl Challenge for FreeChallenge {
    fn kind(&self) -> ChallengeKind {
        self.kind.clone()
    }

    fn requester(&self) -> &UserName {
        &self.requester
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn summary(&self) -> Summary {
        self.summary.clone()
    }

    fn payload(&self) -> Payload {
        let mut writer = Writer::new(b"identree free payload v1");
        writer.put_text(&self.summary.action);
        writer.put(if self.summary.reason.is_some() { &[1] } else { &[0] });
        writer.put_text(self.summary.reason.as_deref().unwrap_or_default());
        for Detail { label, value } in &self.summary.details {
            if let Label::Other(label) = label {
                writer.put_text(label);
            }
            writer.put_text(value);
        }
        Payload::new(writer.finish())
    }

    fn run_as(&self) -> Option<&RunAs> {
        self.run_as.as_ref()
    }

    fn command(&self) -> Option<&str> {
        Some(&self.summary.action)
    }
}
