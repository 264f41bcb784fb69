//! One connection: TCP, and TLS over it (rustls, the ring provider named explicitly), blocking with a deadline.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{TransportError, Watch};
use crate::clock::{Moment, now};

/// An open connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// Where systems keep the bundle of their certificate authorities: Debian and Ubuntu, Fedora and RHEL, openSUSE, Alpine.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom to trust: the given authorities alone, else the system's.
pub(super) fn tls_config(ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, TransportError> {
    let untrusted = |why: String| TransportError::Untrusted(why);
    let mut roots = RootCertStore::empty();
    if let Some(pem) = ca_pem {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| untrusted(format!("IDENTREE_CA_CERT is not PEM: {e}")))?;
            roots
                .add(certificate)
                .map_err(|e| untrusted(format!("IDENTREE_CA_CERT holds an unusable certificate: {e}")))?;
        }
        if roots.is_empty() {
            return Err(untrusted("IDENTREE_CA_CERT holds no certificate".into()));
        }
    } else {
        // At fixed places: what SSL_CERT_FILE says came through PAM's environment, and the caller must not choose.
        let bundle = SYSTEM_ROOTS.iter().find_map(|path| CertificateDer::pem_file_iter(path).ok());
        roots.add_parsable_certificates(bundle.into_iter().flatten().flatten());
        if roots.is_empty() {
            return Err(untrusted(
                "this system has no certificate authorities; install ca-certificates or set IDENTREE_CA_CERT".into(),
            ));
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| untrusted(e.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // One connection per process: nothing to resume.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

impl Stream {
    /// Connects to one of the addresses, each getting its share of the time, and readies TLS if there is a configuration.
    pub(super) fn open(
        addresses: &[SocketAddr],
        tls: Option<(Arc<ClientConfig>, &str)>,
        watch: &Watch,
        until: Moment,
    ) -> Result<Self, TransportError> {
        let mut last = TransportError::Unreachable("the server has no address".into());
        for (at, address) in addresses.iter().enumerate() {
            let share = until.since(now()) / u32::try_from(addresses.len() - at).unwrap_or(1);
            match dial(*address, watch, now() + share) {
                Ok(socket) => {
                    let tls = tls.map(|(config, name)| handshake(config, name)).transpose()?;
                    return Ok(Self { socket, tls });
                }
                Err(TransportError::Interrupted(why)) => return Err(TransportError::Interrupted(why)),
                Err(other) => last = other,
            }
        }
        Err(last)
    }

    /// Sends all of it.
    pub(super) fn send(&mut self, bytes: &[u8], watch: &Watch, until: Moment) -> Result<(), TransportError> {
        let mut left = bytes;
        if self.tls.is_some() {
            // rustls takes at most its buffer's limit at a time; what is taken is sent before more is offered.
            while let Some(tls) = &mut self.tls
                && !left.is_empty()
            {
                let taken = tls.writer().write(left).map_err(|e| broken(&e))?;
                left = &left[taken..];
                self.flush(watch, until)?;
            }
            return self.flush(watch, until);
        }
        while !left.is_empty() {
            match Quiet(&self.socket).write(left) {
                Ok(sent) => left = &left[sent..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.ready(PollFlags::OUT, watch, until)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(broken(&e)),
            }
        }
        Ok(())
    }

    /// Appends what arrives to `into`; false at the end of the stream.
    pub(super) fn receive(&mut self, into: &mut Vec<u8>, watch: &Watch, until: Moment) -> Result<bool, TransportError> {
        let mut buffer = [0; 8 * 1024];
        loop {
            // A peer that always has a little more to say must not keep us from seeing that time is over.
            watch.look(until)?;
            self.flush(watch, until)?;
            let read = match &mut self.tls {
                Some(tls) => tls.reader().read(&mut buffer),
                None => self.socket.read(&mut buffer),
            };
            match read {
                Ok(read) => {
                    into.extend_from_slice(&buffer[..read]);
                    return Ok(read > 0);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(broken(&e)),
            }
            self.ready(PollFlags::IN, watch, until)?;
            self.take_records()?;
        }
    }

    /// Writes out what TLS has to say, the handshake included: during it, reading is part of writing.
    fn flush(&mut self, watch: &Watch, until: Moment) -> Result<(), TransportError> {
        while let Some(tls) = &mut self.tls {
            if tls.wants_write() {
                match tls.write_tls(&mut Quiet(&self.socket)) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.ready(PollFlags::OUT, watch, until)?,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(broken(&e)),
                }
            } else if tls.is_handshaking() {
                self.ready(PollFlags::IN, watch, until)?;
                self.take_records()?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what the socket has for TLS.
    fn take_records(&mut self) -> Result<(), TransportError> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        match tls.read_tls(&mut self.socket) {
            Ok(0) if tls.is_handshaking() => {
                return Err(TransportError::Unreachable("the server closed the connection".into()));
            }
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(broken(&e)),
        }
        if let Err(error) = tls.process_new_packets() {
            // The alert tells the other side why; whether it arrives does not matter.
            let _ = tls.write_tls(&mut Quiet(&self.socket));
            return Err(match error {
                rustls::Error::InvalidCertificate(why) => TransportError::Untrusted(format!(
                    "the server's certificate is not trusted ({why:?}); check the authority (IDENTREE_CA_CERT, \
                     enroll --ca) and the name in the server's address"
                )),
                rustls::Error::InvalidMessage(_) => TransportError::Foreign("it does not speak TLS".into()),
                other => TransportError::Unreachable(format!("TLS: {other}")),
            });
        }
        Ok(())
    }

    fn ready(&self, flags: PollFlags, watch: &Watch, until: Moment) -> Result<(), TransportError> {
        if watch.wait(Some((self.socket.as_fd(), flags)), until)? {
            Ok(())
        } else {
            Err(TransportError::Unreachable("no answer in time".into()))
        }
    }
}

/// Writes without SIGPIPE. The standard library does so for one buffer but not for several (`writev`), which TLS uses, and
/// the program around us may die of it.
struct Quiet<'a>(&'a TcpStream);

impl io::Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn handshake(config: Arc<ClientConfig>, name: &str) -> Result<Box<ClientConnection>, TransportError> {
    let untrusted = |why: String| TransportError::Untrusted(why);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| untrusted(format!("'{name}' is not a name a certificate can have")))?;
    ClientConnection::new(config, name).map(Box::new).map_err(|e| untrusted(e.to_string()))
}

/// Connects without blocking, so that the deadline and the watch hold here too.
fn dial(address: SocketAddr, watch: &Watch, until: Moment) -> Result<TcpStream, TransportError> {
    let failed = |cause: Errno| TransportError::Unreachable(format!("{address}: {}", io::Error::from(cause)));
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)).map_err(failed)?;
    sockopt::set_tcp_nodelay(&socket, true).map_err(failed)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => {
            if !watch.wait(Some((socket.as_fd(), PollFlags::OUT)), until)? {
                return Err(TransportError::Unreachable(format!("{address}: no answer in time")));
            }
            sockopt::socket_error(&socket).map_err(failed)?.map_err(failed)?;
        }
        Err(cause) => return Err(failed(cause)),
    }
    Ok(socket.into())
}

fn broken(error: &io::Error) -> TransportError {
    TransportError::Unreachable(format!("the connection broke: {error}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_peer_that_never_stops_talking_does_not_move_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let talker = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            while socket.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let (watch, started) = (Watch::default(), now());
        let until = started + Duration::from_millis(100);
        let mut stream = Stream::open(&[address], None, &watch, until).unwrap();
        let mut received = Vec::new();
        let ended = loop {
            received.clear();
            match stream.receive(&mut received, &watch, until) {
                Ok(_) if now().since(started) < Duration::from_secs(5) => {}
                ended => break ended,
            }
        };
        assert!(matches!(ended, Err(TransportError::Unreachable(_))), "{ended:?}");
        drop(stream);
        talker.join().unwrap();
    }
}
