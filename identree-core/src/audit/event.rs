//! The closed list of things that are recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::{ChallengeId, EventId, Target, UserName};
use crate::time::Timestamp;

macro_rules! kinds {
    ($($variant:ident = $name:literal, $meaning:literal;)*) => {
        /// Everything that can be recorded. Names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum EventKind {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
        }

        impl EventKind {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for the catalogue.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

kinds! {
    ChallengeCreated = "challenge_created", "A question was opened and waits.";
    ChallengeAllowed = "challenge_allowed", "A question was granted by a rule, without asking.";
    ChallengeRefused = "challenge_refused", "A question was refused by a rule.";
    ChallengePartiallyApproved = "challenge_partially_approved", "A person approved; more approvals are needed.";
    ChallengeApproved = "challenge_approved", "A question was granted by people.";
    ChallengeDenied = "challenge_denied", "A person denied a question.";
    ChallengeExpired = "challenge_expired", "A question ended unanswered.";
    ChallengeCancelled = "challenge_cancelled", "The asking side took a question back.";
    GrantSpent = "grant_spent", "A held request went ahead with its grant.";
    VoteRefused = "vote_refused", "A person's vote did not count.";
    NoticeDelivered = "notice_delivered", "People were told of a question on a channel.";
    NoticeFailed = "notice_failed", "A channel did not take a notice of a question, and it was given up.";
    PersonLinked = "person_linked", "A person of the identity provider was linked to a user name.";
    PersonLinkRefused = "person_link_refused", "A person claimed a user name that is not theirs to claim.";
    SignedIn = "signed_in", "A person signed in.";
    SignInFailed = "sign_in_failed", "A sign-in failed after the identity provider answered.";
    SignedOut = "signed_out", "A person signed out.";
    HostAdded = "host_added", "A host was registered.";
    HostRemoved = "host_removed", "A host was removed.";
    HostSecretRotated = "host_secret_rotated", "A host was given a new secret.";
    HostInvited = "host_invited", "A token was given out by which a host may make a new key known.";
    HostEnrolled = "host_enrolled", "A host made its own key known under its token.";
    HostKeyReplaced = "host_key_replaced", "A host replaced its own key.";
    DecisionKeyRotated = "decision_key_rotated", "A new key was introduced to sign answers.";
}

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
    /// The rest, by name: `rule`, `reason`, `action`, …
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_explained() {
        let names: std::collections::BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.as_str()));
            assert!(kind.meaning().ends_with('.'));
        }
    }
}
