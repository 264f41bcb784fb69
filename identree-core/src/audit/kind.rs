//! The closed list of things that are recorded, and what each may tell.

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($variant:ident = $name:literal, $meaning:literal,
        subject $subject:literal, target $target:literal, actor $actor:literal, [$($detail:literal),* $(,)?];)*) => {
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

            /// The kind of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// What it means, for the catalogue.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Whom it tells of, and what.
            pub const fn tells(self) -> Tells {
                match self {
                    $(Self::$variant => Tells {
                        subject: $subject, target: $target, actor: $actor, details: &[$($detail),*],
                    },)*
                }
            }
        }
    };
}

/// What an event of one kind may tell. Where a part is empty, an event of this kind never has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tells {
    /// Who its subject is.
    pub subject: &'static str,
    /// What its target is.
    pub target: &'static str,
    /// Who its actor is.
    pub actor: &'static str,
    /// The names of the details that it may have, sorted; [`DETAILS`] says what each means.
    pub details: &'static [&'static str],
}

kinds! {
    ChallengeCreated = "challenge_created", "A question was opened and waits.",
        subject "who asked", target "where", actor "",
        ["action", "address", "approvals", "kind", "reason", "request", "rule"];
    ChallengeAllowed = "challenge_allowed", "A question was granted by a rule, without asking.",
        subject "who asked", target "where", actor "",
        ["action", "address", "kind", "reason", "request", "rule"];
    ChallengeRefused = "challenge_refused",
        "A question was refused by a rule, after too many wrong numbers, or because its host may not ask any more.",
        subject "who asked", target "where", actor "who voted, where a vote led to it",
        ["action", "address", "kind", "reason", "request", "rule", "text"];
    ChallengePartiallyApproved = "challenge_partially_approved", "A person approved; more approvals are needed.",
        subject "who asked", target "where", actor "who approved",
        ["address", "have", "kind", "need", "reason", "request", "rule"];
    ChallengeApproved = "challenge_approved", "A question was granted by people.",
        subject "who asked", target "where", actor "who approved last",
        ["address", "have", "kind", "need", "reason", "request", "rule"];
    ChallengeDenied = "challenge_denied", "A person denied a question.",
        subject "who asked", target "where", actor "who denied",
        ["address", "kind", "reason", "request"];
    ChallengeExpired = "challenge_expired", "A question ended unanswered.",
        subject "who asked", target "where", actor "", ["kind"];
    ChallengeCancelled = "challenge_cancelled", "The asking side took a question back.",
        subject "who asked", target "where", actor "who took it back", ["address", "kind", "request"];
    AskRefused = "ask_refused",
        "A host asked what it may not ask; nothing was opened. Those alike within a minute are one event.",
        subject "who was to be asked for", target "the host", actor "",
        ["address", "count", "request", "since", "why"];
    GrantSpent = "grant_spent", "A held request went ahead with its grant.",
        subject "who asked", target "where", actor "", ["kind"];
    VoteRefused = "vote_refused", "A person's vote did not count.",
        subject "who asked", target "where", actor "who voted", ["address", "count", "kind", "request", "why"];
    NoticeDelivered = "notice_delivered", "People were told of a question on a channel.",
        subject "who asked", target "where", actor "", ["channel", "kind", "stage"];
    NoticeFailed = "notice_failed", "A channel did not take a notice of a question, and it was given up.",
        subject "who asked", target "where", actor "", ["channel", "error", "kind", "stage"];
    PersonLinked = "person_linked", "A person of the identity provider was linked to a user name.",
        subject "the user name", target "", actor "", ["address", "issuer", "request", "sub"];
    PersonLinkRefused = "person_link_refused", "A person claimed a user name that is not theirs to claim.",
        subject "the user name", target "", actor "", ["address", "issuer", "request", "sub"];
    SignedIn = "signed_in", "A person signed in.",
        subject "who", target "", actor "who", ["address", "auth_time", "request"];
    SignInFailed = "sign_in_failed", "A sign-in failed. Those alike within a minute are one event.",
        subject "", target "", actor "", ["address", "count", "issuer", "request", "since", "sub", "text", "why"];
    SignedOut = "signed_out", "A person signed out.",
        subject "who", target "", actor "who", ["address", "request"];
    SessionEnded = "session_ended", "A browser's session ended otherwise than by signing out.",
        subject "whose", target "", actor "who ended it, where somebody did", ["address", "request", "why"];
    HostAdded = "host_added", "A host was registered.",
        subject "", target "the host", actor "who did it",
        ["address", "after", "before", "expires", "generation", "request", "token"];
    HostRemoved = "host_removed", "A host was removed.",
        subject "", target "the host", actor "who did it",
        ["address", "after", "before", "generation", "request"];
    HostSecretRotated = "host_secret_rotated", "A host was given a new secret.",
        subject "", target "the host", actor "who did it",
        ["address", "after", "before", "generation", "request"];
    HostInvited = "host_invited", "A token was given out by which a host may make a new key known.",
        subject "", target "the host", actor "who did it",
        ["address", "after", "before", "expires", "generation", "request", "token"];
    HostEnrolled = "host_enrolled", "A host made its own key known under its token.",
        subject "", target "the host", actor "",
        ["address", "after", "before", "generation", "key", "request", "token"];
    HostKeyReplaced = "host_key_replaced", "A host replaced its own key.",
        subject "", target "the host", actor "",
        ["address", "after", "before", "generation", "key", "request"];
    EnrolmentRefused = "enrolment_refused", "An enrolment was refused. Those alike within a minute are one event.",
        subject "", target "the host that was named", actor "", ["address", "count", "request", "since", "token", "why"];
    HostStatusChanged = "host_status_changed", "A host reported that it stands otherwise than before.",
        subject "", target "the host", actor "", ["address", "request", "status", "was"];
    AuthenticationFailed = "authentication_failed",
        "Somebody did not prove to be who they said: a host, or a scraper. Those alike within a minute are one event.",
        subject "", target "the host, where it is known", actor "",
        ["address", "count", "request", "seconds", "since", "why"];
    FormRefused = "form_refused",
        "A form was refused that was not sent by a page of this server to this session. Those alike within a minute are one event.",
        subject "", target "", actor "whose session it came with", ["address", "count", "request", "since", "why"];
    RateLimited = "rate_limited",
        "Somebody asked too fast, or has too much waiting. Those alike within a minute are one event.",
        subject "who, where it is a person", target "the host, where it is one", actor "",
        ["address", "count", "limit", "request", "since"];
    RefusalsCounted = "refusals_counted",
        "Refusals beyond those that are written one by one in a minute: only their number is kept.",
        subject "", target "", actor "", ["count", "kind", "since"];
    DecisionKeyRotated = "decision_key_rotated", "A new key was introduced to sign answers.",
        subject "", target "", actor "who did it, where it was not a start that found it done", ["epoch", "key", "why"];
    PolicyChanged = "policy_changed", "The rules were changed.",
        subject "", target "", actor "who did it",
        ["address", "after", "before", "digest", "request", "revision", "what"];
    ConfigChanged = "config_changed", "A setting that is kept in the database was changed.",
        subject "", target "what it is about, where that is a host", actor "who did it",
        ["address", "after", "before", "digest", "request", "revision", "what"];
    PersonErased = "person_erased", "What the log knew of a person was erased; of whom is not said.",
        subject "", target "", actor "who did it", [];
    ServerStarted = "server_started", "A server began to serve.",
        subject "", target "", actor "", ["config", "replica", "version"];
    ServerStopped = "server_stopped", "A server was told to stop, and has.",
        subject "", target "", actor "", ["replica", "version"];
    DatabaseMigrated = "database_migrated", "The tables of the database were brought to another version.",
        subject "", target "", actor "", ["from", "replica", "to", "version"];
    BackupMade = "backup_made", "A copy of the database was made.",
        subject "", target "", actor "who did it", ["size"];
    BackupRestored = "backup_restored", "The database was replaced by a copy made before: what happened between is not in it.",
        subject "", target "", actor "who did it", ["size"];
    LogExported = "log_exported", "A part of the log was copied out of the database.",
        subject "", target "", actor "who did it", ["address", "count", "first", "request", "size"];
    LogPruned = "log_pruned", "The beginning of the log was removed because it is older than is to be kept.",
        subject "", target "", actor "", ["count", "seq"];
    LogErased = "log_erased", "Personal data of events was erased; the events and their proofs stay.",
        subject "", target "", actor "who did it", ["address", "count", "reason", "request", "seq"];
}

/// Every detail that any event may have, by name, and what it means. [`PERSONAL_DETAILS`](super::PERSONAL_DETAILS) says which may
/// tell of persons.
pub const DETAILS: &[(&str, &str)] = &[
    ("action", "What was asked, as approvers read it."),
    ("address", "The client's IP address, by the rule of trusted proxies; of events that are one, the last."),
    ("after", "What stands there now."),
    ("approvals", "How many approvals are needed."),
    ("auth_time", "When the person proved themselves to the identity provider; 1970 if it did not say."),
    ("before", "What stood there before."),
    ("channel", "Which channel."),
    ("config", "SHA-256 of the settings in force, secrets left out."),
    ("count", "How many times; of events that are one, since `since`."),
    ("digest", "The SHA-256 of what is in force now."),
    ("epoch", "Which announcement of decision keys it is, counted up; 0 if it was not announced."),
    ("error", "What went wrong, in the other side's words."),
    ("expires", "Until when the token is good."),
    ("first", "The place in the log where the part begins."),
    ("from", "The version before."),
    ("generation", "How often the host was registered or given a new secret."),
    ("have", "How many approvals there are."),
    ("issuer", "The identity provider."),
    ("key", "The public key."),
    ("kind", "The type of the question; of refusals that are counted, the kind of event that is not written."),
    ("limit", "Which limit: a value of the label `limit` of `identree_rate_limit_rejections_total`."),
    ("need", "How many approvals are needed."),
    ("reason", "Why, in the words of the person who asked or decided."),
    ("replica", "Which running server: a name that is new at each start."),
    ("request", "The request's id, as its log lines and its answer have it."),
    ("revision", "Which version it is now, counted up."),
    ("rule", "The rule that decided or asked."),
    ("seconds", "By how much the host's clock is ahead; negative if it is behind."),
    ("seq", "The place in the log."),
    ("since", "When the first of those happened that are one event."),
    ("size", "The size of the log, or of the copy in bytes."),
    ("stage", "What the notice told: that the question was opened, that its state changed, or its end."),
    ("status", "`green`, `amber` or `red`."),
    ("sub", "The person's identity at the provider."),
    ("text", "Why, in words."),
    ("to", "The version now."),
    ("token", "Which enrolment token; the token itself is nowhere."),
    ("version", "The version of the program."),
    ("was", "How it stood before; absent if nothing was known."),
    ("what", "What was changed."),
    ("why", "Why, as one word of a closed list."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_explained() {
        let names: BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.as_str()));
            assert!(kind.meaning().ends_with('.'));
        }
    }

    #[test]
    fn each_detail_is_explained_once_and_used() {
        assert!(DETAILS.is_sorted_by(|one, other| one.0 < other.0));
        let explained: BTreeSet<_> = DETAILS.iter().map(|(name, _)| *name).collect();
        let used: BTreeSet<_> = EventKind::ALL.iter().flat_map(|kind| kind.tells().details).copied().collect();
        assert_eq!(used, explained);
        for kind in EventKind::ALL {
            assert!(kind.tells().details.is_sorted_by(|one, other| one < other), "{}", kind.as_str());
        }
        assert!(DETAILS.iter().all(|(_, meaning)| meaning.ends_with('.')));
    }
}
