//! The token: for one host, for a short time, for one use.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::id::{HostName, TokenId};
use crate::secret::Secret;
use crate::text::{hex, unhex};

/// What a token begins with, so that it is recognised wherever it was left.
const PREFIX: &str = "identree-enroll-1";

/// The text is not a token. It does not say what was wrong with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an enrolment token; `identree add-host NAME --enroll` on the server prints one")]
pub struct TokenError;

/// An enrolment token. Its text is `identree-enroll-1.ID.SECRET.HOST`.
#[derive(Clone)]
pub struct Token {
    host: HostName,
    id: TokenId,
    secret: Secret<[u8; 32]>,
}

impl Token {
    pub(crate) const fn new(host: HostName, id: TokenId, secret: Secret<[u8; 32]>) -> Self {
        Self { host, id, secret }
    }

    /// Parses what `identree add-host --enroll` printed; white space around it is not looked at.
    ///
    /// # Errors
    /// [`TokenError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.trim().splitn(4, '.');
        let mut next = || parts.next().ok_or(TokenError);
        let (prefix, id, secret, host) = (next()?, next()?, next()?, next()?);
        let mut bytes = [0; 32];
        let host = HostName::parse(host).map_err(|_| TokenError)?;
        let id = TokenId::parse(id).map_err(|_| TokenError)?;
        if prefix != PREFIX || !unhex(secret, &mut bytes) {
            return Err(TokenError);
        }
        Ok(Self::new(host, id, Secret::new(bytes)))
    }

    /// The text, to be shown once.
    pub fn reveal(&self) -> Secret<String> {
        Secret::new(format!("{PREFIX}.{}.{}.{}", self.id, hex(self.secret.expose()), self.host))
    }

    /// For which host.
    pub const fn host(&self) -> &HostName {
        &self.host
    }

    /// Its name, which is no secret.
    pub const fn id(&self) -> TokenId {
        self.id
    }

    pub(super) fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        self.keyed(bytes).finalize().into_bytes().into()
    }

    pub(super) fn holds(&self, bytes: &[u8], mac: &[u8; 32]) -> bool {
        self.keyed(bytes).verify_slice(mac).is_ok()
    }

    fn keyed(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(self.secret.expose()).expect("HMAC takes keys of any length");
        hmac.update(bytes);
        hmac
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} for {})", self.id, self.host)
    }
}
