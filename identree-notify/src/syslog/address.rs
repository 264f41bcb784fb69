//! Where the messages go: `udp://host:514`, `tcp://host:601`, `tls://host:6514`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use identree_core::audit::SinkError;
use identree_core::egress::guard::forbidden;

/// How the messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each (RFC 5426). What gets lost on the way is lost.
    Udp,
    /// A stream with counted messages (RFC 6587 §3.4.1).
    Tcp,
    /// The same under TLS (RFC 5425).
    Tls,
}

/// Where the messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogAddress {
    /// How.
    pub transport: Transport,
    /// A name or an address, an address of IPv6 without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What was given is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not udp://host:514, tcp://host:601 or tls://host:6514")]
pub struct SyslogAddressError;

impl FromStr for SyslogAddress {
    type Err = SyslogAddressError;

    fn from_str(text: &str) -> Result<Self, SyslogAddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(SyslogAddressError)?;
        let (transport, default) = match scheme.to_ascii_lowercase().as_str() {
            "udp" => (Transport::Udp, 514),
            "tcp" => (Transport::Tcp, 601),
            "tls" => (Transport::Tls, 6514),
            _ => return Err(SyslogAddressError),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(SyslogAddressError)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| SyslogAddressError)?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(SyslogAddressError)?) })
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => default,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(SyslogAddressError)?,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(SyslogAddressError);
        }
        Ok(Self { transport, host: host.to_owned(), port })
    }
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

impl SyslogAddress {
    /// The addresses of the host that messages may go to.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, SinkError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|error| SinkError::later(format!("{self}: {error}")))?;
        let (mut passed, mut refused) = (Vec::new(), None);
        for address in found {
            match forbidden(address.ip()) {
                None => passed.push(address),
                Some(why) => {
                    refused = Some(format!("{self} is {}, which is {why}: nothing is sent there", address.ip()));
                }
            }
        }
        match refused {
            Some(refused) if passed.is_empty() => Err(SinkError::later(refused)),
            _ if passed.is_empty() => Err(SinkError::later(format!("{self}: the name has no address"))),
            _ => Ok(passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        for (text, whole) in [
            ("udp://syslog.local", "udp://syslog.local:514"),
            ("TCP://syslog.local/", "tcp://syslog.local:601"),
            ("tls://10.0.0.1", "tls://10.0.0.1:6514"),
            ("tcp://10.0.0.1:1514", "tcp://10.0.0.1:1514"),
            ("udp://[fd00::1]", "udp://[fd00::1]:514"),
            ("tls://[fd00::1]:99", "tls://[fd00::1]:99"),
        ] {
            assert_eq!(text.parse::<SyslogAddress>().unwrap().to_string(), whole);
        }
        for bad in [
            "",
            "syslog.local:514",
            "http://syslog.local",
            "udp://",
            "udp://:514",
            "tcp://h:0",
            "tcp://h:65536",
            "tcp://h:",
            "tcp://h:1:2",
            "tcp://ann:pw@h:1",
            "tcp://h/path",
            "tcp://h?x",
            "tcp://[fd00::1",
            "tcp://[fd00::1]x",
            "tcp://[h]:1",
            "tcp://fd00::1",
            "tcp://h h",
        ] {
            assert_eq!(bad.parse::<SyslogAddress>(), Err(SyslogAddressError), "{bad}");
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_to_a_forbidden_address() {
        let error = "udp://169.254.169.254".parse::<SyslogAddress>().unwrap().resolve().await.unwrap_err();
        assert!(error.text.contains("link-local"), "{error}");
        let local = "udp://127.0.0.1:9".parse::<SyslogAddress>().unwrap();
        assert_eq!(local.resolve().await.unwrap(), ["127.0.0.1:9".parse().unwrap()]);
    }
}
