//! One thing that happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EventKind;
use crate::actor::{Actor, Whence};
use crate::id::{ChallengeId, EventId, Target, UserName};
use crate::time::Timestamp;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its identity, drawn for it alone: nothing else in the log has it ([`Store`](crate::store::Store) says who sees to that).
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
    /// Which way the actor, or the call, came in ([`Actor::by`], [`Whence::via`]).
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

    /// The same event with its actor, and where they called from.
    #[must_use]
    pub fn by(mut self, actor: &Actor) -> Self {
        self.actor = Some(actor.name().clone());
        self.via = Some(actor.by().to_owned());
        self.from(actor.whence())
    }

    /// The same event with where its call came from.
    #[must_use]
    pub fn from(mut self, whence: &Whence) -> Self {
        if self.via.is_none() {
            self.via = whence.via.map(str::to_owned);
        }
        if let Some(address) = whence.address {
            self.details.insert("address".to_owned(), address.to_string());
        }
        if let Some(request) = &whence.request {
            self.details.insert("request".to_owned(), request.to_string());
        }
        self
    }
}
