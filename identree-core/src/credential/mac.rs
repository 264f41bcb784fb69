//! The MAC mode: each host's own secret, derived from the server's master.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Authorization, CredentialError, Proof, Request};
use crate::canon::Writer;
use crate::enrol::{Token, TokenId};
use crate::id::HostName;
use crate::secret::Secret;
use crate::text::{hex, unhex};

/// The purpose of what the MAC of a request covers.
const PURPOSE: &[u8] = b"identree host request v1";

/// The server's master secret, from which every host's own secret is derived. Hosts never hold it.
#[derive(Debug, Clone)]
pub struct MasterSecret(Secret<Vec<u8>>);

impl MasterSecret {
    /// Takes the text of `IDENTREE_SHARED_SECRET`.
    ///
    /// # Errors
    /// [`CredentialError::Master`] if it has fewer than 32 characters.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        if text.chars().count() < 32 {
            return Err(CredentialError::Master);
        }
        Ok(Self(Secret::new(text.as_bytes().to_vec())))
    }

    /// The secret of one host in one generation. A rotation raises the generation.
    pub fn host_secret(&self, host: &HostName, generation: u32) -> HostSecret {
        let mut info = Writer::new(b"host-secret v1");
        info.put_text(host.as_str());
        info.put(&generation.to_be_bytes());
        HostSecret(self.derive(&info.finish()))
    }

    /// The enrolment token with this id for one host in one generation: the server keeps the id alone, and nothing that it
    /// stores lets anybody enrol.
    pub fn enrol_token(&self, host: &HostName, generation: u32, id: TokenId) -> Token {
        let mut info = Writer::new(b"enrol-token v1");
        info.put_text(host.as_str());
        info.put(&generation.to_be_bytes());
        info.put(id.as_bytes());
        Token::new(host.clone(), id, self.derive(&info.finish()))
    }

    /// HKDF-SHA256 (RFC 5869).
    fn derive(&self, info: &[u8]) -> Secret<[u8; 32]> {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, self.0.expose())
            .expand(info, &mut key)
            .expect("32 bytes are within HKDF's limit of 8,160");
        Secret::new(key)
    }
}

/// One host's own secret.
#[derive(Debug, Clone)]
pub struct HostSecret(Secret<[u8; 32]>);

impl HostSecret {
    /// Parses what `identree add-host` printed.
    ///
    /// # Errors
    /// [`CredentialError::Secret`] for anything but 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let mut key = [0; 32];
        if unhex(text, &mut key) { Ok(Self(Secret::new(key))) } else { Err(CredentialError::Secret) }
    }

    /// The text for the host's `client.conf`; shown once.
    pub fn reveal(&self) -> Secret<String> {
        Secret::new(hex(self.0.expose()))
    }

    /// The header of a request.
    pub fn authorize(&self, request: &Request<'_>) -> Authorization {
        let proof = Proof::Mac(self.mac(request));
        Authorization { host: request.host.clone(), time_secs: request.time_secs, proof }
    }

    /// The MAC of a request.
    pub fn mac(&self, request: &Request<'_>) -> [u8; 32] {
        self.keyed(request).finalize().into_bytes().into()
    }

    /// Whether the MAC is that of the request, in constant time.
    pub fn verify(&self, request: &Request<'_>, mac: &[u8; 32]) -> bool {
        self.keyed(request).verify_slice(mac).is_ok()
    }

    fn keyed(&self, request: &Request<'_>) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        hmac.update(&request.canonical(PURPOSE));
        hmac
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changes, host, request};
    use super::*;

    #[test]
    fn each_host_and_generation_has_its_own_secret() {
        let master = MasterSecret::parse(&"m".repeat(32)).unwrap();
        let (a, b) = (host(), HostName::parse("web2").unwrap());
        let secrets = [master.host_secret(&a, 1), master.host_secret(&a, 2), master.host_secret(&b, 1)];
        for (i, one) in secrets.iter().enumerate() {
            for (j, other) in secrets.iter().enumerate() {
                assert_eq!(i == j, one.0.matches(other.0.expose()));
            }
        }
        assert!(MasterSecret::parse("short").is_err());
        let again = HostSecret::parse(secrets[0].reveal().expose()).unwrap();
        assert!(again.0.matches(secrets[0].0.expose()));
    }

    #[test]
    fn every_covered_field_counts() {
        let host = host();
        let secret = HostSecret(Secret::new([1; 32]));
        let base = request(&host, b"{}");
        let mac = secret.mac(&base);
        assert!(secret.verify(&base, &mac));
        changes(&base, |changed| assert!(!secret.verify(changed, &mac)));
    }
}
