//! The body that opens a login's question, and how it is told from the others'.

use serde::{Deserialize, Serialize};

use super::v1::{OpenRequest, VERSION};
use crate::challenge::{Challenge, LoginChallenge, LoginError, LoginFacts, LoginKind, SudoError};
use crate::id::{Nonce, ServiceName, Target, UserName};

/// Opens the question of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// [`VERSION`].
    pub v: u8,
    /// What is asked: a body without `kind` is sudo's.
    pub kind: LoginKind,
    /// Made by the host for this question; a repeated create with the same nonce is the same question.
    pub nonce: Nonce,
    /// The PAM service.
    pub service: ServiceName,
    /// The account that would be logged in to.
    pub username: UserName,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A question as a host asks it, of whatever kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Opening {
    /// sudo, su.
    Sudo(Box<OpenRequest>),
    /// A login.
    Login(LoginRequest),
}

/// A body that makes no question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// Of sudo.
    #[error(transparent)]
    Sudo(#[from] SudoError),
    /// Of a login.
    #[error(transparent)]
    Login(#[from] LoginError),
}

impl OpeningError {
    /// Whether a part is longer than can be shown, rather than missing.
    pub const fn is_too_long(&self) -> bool {
        matches!(self, Self::Sudo(SudoError::TooLong { .. }) | Self::Login(LoginError::TooLong { .. }))
    }
}

impl LoginRequest {
    /// What the host asks, as it asks it.
    pub fn new(nonce: Nonce, facts: &LoginFacts) -> Self {
        let LoginFacts { kind, service, requester, remote, tty, reason } = facts.clone();
        Self { v: VERSION, kind, nonce, service, username: requester, remote, tty, reason }
    }

    /// The question of the host that proved itself.
    ///
    /// # Errors
    /// [`LoginError`] if a part is too long.
    pub fn into_challenge(self, target: Target, target_groups: Vec<String>) -> Result<LoginChallenge, LoginError> {
        let Self { kind, service, username: requester, remote, tty, reason, .. } = self;
        LoginChallenge::new(target, target_groups, LoginFacts { kind, service, requester, remote, tty, reason })
    }
}

/// The key that tells a login's body from sudo's.
const KIND: &[u8] = b"\"kind\"";

impl Opening {
    /// Reads a body: with a `kind` it is that kind's, without one sudo's.
    ///
    /// # Errors
    /// What is wrong with it as JSON of that kind.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            kind: Option<serde::de::IgnoredAny>,
        }
        // Most bodies hold the word nowhere. One that spells the key with escapes is sudo's, and refused as that.
        if !body.windows(KIND.len()).any(|part| part == KIND) {
            return serde_json::from_slice(body).map(Self::Sudo);
        }
        // What is no object, or has the field twice, is left to the body's own type to complain about.
        let named = serde_json::from_slice::<Kind>(body).is_ok_and(|body| body.kind.is_some());
        if named { serde_json::from_slice(body).map(Self::Login) } else { serde_json::from_slice(body).map(Self::Sudo) }
    }

    /// The version it names.
    pub const fn version(&self) -> u8 {
        match self {
            Self::Sudo(request) => request.v,
            Self::Login(request) => request.v,
        }
    }

    /// The question's nonce.
    pub const fn nonce(&self) -> Nonce {
        match self {
            Self::Sudo(request) => request.nonce,
            Self::Login(request) => request.nonce,
        }
    }

    /// Who asks.
    pub const fn username(&self) -> &UserName {
        match self {
            Self::Sudo(request) => &request.username,
            Self::Login(request) => &request.username,
        }
    }

    /// The texts that the host took from elsewhere, by name.
    pub fn texts(&self) -> Vec<(&'static str, &str)> {
        let texts = match self {
            Self::Sudo(request) => vec![("tty", &request.tty), ("reason", &request.reason)],
            Self::Login(request) => {
                vec![("remote", &request.remote), ("tty", &request.tty), ("reason", &request.reason)]
            }
        };
        texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))).collect()
    }

    /// The question of the host that proved itself.
    ///
    /// # Errors
    /// [`OpeningError`] if a part is missing or too long.
    pub fn into_challenge(
        self,
        target: Target,
        target_groups: Vec<String>,
    ) -> Result<Box<dyn Challenge>, OpeningError> {
        Ok(match self {
            Self::Sudo(request) => Box::new(request.into_challenge(target, target_groups)?),
            Self::Login(request) => Box::new(request.into_challenge(target, target_groups)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = r#"{"v":1,"kind":"ssh-login","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","service":"sshd","username":"ann","remote":"203.0.113.7"}"#;

    #[test]
    fn a_body_says_by_its_kind_what_it_is() {
        let nonce = serde_json::to_string(&Nonce::from_bytes([0; 32])).unwrap();
        let login = LOGIN.replace("\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", &nonce);
        let Ok(Opening::Login(read)) = Opening::parse(login.as_bytes()) else { panic!("{login}") };
        assert_eq!((read.kind, read.remote.as_deref()), (LoginKind::SshLogin, Some("203.0.113.7")));
        assert_eq!(serde_json::to_string(&Opening::Login(read)).unwrap(), login, "and is written the same");

        let told = |body: &str| Opening::parse(body.as_bytes()).unwrap_err().to_string();
        assert!(told(&login.replace("ssh-login", "deploy")).contains("unknown variant"), "no other kind");
        assert!(told(&login.replace("\"remote\"", "\"argv\"")).contains("unknown field"), "no other kind's fields");
        assert!(told(&login.replace(r#""kind":"ssh-login","#, "")).contains("unknown field"), "without a kind, sudo's");
        assert!(told("[]").contains("missing field") || told("[]").contains("invalid"), "{}", told("[]"));
    }
}
