//! Whose request it is: the address of the client, seen through the proxies that the operator trusts.
//!
//! Only `X-Forwarded-For` is read, and only where the connection itself comes from a trusted proxy. `Forwarded` and
//! `X-Real-IP` never are: one list has one meaning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{HeaderMap, Request};
use identree_core::text::visible;
use ipnet::{IpNet, Ipv4Net};
use tower::{Layer, Service};

/// The header that each proxy appends the address to that it was called from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of the connection. [`Listener`](crate::listen::Listener) puts it into each request's extensions; whoever
/// serves the router otherwise does the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The client's address: of the connection, or as trusted proxies tell it. IPv4 is never written as IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// What one customer has: an IPv4 address, or a /64 of IPv6 (RFC 6177 §2) by its first address.
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(long) => Ipv6Addr::from_bits(long.to_bits() & !u128::from(u64::MAX)).into(),
        }
    }
}

/// The request comes from a trusted proxy: what it says beside the address counts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromProxy;

/// The proxies whose `X-Forwarded-For` is believed (`IDENTREE_TRUSTED_PROXIES`). None unless told.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// Not an address, and not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an address nor a network, as in 10.0.0.7 or 10.0.0.0/8 or fd00::/8")]
pub struct NotANetwork(String);

impl TrustedProxies {
    /// From addresses and networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3).
    ///
    /// # Errors
    /// [`NotANetwork`] names the first that is neither.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, NotANetwork> {
        networks.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the address is one of a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The same, and loopback: whoever comes from there stands for others, or is on this machine already.
    #[must_use]
    pub fn and_loopback(&self) -> Self {
        let loopback = [
            IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
        ];
        Self(self.0.iter().copied().chain(loopback).collect())
    }

    /// The right-most address that is not a trusted proxy's: each proxy vouches only for the entry that it appended itself.
    /// At an entry that is no address the last good one counts.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        // Several lines are one list (RFC 9110 §5.3).
        let mut entries =
            headers.get_all(FORWARDED_FOR).iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.contains(client) {
            let Some(address) = entries.next().and_then(address) else { break };
            client = address;
        }
        ClientAddress(client)
    }
}

fn network(text: &str) -> Result<IpNet, NotANetwork> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| NotANetwork(visible(text).into_owned()))?;
    // Addresses are compared in their short form, so a network of IPv4 within IPv6 is kept as one of IPv4.
    let short = match network {
        IpNet::V6(long) if long.prefix_len() >= 96 => long.addr().to_ipv4_mapped().map(|address| (address, long)),
        _ => None,
    };
    let short = short.and_then(|(address, long)| IpNet::new(address.into(), long.prefix_len() - 96).ok());
    Ok(short.unwrap_or(network))
}

/// One entry: an address, or with a port as some proxies write it (`192.0.2.1:4711`, `[2001:db8::1]:4711`).
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let address = entry.parse::<IpAddr>().ok().or_else(bracketed);
    address.or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip())).map(|address| address.to_canonical())
}

/// Puts [`ClientAddress`] into the extensions of each request that has a [`PeerAddress`]. Plain tower.
#[derive(Debug, Clone, Default)]
pub struct ClientIpLayer {
    /// Whom to believe.
    pub proxies: TrustedProxies,
}

impl<S> Layer<S> for ClientIpLayer {
    type Service = ClientIp<S>;

    fn layer(&self, inner: S) -> ClientIp<S> {
        ClientIp { inner, proxies: self.proxies.clone() }
    }
}

/// What [`ClientIpLayer`] makes.
#[derive(Debug, Clone)]
pub struct ClientIp<S> {
    inner: S,
    proxies: TrustedProxies,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for ClientIp<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(PeerAddress(peer)) = request.extensions().get::<PeerAddress>().copied() {
            let client = self.proxies.client(peer.ip(), request.headers());
            request.extensions_mut().insert(client);
            if self.proxies.contains(peer.ip()) {
                request.extensions_mut().insert(FromProxy);
            }
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        headers
    }

    fn client(proxies: &[&str], peer: &str, lines: &[&str]) -> String {
        let proxies = TrustedProxies::parse(proxies.iter().copied()).unwrap();
        proxies.client(peer.parse().unwrap(), &headers(lines)).0.to_string()
    }

    #[test]
    fn the_right_most_address_that_no_trusted_proxy_has() {
        let inner: &[&str] = &["10.0.0.0/8", "fd00::/8"];
        for (proxies, peer, lines, expected) in [
            (&[][..], "10.0.0.1", &["192.0.2.1"][..], "10.0.0.1"),
            (inner, "192.0.2.9", &["192.0.2.1"], "192.0.2.9"),
            (inner, "10.0.0.1", &[], "10.0.0.1"),
            (inner, "10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            (inner, "10.0.0.1", &["203.0.113.6, 192.0.2.1"], "192.0.2.1"),
            (inner, "10.0.0.1", &["203.0.113.6, 192.0.2.1, 10.9.9.9"], "192.0.2.1"),
            (inner, "10.0.0.1", &["203.0.113.6, 192.0.2.1", "10.9.9.9"], "192.0.2.1"),
            (inner, "10.0.0.1", &["10.1.1.1,10.2.2.2"], "10.1.1.1"),
            (inner, "10.0.0.1", &["192.0.2.1, unknown, 10.9.9.9"], "10.9.9.9"),
            (inner, "10.0.0.1", &["192.0.2.1,,10.9.9.9"], "10.9.9.9"),
            (inner, "10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            (inner, "10.0.0.1", &["[2001:db8::1]:4711, fd00::5"], "2001:db8::1"),
            (inner, "10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            (inner, "::ffff:10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            (inner, "fd00::1", &["\t 192.0.2.1 "], "192.0.2.1"),
            (&["::ffff:10.0.0.0/104"], "10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            (&["10.0.0.1"], "10.0.0.2", &["192.0.2.1"], "10.0.0.2"),
        ] {
            assert_eq!(client(proxies, peer, lines), expected, "{proxies:?} {peer} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["10.0.0.0/33", "proxy.example", "10.0.0", "10.0.0.0/", ""] {
            let error = TrustedProxies::parse(["127.0.0.1", text]).unwrap_err();
            assert_eq!(error, NotANetwork(text.to_owned()));
        }
    }

    proptest! {
        /// Whatever a client sends before it, the entry of the trusted proxy decides.
        #[test]
        fn nobody_forges_an_address_through_a_proxy(
            sent in prop::collection::vec("[ -~]{0,40}", 0..4),
            real in any::<std::net::Ipv4Addr>().prop_filter("not a proxy", |address| address.octets()[0] != 10),
        ) {
            let mut lines = sent;
            match lines.last_mut() {
                Some(last) => *last = format!("{last}, {real}"),
                None => lines.push(real.to_string()),
            }
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), real.to_string());
        }

        /// Without a trusted proxy nothing that is sent counts.
        #[test]
        fn nobody_forges_an_address_directly(
            sent in prop::collection::vec("[ -~]{0,40}", 0..4),
            peer in any::<std::net::Ipv6Addr>().prop_filter("not a proxy", |address| address.segments()[0] >> 8 != 0xfd),
        ) {
            let lines: Vec<_> = sent.iter().map(String::as_str).collect();
            let peer = IpAddr::V6(peer);
            prop_assert_eq!(client(&["fd00::/8"], &peer.to_string(), &lines), peer.to_canonical().to_string());
        }
    }
}
