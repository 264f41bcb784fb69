//! Names and identifiers: one parser and one length limit for each.
//!
//! A value of one of these types is valid because it exists. Parsing happens once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::visible;

/// Why a text is not the name it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which name was expected.
        what: &'static str,
    },
    /// The text is longer than the name may be.
    #[error("{what} is longer than {max} bytes")]
    TooLong {
        /// Which name was expected.
        what: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// A character that the name may not contain, or not at that place.
    #[error("{what} may not contain '{shown}' at byte {at}")]
    Character {
        /// Which name was expected.
        what: &'static str,
        /// The character, made visible.
        shown: String,
        /// Where it stands, in bytes from 0.
        at: usize,
    },
    /// Not the fixed form of an identifier (a number of hexadecimal digits, say).
    #[error("{what} must be {form}")]
    Form {
        /// Which identifier was expected.
        what: &'static str,
        /// The form it must have.
        form: &'static str,
    },
}

fn check(
    what: &'static str,
    max: usize,
    text: &str,
    allowed: impl Fn(&str, usize, char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > max {
        return Err(NameError::TooLong { what, max });
    }
    match text.char_indices().find(|&(at, c)| !allowed(text, at, c)) {
        Some((at, c)) => Err(NameError::Character { what, shown: visible(&c.to_string()).into_owned(), at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $prepare:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The longest it may be, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Parses the text.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let prepare: fn(&str) -> std::borrow::Cow<'_, str> = $prepare;
                let text = prepare(text);
                check($what, $max, &text, $allowed)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

const AS_GIVEN: fn(&str) -> std::borrow::Cow<'_, str> = |text| text.into();

name!(
    /// Who a person is on the managed systems: a Unix name, an e-mail form, a service id. Case is kept and counts.
    UserName, "user name", 128, AS_GIVEN,
    |_, at, c| c.is_ascii_alphanumeric() || c == '_' || (at > 0 && matches!(c, '.' | '-' | '@' | '+' | '$' | ':' | '\\'))
);
name!(
    /// A managed host. Lower-cased, one trailing dot removed (RFC 1123 names and the `_` that some sites use).
    HostName, "host name", 253,
    |text| text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase().into(),
    |text, at, c| match c {
        // Between two labels, never at the end: one host has one name, however often it is read.
        '.' => at > 0 && !text[..at].ends_with('.') && at + 1 < text.len(),
        c => c.is_ascii_lowercase() || c.is_ascii_digit() || (at > 0 && matches!(c, '-' | '_')),
    }
);
name!(
    /// A thing other than a host that a question is about: a deployment target, a database, a tool.
    TargetName, "target name", 253, AS_GIVEN,
    |_, at, c| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '-' | '_' | '/' | ':' | '@'))
);
name!(
    /// A group as the identity provider names it. Exact, case counts.
    GroupName, "group name", 256, AS_GIVEN, |_, _, c| !crate::text::is_hidden(c)
);
name!(
    /// The name of a policy rule, as in the seeds' `approval-policies.json`.
    RuleName, "policy name", 64, AS_GIVEN,
    |_, at, c| c.is_ascii_lowercase() || c.is_ascii_digit() || (at > 0 && matches!(c, '.' | '-' | '_'))
);
name!(
    /// The name of a channel that tells people, as in the seeds' `notification-channels.json`.
    ChannelName, "channel name", 64, AS_GIVEN,
    |_, at, c| c.is_ascii_lowercase() || c.is_ascii_digit() || (at > 0 && matches!(c, '.' | '-' | '_'))
);
name!(
    /// What sort of question it is: `sudo`, `ssh-login`, `deploy`, … Rules match on it and an answer binds it.
    ChallengeKind, "challenge kind", 32, AS_GIVEN,
    |_, at, c| c.is_ascii_lowercase() || (at > 0 && (c.is_ascii_digit() || c == '-'))
);
name!(
    /// A PAM service name (`sudo`, `sudo-i`, `su`), as in the file name under `/etc/pam.d`.
    ServiceName, "PAM service name", 64, AS_GIVEN,
    |_, at, c| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '-' | '_'))
);
name!(
    /// A POSIX group name as the host states it for run-as.
    UnixGroup, "run-as group", 128, AS_GIVEN,
    |_, at, c| c.is_ascii_alphanumeric() || c == '_' || (at > 0 && matches!(c, '.' | '-' | '@' | '+' | '$' | '\\' | '#'))
);

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $len]);

        impl $name {
            /// From raw bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Parses lower-case hexadecimal digits.
            ///
            /// # Errors
            /// [`NameError::Form`] for any other text.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let mut bytes = [0; $len];
                if crate::text::unhex(text, &mut bytes) {
                    Ok(Self(bytes))
                } else {
                    Err(NameError::Form { what: $what, form: $form })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&crate::text::hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&crate::text::hex(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

bytes_id!(
    /// The identity of one question: 128 bits, derived from who asks and the nonce, so that a repeated create is the same question.
    ChallengeId, 16, "challenge id", "32 lower-case hexadecimal digits"
);
bytes_id!(
    /// The 256 random bits that the asking side makes for one question. Every answer to it carries them.
    Nonce, 32, "nonce", "64 lower-case hexadecimal digits"
);
bytes_id!(
    /// Identifies one audit event: 128 random bits.
    EventId, 16, "event id", "32 lower-case hexadecimal digits"
);
bytes_id!(
    /// Names a decision key: the first 8 bytes of the SHA-256 of the Ed25519 public key.
    KeyId, 8, "key id", "16 lower-case hexadecimal digits"
);

bytes_id!(
    /// Names an enrolment token: 64 random bits, which are no secret.
    TokenId, 8, "token id", "16 lower-case hexadecimal digits"
);

impl ChallengeId {
    /// The id of the question that `target` asks under `nonce`. The create is idempotent because this is a function.
    pub fn derive(target: &Target, nonce: &Nonce) -> Self {
        let mut frame = crate::canon::Writer::new(b"identree challenge id v1");
        frame.put_text(target.class());
        frame.put_text(target.name());
        frame.put(nonce.as_bytes());
        let digest = crate::canon::sha256(&frame.finish());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

/// What a question is about. Rules match on its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A managed host, known by the credential it proved.
    Host(HostName),
    /// Another named thing, for embedders.
    Named(TargetName),
}

impl Target {
    /// `host` or `named`: keeps the two name spaces apart wherever a target is bound or stored.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Host(_) => "host",
            Self::Named(_) => "named",
        }
    }

    /// The name within its class.
    pub fn name(&self) -> &str {
        match self {
            Self::Host(host) => host.as_str(),
            Self::Named(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_once_and_strictly() {
        assert_eq!(HostName::parse("Web-1.Example.").unwrap().as_str(), "web-1.example");
        assert!(HostName::parse("-web").is_err());
        for dots in ["web..", "web...", "a..b", ".", "..", ".web"] {
            assert!(HostName::parse(dots).is_err(), "{dots}");
        }
        assert!(UserName::parse("ann@example.org").is_ok());
        assert!(UserName::parse("-ann").is_err());
        assert_eq!(
            UserName::parse("an\u{202e}n").unwrap_err().to_string(),
            "user name may not contain '\\u{202e}' at byte 2"
        );
        assert_eq!(UserName::parse("").unwrap_err(), NameError::Empty { what: "user name" });
        assert!(matches!(UserName::parse(&"a".repeat(129)), Err(NameError::TooLong { max: 128, .. })));
        assert!(ChallengeId::parse("00").is_err());
        assert!(ChallengeId::parse(&"AB".repeat(16)).is_err(), "upper case is another text");
    }

    #[test]
    fn ids_round_trip() {
        let id = ChallengeId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string().parse::<ChallengeId>().unwrap(), id);
    }

    #[test]
    fn one_nonce_asked_by_two_targets_is_two_questions() {
        let nonce = Nonce::from_bytes([7; 32]);
        let host = Target::Host(HostName::parse("web").unwrap());
        let named = Target::Named(TargetName::parse("web").unwrap());
        assert_ne!(ChallengeId::derive(&host, &nonce), ChallengeId::derive(&named, &nonce));
        assert_eq!(ChallengeId::derive(&host, &nonce), ChallengeId::derive(&host, &nonce));
    }
}
