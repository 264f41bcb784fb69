//! The normal mode: the host's own Ed25519 key (RFC 8032), made on the host and never leaving it.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{Authorization, CredentialError, Proof, Request};
use crate::canon::Writer;
use crate::grant::PublicKey;
use crate::id::HostName;
use crate::secret::Secret;
use crate::text::{hex, unhex};

/// The purpose of what the signature of a request covers: never the bytes that a MAC covers.
const REQUEST: &[u8] = b"identree host request signature v1";

/// The purpose of the proof that a new key's private half is held by the host that names it.
const SUCCESSOR: &[u8] = b"identree host key v1";

/// A host's own private key. Its file holds the 32 secret bytes as 64 hexadecimal digits, like `decision.key`.
#[derive(Clone)]
pub struct HostKey(SigningKey);

impl HostKey {
    /// From the 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Parses what stands in the key file.
    ///
    /// # Errors
    /// [`CredentialError::Key`] for anything but 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        if unhex(text, &mut *seed) { Ok(Self::from_seed(&seed)) } else { Err(CredentialError::Key) }
    }

    /// The text for the key file.
    pub fn reveal(&self) -> Secret<String> {
        Secret::new(hex(self.0.as_bytes()))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// The public half, ready to check signatures.
    pub fn verifier(&self) -> HostVerifier {
        HostVerifier(self.0.verifying_key())
    }

    /// The header of a request.
    pub fn authorize(&self, request: &Request<'_>) -> Authorization {
        let proof = Proof::Signature(self.sign(&request.canonical(REQUEST)));
        Authorization { host: request.host.clone(), time_secs: request.time_secs, proof }
    }

    /// Proves that this key is held by `host`, which now speaks under `old`.
    pub fn succeed(&self, host: &HostName, old: &PublicKey) -> [u8; 64] {
        self.sign(&successor(host, old, &self.public()))
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({})", self.public())
    }
}

/// A host's public key, decompressed once: checking a signature is what is left to do per request.
#[derive(Debug, Clone)]
pub struct HostVerifier(VerifyingKey);

impl HostVerifier {
    /// Decompresses the key; `None` for one that is no usable point.
    pub fn new(key: &PublicKey) -> Option<Self> {
        VerifyingKey::from_bytes(key.as_bytes()).ok().filter(|key| !key.is_weak()).map(Self)
    }

    /// Whether the signature is this key's over the request.
    pub fn verify(&self, request: &Request<'_>, signature: &[u8; 64]) -> bool {
        self.signed(&request.canonical(REQUEST), signature)
    }

    /// Whether this key proves to be held by `host`, as the successor of `old`.
    pub fn succeeds(&self, host: &HostName, old: &PublicKey, signature: &[u8; 64]) -> bool {
        self.signed(&successor(host, old, &PublicKey::from_bytes(self.0.to_bytes())), signature)
    }

    pub(crate) fn signed(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
    }
}

fn successor(host: &HostName, old: &PublicKey, new: &PublicKey) -> Vec<u8> {
    let mut writer = Writer::new(SUCCESSOR);
    writer.put_text(host.as_str());
    writer.put(old.as_bytes());
    writer.put(new.as_bytes());
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changes, host, request};
    use super::*;

    fn pair(seed: u8) -> (HostKey, HostVerifier) {
        let key = HostKey::from_seed(&[seed; 32]);
        let verifier = HostVerifier::new(&key.public()).unwrap();
        (key, verifier)
    }

    fn signature(header: &Authorization) -> [u8; 64] {
        let Proof::Signature(signature) = header.proof else { panic!("a key signs") };
        signature
    }

    #[test]
    fn every_covered_field_counts_and_only_the_own_key() {
        let (host, (key, verifier), (_, other)) = (host(), pair(1), pair(2));
        let base = request(&host, b"{}");
        let signed = signature(&key.authorize(&base));
        assert!(verifier.verify(&base, &signed) && !other.verify(&base, &signed));
        changes(&base, |changed| assert!(!verifier.verify(changed, &signed)));
        let mut flipped = signed;
        flipped[40] ^= 1;
        assert!(!verifier.verify(&base, &flipped));
    }

    /// What is signed for one purpose means nothing in another.
    #[test]
    fn a_request_is_no_proof_of_a_new_key() {
        let (host, (old, _), (new, verifier)) = (host(), pair(1), pair(2));
        let proof = new.succeed(&host, &old.public());
        assert!(verifier.succeeds(&host, &old.public(), &proof));
        assert!(!verifier.succeeds(&HostName::parse("web2").unwrap(), &old.public(), &proof));
        assert!(!verifier.succeeds(&host, &new.public(), &proof));
        assert!(!verifier.verify(&request(&host, b""), &proof));
    }

    #[test]
    fn the_file_round_trips_and_debug_shows_nothing() {
        let (key, _) = pair(7);
        assert_eq!(HostKey::parse(key.reveal().expose()).unwrap().public(), key.public());
        assert!(!format!("{key:?}").contains(&"07".repeat(8)));
        assert!(matches!(HostKey::parse("07"), Err(CredentialError::Key)));
        assert!(HostVerifier::new(&PublicKey::from_bytes([0; 32])).is_none(), "a weak key proves nothing");
    }
}
