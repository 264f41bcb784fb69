//! Host API v1: `POST /api/challenge`, `GET /api/challenge/{id}?wait=25`, `DELETE /api/challenge/{id}`.
//!
//! Unknown fields are an error at the server and ignored by hosts. Errors are problem details (RFC 9457).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::challenge::{CommandSource, RunAs, SudoChallenge, SudoError, SudoFacts, SudoRun, UserCode};
use crate::grant::{SignedAnswer, SignedStatement};
use crate::id::{ChallengeId, Nonce, ServiceName, Target, UnixGroup, UserName};

/// The version every body names.
pub const VERSION: u8 = 1;

/// The path questions are opened at.
pub const CHALLENGES: &str = "/api/challenge";

/// The longest a server holds a waiting request, in seconds: below the 30 s that proxies commonly allow.
pub const MAX_WAIT_SECS: u32 = 25;

/// The largest request body in bytes: the largest command line, every byte escaped, and room for the rest.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Opens a question. Who the host is, its credential says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest {
    /// [`VERSION`].
    pub v: u8,
    /// Made by the host for this question; a repeated create with the same nonce is the same question.
    pub nonce: Nonce,
    /// The PAM service.
    pub service: ServiceName,
    /// The real user of the calling process.
    pub username: UserName,
    /// As which user it would run.
    pub run_as_user: UserName,
    /// As which group it would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<UnixGroup>,
    /// Where the command is known from.
    pub source: CommandSource,
    /// The command, argument by argument.
    pub argv: Vec<Bytes>,
    /// The caller's working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Bytes>,
    /// The terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What exactly would run, where sudo's approval plugin asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<SudoRun>>,
}

impl OpenRequest {
    /// What the host asks, as it asks it.
    pub fn new(nonce: Nonce, facts: &SudoFacts) -> Self {
        Self {
            v: VERSION,
            nonce,
            service: facts.service.clone(),
            username: facts.requester.clone(),
            run_as_user: facts.run_as.user.clone(),
            run_as_group: facts.run_as.group.clone(),
            source: facts.source,
            argv: facts.argv.iter().cloned().map(Bytes).collect(),
            cwd: facts.cwd.clone().map(Bytes),
            tty: facts.tty.clone(),
            reason: facts.reason.clone(),
            run: facts.run.clone(),
        }
    }

    /// The question of the host that proved itself.
    ///
    /// # Errors
    /// [`SudoError`] if a part is missing or too long.
    pub fn into_challenge(self, target: Target, target_groups: Vec<String>) -> Result<SudoChallenge, SudoError> {
        let facts = SudoFacts {
            service: self.service,
            requester: self.username,
            run_as: RunAs { user: self.run_as_user, group: self.run_as_group },
            source: self.source,
            argv: self.argv.into_iter().map(|argument| argument.0).collect(),
            cwd: self.cwd.map(|cwd| cwd.0),
            tty: self.tty,
            reason: self.reason,
            run: self.run,
        };
        SudoChallenge::new(target, target_groups, facts)
    }
}

/// Bytes that are usually text: a JSON string where they are valid UTF-8, else `{"base64": "…"}` (RFC 4648 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Encoded { base64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or {\"base64\": \"…\"}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Bytes, E> {
                Ok(Bytes(text.into_bytes()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Bytes, A::Error> {
                let Encoded { base64 } = Encoded::deserialize(MapAccessDeserializer::new(map))?;
                STANDARD.decode(base64).map(Bytes).map_err(|_| de::Error::custom("not base64"))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    base64: String,
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has decided yet.
    Pending,
    /// Yes: the signed answer is a grant.
    Approved,
    /// A person said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Taken back.
    Cancelled,
    /// A rule says no.
    Refused,
}

/// The server's answer to create, wait and cancel. Only [`Reply::answer`], once verified, decides anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub v: u8,
    /// Which question.
    pub challenge_id: ChallengeId,
    /// Where it stands.
    pub status: Status,
    /// Seconds until it expires, while pending.
    pub expires_in: u32,
    /// The code to show, while pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_code: Option<UserCode>,
    /// Where to approve it, while pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_url: Option<String>,
    /// Approvals it has, while pending.
    #[serde(default)]
    pub current_approvals: u32,
    /// Approvals it needs, while pending.
    #[serde(default)]
    pub required_approvals: u32,
    /// The signed answer, once settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<SignedAnswer>,
    /// With an answer: how the keys that sign answers have changed, oldest statement first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<SignedStatement>,
}

/// Problem details (RFC 9457), served as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable name: `urn:identree:problem:stale-request`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Seconds after which the same request may be answered, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// What [`Problem::kind`] begins with.
    pub const PREFIX: &str = "urn:identree:problem:";
    /// [`Problem::kind`] after the prefix: too many questions of this user wait already.
    pub const TOO_MANY_FOR_USER: &str = "too-many-for-user";
    /// Too many questions of this host wait already.
    pub const TOO_MANY_FOR_HOST: &str = "too-many-for-host";
    /// Too many questions wait already.
    pub const TOO_MANY: &str = "too-many";
    /// The requester was denied too often on this host.
    pub const COOL_DOWN: &str = "cool-down";
    /// This host, or what speaks from its address, sends too many requests.
    pub const RATE_LIMITED: &str = "rate-limited";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_fields_are_an_error_at_the_server_and_ignored_by_hosts() {
        let reply =
            r#"{"v":1,"challenge_id":"00000000000000000000000000000000","status":"pending","expires_in":9,"new":1}"#;
        assert!(serde_json::from_str::<Reply>(reply).is_ok());
        let open = r#"{"v":1,"nonce":"","new":1}"#;
        assert!(serde_json::from_str::<OpenRequest>(open).is_err());
        assert!(serde_json::from_str::<Bytes>(r#"{"base64":"/w==","x":1}"#).is_err());
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let json = serde_json::to_string(&Bytes(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap().0, bytes);
        }
    }
}
