//! The three listeners: on their usual ports where those are free, else on any.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::DevError;

/// Three bound sockets on 127.0.0.1.
#[derive(Debug)]
pub(super) struct Listeners {
    /// For the browser.
    pub(super) plain: TcpListener,
    /// For hosts.
    pub(super) tls: TcpListener,
    /// For the development provider.
    pub(super) provider: TcpListener,
}

/// The ports of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) tls: u16,
    pub(super) provider: u16,
}

impl Ports {
    /// What one remembers.
    pub(super) const USUAL: Self = Self { plain: 8090, tls: 8443, provider: 8091 };

    /// As kept in a `--data` directory.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let ports: Vec<u16> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let &[plain, tls, provider] = ports.as_slice() else { return None };
        Some(Self { plain, tls, provider })
    }

    /// The same as text.
    pub(super) fn to_text(self) -> String {
        format!("{} {} {}\n", self.plain, self.tls, self.provider)
    }
}

/// What to do when a port is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Take any free one.
    Any,
    /// Say so: people were linked to the provider at this address, and hosts know the others.
    Fail,
}

impl Listeners {
    /// Binds all three. `--port` is the plain one and must be free when it was named.
    pub(super) fn bind(wanted: Ports, plain: Taken, others: Taken) -> Result<Self, DevError> {
        Ok(Self {
            plain: bind(wanted.plain, plain)?,
            tls: bind(wanted.tls, others)?,
            provider: bind(wanted.provider, others)?,
        })
    }

    /// What they are bound to.
    pub(super) fn ports(&self) -> Result<Ports, DevError> {
        let port = |socket: &TcpListener| socket.local_addr().map(|address| address.port()).map_err(DevError::Listen);
        Ok(Ports { plain: port(&self.plain)?, tls: port(&self.tls)?, provider: port(&self.provider)? })
    }
}

fn bind(port: u16, taken: Taken) -> Result<TcpListener, DevError> {
    let at = |port| {
        let socket = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    match at(port) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => match taken {
            Taken::Any => at(0).map_err(DevError::Listen),
            Taken::Fail => Err(DevError::PortTaken(port)),
        },
        bound => bound.map_err(DevError::Listen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_gives_way_or_says_so() {
        let any = Ports { plain: 0, tls: 0, provider: 0 };
        let first = Listeners::bind(any, Taken::Any, Taken::Any).unwrap();
        let taken = first.ports().unwrap();
        let second = Listeners::bind(taken, Taken::Any, Taken::Any).unwrap();
        assert_ne!(second.ports().unwrap().plain, taken.plain);
        assert!(matches!(Listeners::bind(taken, Taken::Fail, Taken::Any), Err(DevError::PortTaken(port)) if port == taken.plain));
        assert_eq!(Ports::parse(&taken.to_text()), Some(taken));
        assert_eq!(Ports::parse("1 2"), None);
    }
}
