//! One thing that happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EventKind;
use crate::actor::Actor;
use crate::id::{ChallengeId, EventId, Target, UserName};
use crate::time::Timestamp;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its identity: a repeated write of the same event is the same event.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// About which question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeId>,
    /// Who asked, or whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<UserName>,
    /// About which host or thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<UserName>,
    /// Which way the actor came in ([`Actor::by`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The rest, by name: those that [`EventKind::tells`] lists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

impl AuditEvent {
    /// An event of this kind, to be filled with what is known.
    pub const fn new(id: EventId, at: Timestamp, kind: EventKind) -> Self {
        Self {
            id,
            at,
            kind,
            challenge: None,
            subject: None,
            target: None,
            actor: None,
            via: None,
            details: BTreeMap::new(),
        }
    }

    /// The same event with one more detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The same event with its actor.
    #[must_use]
    pub fn by(mut self, actor: &Actor) -> Self {
        self.actor = Some(actor.name().clone());
        self.via = Some(actor.by().to_owned());
        self
    }
}
