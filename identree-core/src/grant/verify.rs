//! Checking an answer without any I/O: this is what runs on hosts.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::{Answer, Decision, Grant, Proven, SignedAnswer};
use crate::canon::sha256;
use crate::id::{ChallengeKind, KeyId, Nonce, Target, UnixGroup, UserName};

/// An Ed25519 public key (RFC 8032); its text is base64url without padding, 43 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From the 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From the 32 bytes, if they are a point that may be trusted.
    ///
    /// # Errors
    /// [`KeyRingError::Point`] if they are none, or one under which anybody could sign.
    pub fn checked(bytes: [u8; 32]) -> Result<Self, KeyRingError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyRingError::Point)?;
        if key.is_weak() { Err(KeyRingError::Point) } else { Ok(Self(bytes)) }
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it is this key's signature of these bytes (RFC 8032, without the variants that more than one key or message
    /// would accept).
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }

    /// The key's short name.
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&sha256(&self.0)[..8]);
        KeyId::from_bytes(id)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyRingError;
    fn from_str(text: &str) -> Result<Self, KeyRingError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyRingError::Text)?;
        Self::checked(bytes.try_into().map_err(|_| KeyRingError::Text)?)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyRingError;
    fn try_from(text: String) -> Result<Self, KeyRingError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// The text is not a list of decision keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// Not 43 characters of base64url.
    #[error("a decision key is 43 characters of base64url, as `identree add-host` prints it")]
    Text,
    /// Not a usable point.
    #[error("the decision key is not a valid Ed25519 public key")]
    Point,
    /// No key at all.
    #[error("the list of decision keys is empty")]
    Empty,
}

/// The decision keys a host trusts (`IDENTREE_DECISION_KEYS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing(Vec<PublicKey>);

impl KeyRing {
    /// From keys.
    ///
    /// # Errors
    /// [`KeyRingError::Empty`] without any.
    pub fn new(keys: Vec<PublicKey>) -> Result<Self, KeyRingError> {
        if keys.is_empty() { Err(KeyRingError::Empty) } else { Ok(Self(keys)) }
    }

    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// [`KeyRingError`] for the first text that is not a key.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        text.split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .and_then(Self::new)
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    fn find(&self, id: KeyId) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}

/// What the asking side asked, to hold an answer against.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// The nonce it made for this question.
    pub nonce: &'a Nonce,
    /// Itself, or the thing it asked about.
    pub target: &'a Target,
    /// The kind it asked.
    pub kind: &'a ChallengeKind,
    /// For whom it asked.
    pub requester: &'a UserName,
    /// As which user it will run.
    pub run_as_user: Option<&'a UserName>,
    /// As which group it will run.
    pub run_as_group: Option<&'a UnixGroup>,
    /// SHA-256 of the payload about to run.
    pub payload_sha256: &'a [u8; 32],
}

/// Why an answer proves nothing. All of them mean no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are not an answer.
    #[error("the answer is malformed")]
    Malformed,
    /// Signed by a key that is not on the list.
    #[error("the answer is signed by a key that this host does not trust")]
    UnknownKey,
    /// The signature is not that key's.
    #[error("the answer's signature is wrong")]
    Signature,
    /// An answer to another question, or an old one.
    #[error("the answer belongs to another question")]
    Foreign,
}

/// Proves a signed answer: signature by a trusted key first, then every bound field against what was asked.
///
/// How long an answer may be used is for the caller to bound with its own monotonic clock, from the moment it made the
/// nonce; the times inside are the server's and serve the record.
///
/// # Errors
/// [`VerifyError`]; treat every one as no.
pub fn verify(signed: &SignedAnswer, keys: &KeyRing, expected: &Expected<'_>) -> Result<Proven, VerifyError> {
    let (key_id, answer) = Answer::decode(&signed.bytes).map_err(|_| VerifyError::Malformed)?;
    let key = keys.find(key_id).ok_or(VerifyError::UnknownKey)?;
    let key = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| VerifyError::UnknownKey)?;
    let signature = Signature::from_slice(&signed.signature).map_err(|_| VerifyError::Signature)?;
    key.verify_strict(&signed.bytes, &signature).map_err(|_| VerifyError::Signature)?;
    let same = answer.nonce == *expected.nonce
        && answer.target == *expected.target
        && answer.kind == *expected.kind
        && answer.requester == *expected.requester
        && answer.run_as_user.as_ref() == expected.run_as_user
        && answer.run_as_group.as_ref() == expected.run_as_group
        && answer.payload_sha256 == *expected.payload_sha256
        && answer.expires >= answer.issued;
    if !same {
        return Err(VerifyError::Foreign);
    }
    Ok(if answer.decision == Decision::Granted {
        Proven::Grant(Grant::proven(answer, signed.clone()))
    } else {
        Proven::Refusal(answer)
    })
}
