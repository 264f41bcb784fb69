//! How a host proves itself with each request: by a signature of its own key, or by a MAC under its own secret.
//!
//! The request carries `Authorization: Identree-Ed25519 v=1, host="web1", time="1764028800", sig="…"` (Ed25519, RFC 8032), or
//! `Identree-HMAC-SHA256 v=1, …, mac="…"` (HMAC-SHA256, RFC 2104). Both cover version, method, authority, path with query,
//! host, SHA-256 of the body and the time, each under a purpose of its own.

mod key;
mod mac;

use std::fmt;

pub use self::key::{HostKey, HostVerifier};
pub use self::mac::{HostSecret, MasterSecret};
use crate::canon::{Writer, sha256};
use crate::id::HostName;
use crate::text::{hex, unhex};
use crate::time::Timestamp;

/// How far the host's clock and the server's may be apart, either way, in seconds.
pub const WINDOW_SECS: i64 = 90;

/// The authentication scheme of the MAC mode in the `Authorization` header (RFC 9110 §11).
pub const SCHEME: &str = "Identree-HMAC-SHA256";

/// The authentication scheme of hosts with a key of their own.
pub const KEY_SCHEME: &str = "Identree-Ed25519";

/// The text is not a credential of the expected form. It does not say what was wrong with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A host secret is 64 lower-case hexadecimal digits.
    #[error("a host secret is 64 hexadecimal digits, as `identree add-host` printed it")]
    Secret,
    /// A host key is 64 lower-case hexadecimal digits.
    #[error("a host key is 64 hexadecimal digits; enrol the host again with a token of `identree rotate-host-secret`")]
    Key,
    /// The master secret is too short.
    #[error("the shared secret must have at least 32 characters")]
    Master,
    /// The header is not one of ours.
    #[error(
        "the Authorization header is not of the form `Identree-Ed25519 v=1, host=\"…\", time=\"…\", sig=\"…\"` or \
         `Identree-HMAC-SHA256 …, mac=\"…\"`"
    )]
    Header,
}

/// What the proof of a request covers.
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
    fn canonical(&self, purpose: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(purpose);
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
    /// Who claims to speak; true only once the proof is verified.
    pub host: HostName,
    /// When, in whole seconds since the epoch.
    pub time_secs: i64,
    /// What is to prove it.
    pub proof: Proof,
}

/// What proves a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Of a host in the MAC mode.
    Mac([u8; 32]),
    /// Of a host with a key of its own.
    Signature([u8; 64]),
}

/// What a host proves itself with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A secret that the server derives.
    Secret(HostSecret),
    /// A key that only this host holds.
    Key(HostKey),
}

impl Credential {
    /// The header of a request.
    pub fn authorize(&self, request: &Request<'_>) -> Authorization {
        match self {
            Self::Secret(secret) => secret.authorize(request),
            Self::Key(key) => key.authorize(request),
        }
    }
}

impl Authorization {
    /// Parses the header's value.
    ///
    /// # Errors
    /// [`CredentialError::Header`] for any other form, a repeated or an unknown parameter.
    pub fn parse(header: &str) -> Result<Self, CredentialError> {
        const BAD: CredentialError = CredentialError::Header;
        let (scheme, parameters) = header.split_once(' ').ok_or(BAD)?;
        let signed = scheme.eq_ignore_ascii_case(KEY_SCHEME);
        if !(signed || scheme.eq_ignore_ascii_case(SCHEME)) || header.len() > 1024 {
            return Err(BAD);
        }
        let (mut version, mut host, mut time, mut proof) = (None, None, None, None);
        for parameter in parameters.split(',') {
            let (key, value) = parameter.trim().split_once('=').ok_or(BAD)?;
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            let slot = match key {
                "v" => &mut version,
                "host" => &mut host,
                "time" => &mut time,
                "mac" if !signed => &mut proof,
                "sig" if signed => &mut proof,
                _ => return Err(BAD),
            };
            if slot.replace(value).is_some() {
                return Err(BAD);
            }
        }
        let (mut mac, mut signature) = ([0; 32], [0; 64]);
        let bytes: &mut [u8] = if signed { &mut signature } else { &mut mac };
        if version != Some("1") || !unhex(proof.ok_or(BAD)?, bytes) {
            return Err(BAD);
        }
        Ok(Self {
            host: HostName::parse(host.ok_or(BAD)?).map_err(|_| BAD)?,
            time_secs: time.ok_or(BAD)?.parse().map_err(|_| BAD)?,
            proof: if signed { Proof::Signature(signature) } else { Proof::Mac(mac) },
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
        let Self { host, time_secs, proof } = self;
        let (scheme, name, proof) = match proof {
            Proof::Mac(mac) => (SCHEME, "mac", hex(mac)),
            Proof::Signature(signature) => (KEY_SCHEME, "sig", hex(signature)),
        };
        write!(f, "{scheme} v=1, host=\"{host}\", time=\"{time_secs}\", {name}=\"{proof}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn host() -> HostName {
        HostName::parse("web1").unwrap()
    }

    pub(super) fn request<'a>(host: &'a HostName, body: &'a [u8]) -> Request<'a> {
        Request { method: "POST", authority: "id.example", target: "/api/challenge", host, time_secs: 1000, body }
    }

    /// The request with each one of the covered fields changed.
    pub(super) fn changes(base: &Request<'_>, check: impl Fn(&Request<'_>)) {
        let other = HostName::parse("web2").unwrap();
        for changed in [
            Request { method: "GET", ..*base },
            Request { authority: "evil.example", ..*base },
            Request { target: "/api/challenge?x", ..*base },
            Request { host: &other, ..*base },
            Request { time_secs: 1001, ..*base },
            Request { body: b"[]", ..*base },
        ] {
            check(&changed);
        }
    }

    #[test]
    fn the_header_round_trips_and_is_strict() {
        for proof in [Proof::Mac([7; 32]), Proof::Signature([7; 64])] {
            let header = Authorization { host: host(), time_secs: 1000, proof };
            let text = header.to_string();
            assert_eq!(Authorization::parse(&text).unwrap(), header);
            for bad in [
                "",
                "Bearer x",
                "Identree-HMAC-SHA256 v=2",
                &format!("{text}, host=\"web2\""),
                &format!("{text}, x=1"),
                &text.replace("mac=", "x=").replace("sig=", "mac="),
                &text.replace("Ed25519", "X").replace("HMAC-SHA256", "Ed25519"),
            ] {
                assert_eq!(Authorization::parse(bad), Err(CredentialError::Header), "{bad}");
            }
            assert_eq!(header.clock_off(Timestamp::from_secs(1090)), None);
            assert_eq!(header.clock_off(Timestamp::from_secs(1091)), Some(-91));
        }
    }
}
