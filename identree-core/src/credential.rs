//! How a host proves itself in the MAC mode: its own secret, derived from the server's master, over each request.
//!
//! The request carries `Authorization: Identree-HMAC-SHA256 v=1, host="web1", time="1764028800", mac="…"`. The MAC
//! (HMAC-SHA256, RFC 2104) covers version, method, authority, path with query, host, SHA-256 of the body and the time.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::canon::{Writer, sha256};
use crate::id::HostName;
use crate::secret::Secret;
use crate::text::{hex, unhex};
use crate::time::Timestamp;

/// How far the host's clock and the server's may be apart, either way, in seconds.
pub const WINDOW_SECS: i64 = 90;

/// The authentication scheme in the `Authorization` header (RFC 9110 §11).
pub const SCHEME: &str = "Identree-HMAC-SHA256";

/// The text is not a credential of the expected form. It does not say what was wrong with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A host secret is 64 lower-case hexadecimal digits.
    #[error("a host secret is 64 hexadecimal digits, as `identree add-host` printed it")]
    Secret,
    /// The master secret is too short.
    #[error("the shared secret must have at least 32 characters")]
    Master,
    /// The header is not one of ours.
    #[error(
        "the Authorization header is not of the form `Identree-HMAC-SHA256 v=1, host=\"…\", time=\"…\", mac=\"…\"`"
    )]
    Header,
}

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

    /// The secret of one host in one generation: HKDF-SHA256 (RFC 5869). A rotation raises the generation.
    ///
    /// # Panics
    /// Never: 32 bytes are within HKDF's limit.
    pub fn host_secret(&self, host: &HostName, generation: u32) -> HostSecret {
        let mut info = Writer::new(b"host-secret v1");
        info.put_text(host.as_str());
        info.put(&generation.to_be_bytes());
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, self.0.expose())
            .expand(&info.finish(), &mut key)
            .expect("32 bytes are within HKDF's limit of 8,160");
        HostSecret(Secret::new(key))
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

    /// The MAC of a request.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn mac(&self, request: &Request<'_>) -> [u8; 32] {
        self.keyed(request).finalize().into_bytes().into()
    }

    /// Whether the MAC is that of the request, in constant time.
    pub fn verify(&self, request: &Request<'_>, mac: &[u8; 32]) -> bool {
        self.keyed(request).verify_slice(mac).is_ok()
    }

    fn keyed(&self, request: &Request<'_>) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        hmac.update(&request.canonical());
        hmac
    }
}

/// What the MAC of a request covers.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// The authority of the URL the host was configured with (`id.example.org`, `127.0.0.1:8443`), lower-case.
    pub authority: &'a str,
    /// Path with query, as sent.
    pub target: &'a str,
    /// The host that speaks.
    pub host: &'a HostName,
    /// When it was sent, in whole seconds since the epoch.
    pub time_secs: i64,
    /// The body, empty if there is none.
    pub body: &'a [u8],
}

impl Request<'_> {
    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::new(b"identree host request v1");
        writer.put_text(self.method);
        writer.put_text(self.authority);
        writer.put_text(self.target);
        writer.put_text(self.host.as_str());
        writer.put(&sha256(self.body));
        writer.put(&self.time_secs.to_be_bytes());
        writer.finish()
    }
}

/// The parsed `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Who claims to speak; true only once the MAC is verified.
    pub host: HostName,
    /// When, in whole seconds since the epoch.
    pub time_secs: i64,
    /// The MAC.
    pub mac: [u8; 32],
}

impl Authorization {
    /// Parses the header's value.
    ///
    /// # Errors
    /// [`CredentialError::Header`] for any other form, a repeated or an unknown parameter.
    pub fn parse(header: &str) -> Result<Self, CredentialError> {
        const BAD: CredentialError = CredentialError::Header;
        let (scheme, parameters) = header.split_once(' ').ok_or(BAD)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || header.len() > 1024 {
            return Err(BAD);
        }
        let (mut version, mut host, mut time, mut mac) = (None, None, None, None);
        for parameter in parameters.split(',') {
            let (key, value) = parameter.trim().split_once('=').ok_or(BAD)?;
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            let slot = match key {
                "v" => &mut version,
                "host" => &mut host,
                "time" => &mut time,
                "mac" => &mut mac,
                _ => return Err(BAD),
            };
            if slot.replace(value).is_some() {
                return Err(BAD);
            }
        }
        let mut bytes = [0; 32];
        if version != Some("1") || !unhex(mac.ok_or(BAD)?, &mut bytes) {
            return Err(BAD);
        }
        Ok(Self {
            host: HostName::parse(host.ok_or(BAD)?).map_err(|_| BAD)?,
            time_secs: time.ok_or(BAD)?.parse().map_err(|_| BAD)?,
            mac: bytes,
        })
    }

    /// How far the sender's clock is from `now` in seconds, positive when it is ahead; `None` within the window.
    pub fn clock_off(&self, now: Timestamp) -> Option<i64> {
        let off = self.time_secs.saturating_sub(now.as_secs());
        (off.saturating_abs() > WINDOW_SECS).then_some(off)
    }
}

impl fmt::Display for Authorization {
    /// The header's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, time_secs, mac } = self;
        write!(f, "{SCHEME} v=1, host=\"{host}\", time=\"{time_secs}\", mac=\"{}\"", hex(mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostName {
        HostName::parse("web1").unwrap()
    }

    fn request<'a>(host: &'a HostName, body: &'a [u8]) -> Request<'a> {
        Request { method: "POST", authority: "id.example", target: "/api/challenge", host, time_secs: 1000, body }
    }

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
        let (host, other) = (host(), HostName::parse("web2").unwrap());
        let secret = HostSecret(Secret::new([1; 32]));
        let base = request(&host, b"{}");
        let mac = secret.mac(&base);
        assert!(secret.verify(&base, &mac));
        for changed in [
            Request { method: "GET", ..base },
            Request { authority: "evil.example", ..base },
            Request { target: "/api/challenge?x", ..base },
            Request { host: &other, ..base },
            Request { time_secs: 1001, ..base },
            Request { body: b"[]", ..base },
        ] {
            assert!(!secret.verify(&changed, &mac));
        }
    }

    #[test]
    fn the_header_round_trips_and_is_strict() {
        let header = Authorization { host: host(), time_secs: 1000, mac: [7; 32] };
        assert_eq!(Authorization::parse(&header.to_string()).unwrap(), header);
        for bad in
            ["", "Bearer x", "Identree-HMAC-SHA256 v=2", &format!("{header}, host=\"web2\""), &format!("{header}, x=1")]
        {
            assert_eq!(Authorization::parse(bad), Err(CredentialError::Header), "{bad}");
        }
        assert_eq!(header.clock_off(Timestamp::from_secs(1090)), None);
        assert_eq!(header.clock_off(Timestamp::from_secs(1091)), Some(-91));
    }
}
