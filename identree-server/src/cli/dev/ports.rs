//! The ports: the usual ones where they are free, else any; in a kept directory the same as last time.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::DevError;
use super::place::Place;

const FILE: &str = "ports";

/// Where everything listens, on 127.0.0.1. 0 is any free port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    /// For the browser.
    pub(super) plain: u16,
    /// For hosts.
    pub(super) tls: u16,
    /// For the development provider.
    pub(super) provider: u16,
    /// Whether another port will do when one of these is taken. Not in a kept directory: people were linked to the provider at
    /// its address, and hosts know the others.
    flexible: bool,
    /// The one that was asked for by `--port`.
    named: Option<u16>,
}

impl Ports {
    /// What to try first.
    pub(super) fn wanted(place: &Place, named: Option<u16>) -> Result<Self, DevError> {
        let usual = Self { plain: 8090, tls: 8443, provider: 8091, flexible: true, named };
        let mut wanted = match place.read(FILE)? {
            None => usual,
            Some(text) => Self::parse(&text).ok_or_else(|| DevError::Damaged(place.path(FILE)))?,
        };
        if let Some(port) = named {
            (wanted.plain, wanted.named) = (port, named);
        }
        Ok(wanted)
    }

    fn parse(text: &str) -> Option<Self> {
        let ports = text.split_whitespace().map(str::parse).collect::<Result<Vec<u16>, _>>().ok()?;
        let &[plain, tls, provider] = ports.as_slice() else { return None };
        Some(Self { plain, tls, provider, flexible: false, named: None })
    }

    /// Remembers what was bound in the end.
    pub(super) fn remember(self, place: &Place) -> Result<(), DevError> {
        let Self { plain, tls, provider, .. } = self;
        place.write(FILE, format!("{plain} {tls} {provider}\n").as_bytes()).map(drop)
    }

    /// Binds all three, on other ports where these are taken and may be.
    pub(super) fn hold(&mut self) -> Result<Held, DevError> {
        let (flexible, named) = (self.flexible, self.named);
        let hold = |port: &mut u16| {
            let socket = match TcpListener::bind(address(*port)) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    if !flexible || named == Some(*port) {
                        return Err(DevError::PortTaken(*port));
                    }
                    TcpListener::bind(address(0))
                }
                bound => bound,
            };
            let socket = socket.map_err(DevError::Listen)?;
            socket.set_nonblocking(true).map_err(DevError::Listen)?;
            *port = socket.local_addr().map_err(DevError::Listen)?.port();
            Ok(socket)
        };
        Ok(Held { plain: hold(&mut self.plain)?, tls: hold(&mut self.tls)?, provider: hold(&mut self.provider)? })
    }
}

/// The bound sockets; none blocks.
#[derive(Debug)]
pub(super) struct Held {
    /// For the browser.
    pub(super) plain: TcpListener,
    /// For hosts.
    pub(super) tls: TcpListener,
    /// For the development provider.
    pub(super) provider: TcpListener,
}

/// 127.0.0.1 and a port.
pub(super) fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::kept(&dir.path().join("data")).unwrap();
        (dir, place)
    }

    #[test]
    fn a_taken_port_gives_way() {
        let (_dir, place) = place();
        let taken = TcpListener::bind(address(0)).unwrap();
        let taken = taken.local_addr().map(|address| (taken, address.port())).unwrap();
        let mut ports = Ports { provider: taken.1, plain: 0, tls: 0, ..Ports::wanted(&place, None).unwrap() };
        let held = ports.hold().unwrap();
        assert_ne!(ports.provider, taken.1);
        assert!(ports.plain != 0 && ports.tls != 0);
        assert_eq!(held.provider.local_addr().unwrap(), address(ports.provider));
        assert_eq!(held.plain.local_addr().unwrap(), address(ports.plain));
        assert_eq!(held.tls.local_addr().unwrap(), address(ports.tls));
    }

    #[test]
    fn a_named_or_remembered_port_does_not() {
        let (_dir, place) = place();
        let taken = TcpListener::bind(address(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut named = Ports { tls: 0, provider: 0, ..Ports::wanted(&place, Some(port)).unwrap() };
        assert!(matches!(named.hold(), Err(DevError::PortTaken(at)) if at == port));
        named.remember(&place).unwrap();
        let mut again = Ports::wanted(&place, None).unwrap();
        assert!(matches!(again.hold(), Err(DevError::PortTaken(at)) if at == port));
        place.write(FILE, b"1 two 3").unwrap();
        assert!(matches!(Ports::wanted(&place, None), Err(DevError::Damaged(_))));
    }
}
