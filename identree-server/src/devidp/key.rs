//! The key that signs ID tokens: made at start, kept in memory only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use identree_core::canon::sha256;
use identree_core::secret::Secret;
use identree_core::text::hex;
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::DevIdpError;

/// PKCS#8 (RFC 5958 §2, version 0) around the 32 bytes of an Ed25519 key (RFC 8410 §7).
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// An Ed25519 key with its id.
pub(super) struct IdKey {
    id: String,
    key: CoreEdDsaPrivateSigningKey,
}

impl IdKey {
    pub(super) fn from_seed(seed: &Secret<[u8; 32]>) -> Result<Self, DevIdpError> {
        let der = Zeroizing::new([PKCS8_ED25519.as_slice(), seed.expose()].concat());
        let body = Zeroizing::new(STANDARD.encode(&*der));
        let pem = Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *body));
        let unnamed = CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, None).map_err(DevIdpError::Key)?;
        let public = serde_json::to_vec(&unnamed.as_verification_key()).map_err(|e| DevIdpError::Key(e.to_string()))?;
        let id = hex(&sha256(&public)[..8]);
        let key = CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(id.clone())));
        Ok(Self { id, key: key.map_err(DevIdpError::Key)? })
    }

    /// What the provider publishes.
    pub(super) fn public_set(&self) -> CoreJsonWebKeySet {
        CoreJsonWebKeySet::new(vec![self.key.as_verification_key()])
    }

    /// A compact JWS (RFC 7515 §7.1) over the claims.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, DevIdpError> {
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.id });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = self
            .key
            .sign(&CoreJwsSigningAlgorithm::EdDsa, message.as_bytes())
            .map_err(|error| DevIdpError::Key(error.to_string()))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdKey").field("id", &self.id).finish_non_exhaustive()
    }
}
