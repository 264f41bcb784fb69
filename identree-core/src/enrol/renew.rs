//! What a host that has enrolled asks for later: another key of its own, and what is new about decision keys.

use serde::{Deserialize, Serialize};

use crate::grant::{PublicKey, SignedStatement, base64url};

/// The body of `POST /api/host/key`, under the host's old key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// [`VERSION`](crate::wire::v1::VERSION).
    pub v: u8,
    /// The new key.
    pub key: PublicKey,
    /// The new key's signature ([`HostKey::succeed`](crate::credential::HostKey::succeed)), base64url without padding.
    #[serde(with = "base64url")]
    pub proof: Vec<u8>,
}

/// The answer to `GET /api/host/keys`, and to a replaced key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysReply {
    /// [`VERSION`](crate::wire::v1::VERSION).
    pub v: u8,
    /// Every statement about decision keys that hosts may still need, oldest first.
    #[serde(default)]
    pub statements: Vec<SignedStatement>,
}
