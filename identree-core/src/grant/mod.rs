//! Signed answers: a grant is a signed yes, a refusal a signed no with its reason.
//!
//! The bytes are canonical ([`crate::canon`]): purpose, key id, decision, challenge id, target class and name, nonce,
//! kind, requester, run-as user and group, SHA-256 of the payload, issued, expires, then the extras as pairs. Signed with
//! Ed25519 (RFC 8032). Every field comes from the committed record, so any replica signs the same bytes again.

#[cfg(feature = "engine")]
mod sign;
mod trust;
mod verify;

use serde::{Deserialize, Serialize};

#[cfg(feature = "engine")]
pub use self::sign::{LocalSigner, SignError, Signer};
pub use self::trust::{KeyStatement, SignedStatement, StatementSignature, Trust, TrustError, TrustedKey};
pub(crate) use self::trust::{put_keys, take_keys};
pub use self::verify::{Expected, KeyRing, KeyRingError, PublicKey, VerifyError, verify};
use crate::canon::{Malformed, Reader, Writer};
use crate::id::{ChallengeId, ChallengeKind, KeyId, Nonce, Target, UnixGroup, UserName};
use crate::time::Timestamp;

const GRANT: &[u8] = b"identree grant v1";
const REFUSAL: &[u8] = b"identree refusal v1";

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Yes.
    Granted,
    /// A person said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The asking side took the question back.
    Cancelled,
    /// A rule says no.
    Refused,
}

impl Decision {
    /// The name that is signed and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Granted, Self::Denied, Self::Expired, Self::Cancelled, Self::Refused]
            .into_iter()
            .find(|d| d.as_str() == text)
    }

    const fn purpose(self) -> &'static [u8] {
        if matches!(self, Self::Granted) { GRANT } else { REFUSAL }
    }
}

/// What an answer says and binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Yes, or why not.
    pub decision: Decision,
    /// Which question.
    pub challenge: ChallengeId,
    /// About what: for a host, the name it proved.
    pub target: Target,
    /// The asking side's own nonce.
    pub nonce: Nonce,
    /// The kind of question.
    pub kind: ChallengeKind,
    /// Who asked.
    pub requester: UserName,
    /// As which user it may run.
    pub run_as_user: Option<UserName>,
    /// As which group it may run.
    pub run_as_group: Option<UnixGroup>,
    /// SHA-256 of the payload: exactly this, nothing else.
    pub payload_sha256: [u8; 32],
    /// When the question was settled.
    pub issued: Timestamp,
    /// After this moment of the server's clock the answer is worth nothing.
    pub expires: Timestamp,
    /// Further signed texts in order: `by` (who decided), `reason` (why not), `rule`.
    pub extras: Vec<(String, String)>,
}

impl Answer {
    /// The canonical bytes under the key that signs them.
    pub fn encode(&self, key: KeyId) -> Vec<u8> {
        let mut writer = Writer::new(self.decision.purpose());
        writer.put(key.as_bytes());
        writer.put_text(self.decision.as_str());
        writer.put(self.challenge.as_bytes());
        writer.put_text(self.target.class());
        writer.put_text(self.target.name());
        writer.put(self.nonce.as_bytes());
        writer.put_text(self.kind.as_str());
        writer.put_text(self.requester.as_str());
        writer.put_text(self.run_as_user.as_ref().map_or("", UserName::as_str));
        writer.put_text(self.run_as_group.as_ref().map_or("", UnixGroup::as_str));
        writer.put(&self.payload_sha256);
        writer.put(&self.issued.as_millis().to_be_bytes());
        writer.put(&self.expires.as_millis().to_be_bytes());
        writer.put_number(self.extras.len() as u64);
        for (key, value) in &self.extras {
            writer.put_text(key);
            writer.put_text(value);
        }
        writer.finish()
    }

    /// Reads canonical bytes. Whether they are true, only [`verify`] can say.
    ///
    /// # Errors
    /// [`Malformed`] for any other form; encoding the result gives the same bytes again.
    pub fn decode(bytes: &[u8]) -> Result<(KeyId, Self), Malformed> {
        let granted = Reader::new(bytes, GRANT);
        let mut reader = granted.or_else(|_| Reader::new(bytes, REFUSAL))?;
        let key = KeyId::from_bytes(reader.take_array()?);
        let decision = Decision::parse(reader.take_text()?).ok_or(Malformed)?;
        let challenge = ChallengeId::from_bytes(reader.take_array()?);
        let class = reader.take_text()?;
        let target = target(class, reader.take_text()?)?;
        let nonce = Nonce::from_bytes(reader.take_array()?);
        let kind = name(ChallengeKind::parse, reader.take_text()?)?;
        let requester = name(UserName::parse, reader.take_text()?)?;
        let run_as_user = optional(reader.take_text()?).map(|text| name(UserName::parse, text)).transpose()?;
        let run_as_group = optional(reader.take_text()?).map(|text| name(UnixGroup::parse, text)).transpose()?;
        let payload_sha256 = reader.take_array()?;
        let issued = Timestamp::from_millis(i64::from_be_bytes(reader.take_array()?));
        let expires = Timestamp::from_millis(i64::from_be_bytes(reader.take_array()?));
        let count = reader.take_number()?;
        let mut extras = Vec::new();
        for _ in 0..count {
            extras.push((reader.take_text()?.to_owned(), reader.take_text()?.to_owned()));
        }
        reader.end()?;
        let answer = Self {
            decision,
            challenge,
            target,
            nonce,
            kind,
            requester,
            run_as_user,
            run_as_group,
            payload_sha256,
            issued,
            expires,
            extras,
        };
        // One meaning, one form: whatever a parser forgave (upper case in a host name, say) is not canonical.
        if answer.encode(key) == bytes { Ok((key, answer)) } else { Err(Malformed) }
    }

    /// A signed extra text.
    pub fn extra(&self, key: &str) -> Option<&str> {
        self.extras.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

fn name<T, E>(parse: impl Fn(&str) -> Result<T, E>, text: &str) -> Result<T, Malformed> {
    parse(text).map_err(|_| Malformed)
}

fn optional(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn target(class: &str, text: &str) -> Result<Target, Malformed> {
    match class {
        "host" => name(crate::id::HostName::parse, text).map(Target::Host),
        "named" => name(crate::id::TargetName::parse, text).map(Target::Named),
        _ => Err(Malformed),
    }
}

/// An answer's bytes and their signature, as they travel. Unproven until [`verify`] has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAnswer {
    /// The canonical bytes, base64url without padding.
    #[serde(with = "base64url")]
    pub bytes: Vec<u8>,
    /// The Ed25519 signature, base64url without padding.
    #[serde(with = "base64url")]
    pub signature: Vec<u8>,
}

/// A proven yes. There is no public constructor: it comes from an engine's decision or from [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    answer: Answer,
    signed: SignedAnswer,
}

impl Grant {
    pub(crate) const fn proven(answer: Answer, signed: SignedAnswer) -> Self {
        Self { answer, signed }
    }

    /// What was granted.
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The transferable form.
    pub const fn signed(&self) -> &SignedAnswer {
        &self.signed
    }
}

/// What a verified answer turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proven {
    /// Yes.
    Grant(Grant),
    /// No; the decision and the extras say why.
    Refusal(Answer),
}

pub(crate) mod base64url {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| D::Error::custom("not base64url without padding"))
    }
}

#[cfg(test)]
mod tests;
