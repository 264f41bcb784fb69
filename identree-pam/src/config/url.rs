//! The server's address: `https://name[:port]`, nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the server is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether TLS protects the connection.
    pub tls: bool,
    /// Lower-case, as configured: what the credential covers and the `Host` header says.
    pub authority: String,
    /// The name or address in it, without brackets.
    pub host: String,
    /// The port, 443 or 80 if none is given.
    pub port: u16,
}

/// The text is not a server's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Neither https nor http.
    #[error("must begin with https:// (or http:// for this machine itself)")]
    Scheme,
    /// More than scheme, name and port.
    #[error("must be only https://name or https://name:port, without path, user or query")]
    Extra,
    /// No usable name or port.
    #[error("has no valid host name or port")]
    Authority,
}

impl ServerUrl {
    /// Parses the address (RFC 3986 §3.2 without user information; no path, because the server stands at the root).
    ///
    /// # Errors
    /// [`UrlError`] says what is not as it must be.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let lower = text.to_ascii_lowercase();
        let (tls, rest) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(UrlError::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(UrlError::Extra);
        }
        let (host, port) = split(authority).ok_or(UrlError::Authority)?;
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Authority)?
            }
            Some(_) => return Err(UrlError::Authority),
        };
        Ok(Self { tls, authority: authority.to_owned(), host: host.to_owned(), port })
    }

    /// The addresses that need no resolution: a literal, or this machine by its fixed name (RFC 6761 §6.3).
    pub fn literal(&self) -> Option<Vec<IpAddr>> {
        if self.host == "localhost" {
            return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.host.parse().ok().map(|address| vec![address])
    }

    /// Whether the server is this machine itself.
    pub fn is_loopback(&self) -> bool {
        self.literal().is_some_and(|addresses| addresses.iter().all(IpAddr::is_loopback))
    }
}

fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return match rest {
            "" => Some((address, None)),
            rest => Some((address, Some(rest.strip_prefix(':')?))),
        };
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(named)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_name_and_port() {
        let url = ServerUrl::parse("https://ID.Example:8443/").unwrap();
        assert_eq!((url.tls, &*url.authority, &*url.host, url.port), (true, "id.example:8443", "id.example", 8443));
        assert_eq!(ServerUrl::parse("https://id.example").unwrap().port, 443);
        let six = ServerUrl::parse("http://[::1]:80").unwrap();
        assert_eq!((&*six.host, six.is_loopback()), ("::1", true));
        assert!(ServerUrl::parse("http://localhost").unwrap().is_loopback());
        assert!(!ServerUrl::parse("http://localhost.evil.example").unwrap().is_loopback());
        assert!(!ServerUrl::parse("http://192.0.2.1").unwrap().is_loopback());
    }

    #[test]
    fn everything_else_is_refused() {
        for (text, why) in [
            ("id.example", UrlError::Scheme),
            ("ftp://id.example", UrlError::Scheme),
            ("https://u@id.example", UrlError::Extra),
            ("https://id.example/identree", UrlError::Extra),
            ("https://", UrlError::Authority),
            ("https://id.example:0", UrlError::Authority),
            ("https://id.example:+1", UrlError::Authority),
            ("https://id.example:99999", UrlError::Authority),
            ("https://[::1", UrlError::Authority),
            ("https://[::1]x", UrlError::Authority),
            ("https://a b", UrlError::Authority),
        ] {
            assert_eq!(ServerUrl::parse(text), Err(why), "{text}");
        }
    }
}
