//! The listeners: plain and TLS, one hyper connection each, stopped gracefully.

mod admission;
mod patient;

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::Layer as _;

use self::admission::Full;
pub use self::admission::{Admission, Limits, Standing, raise_descriptors};
use self::patient::Patient;
use crate::layer::client_ip::PeerAddress;

/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);
/// How long requests under way may take to finish when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A PEM file cannot be used.
    #[error("{path}: {text}", path = .path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why, and what to do.
        text: String,
    },
}

/// One bound listener.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor2>,
    door: Admission,
}

/// `TlsAcceptor` without a `Debug` of its own.
#[derive(Clone)]
struct TlsAcceptor2(TlsAcceptor);

impl std::fmt::Debug for TlsAcceptor2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

impl Listener {
    /// Listens with plain HTTP.
    ///
    /// # Errors
    /// [`ListenError::Bind`].
    pub async fn plain(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self { tcp: bind(address).await?, tls: None, door: Admission::default() })
    }

    /// Listens with TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn tls(address: SocketAddr, certificate: &Path, key: &Path) -> Result<Self, ListenError> {
        let config = tls_config(certificate, key)?;
        Ok(Self {
            tcp: bind(address).await?,
            tls: Some(TlsAcceptor2(TlsAcceptor::from(Arc::new(config)))),
            door: Admission::default(),
        })
    }

    /// Listens on a socket that is bound already, with TLS where a certificate and its key are given.
    ///
    /// # Errors
    /// [`ListenError::Pem`].
    pub fn on(tcp: TcpListener, files: Option<(&Path, &Path)>) -> Result<Self, ListenError> {
        let config = files.map(|(certificate, key)| tls_config(certificate, key)).transpose()?;
        Ok(Self {
            tcp,
            tls: config.map(|config| TlsAcceptor2(TlsAcceptor::from(Arc::new(config)))),
            door: Admission::default(),
        })
    }

    /// The address really bound, and as a URL of a client on this machine.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// `http` or `https`.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The same listener behind this door; each listener has one of its own unless told.
    #[must_use]
    pub fn behind(mut self, door: Admission) -> Self {
        self.door = door;
        self
    }

    /// Serves until `stop` turns true, then lets requests under way finish for at most ten seconds.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        let mut stopped = pin!(async move { stop.wait_for(|stop| *stop).await.map(|_| ()) });
        let mut spare = spare();
        loop {
            let accepted = tokio::select! {
                _ = &mut stopped => break,
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.door.admit(peer.ip()) {
                    Ok(standing) => {
                        let guest = Guest { peer, standing, limits: self.door.limits().clone() };
                        let (router, tls, watcher) = (router.clone(), self.tls.clone(), graceful.watcher());
                        tokio::spawn(connection(stream, guest, tls, router, watcher));
                    }
                    Err(Full) => self.turn_away(stream),
                },
                Err(error) => {
                    // Out of descriptors, or a client that left already: go on, but never in a tight loop.
                    tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
                    if spare.take().is_some() {
                        // The descriptor kept for this moment takes one client from the queue, to be turned away at once.
                        if let Ok(Ok((stream, _))) = tokio::time::timeout(PAUSE, self.tcp.accept()).await {
                            self.turn_away(stream);
                        }
                    }
                    nap(PAUSE).await;
                    spare = self::spare();
                }
            }
        }
        drop(self.tcp);
        let _ = tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await;
    }

    /// Ends a connection at once: with a word where no handshake stands in between.
    fn turn_away(&self, stream: TcpStream) {
        const BUSY: &[u8] =
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
        if self.tls.is_none()
            && let Ok(mut stream) = stream.into_std()
        {
            let _ = stream.write(BUSY); // it never waits, and who does not get it sees the connection close
        }
    }
}

/// A descriptor to give away when there are no others.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

#[expect(clippy::disallowed_methods, reason = "a pause after a failed accept is no matter of the domain's time")]
async fn nap(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// One who was let in.
struct Guest {
    peer: SocketAddr,
    standing: Standing,
    limits: Arc<Limits>,
}

async fn connection(stream: TcpStream, guest: Guest, tls: Option<TlsAcceptor2>, router: Router, watcher: Watcher) {
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, guest.limits.write);
    let talk = match tls {
        None => talk(stream, guest, router, watcher),
        Some(TlsAcceptor2(acceptor)) => {
            // In a box of its own: a connection that rests for long shall not keep the room that its handshake took.
            let handshake = Box::pin(tokio::time::timeout(guest.limits.handshake, acceptor.accept(stream)));
            match handshake.await {
                Ok(Ok(stream)) => talk(stream, guest, router, watcher),
                Ok(Err(error)) => {
                    return tracing::debug!(error = &error as &dyn std::error::Error, "a TLS handshake failed");
                }
                Err(_) => return tracing::debug!("a TLS handshake took too long"),
            }
        }
    };
    if let Err(error) = talk.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
    }
}

/// HTTP on one connection until it ends. Boxed once everything is in its place: ten thousand of these rest, and a task that
/// could hold either sort would be as large as the larger, with all that was moved on the way.
fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    guest: Guest,
    router: Router,
    watcher: Watcher,
) -> Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(guest.limits.head).max_buf_size(32 * 1024);
    let known = (Extension(PeerAddress(guest.peer)), Extension(guest.standing));
    let service = TowerToHyperService::new(known.layer(router));
    Box::pin(watcher.watch(builder.serve_connection(TokioIo::new(stream), service)))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })
}

fn tls_config(certificate: &Path, key: &Path) -> Result<rustls::ServerConfig, ListenError> {
    let pem = |path: &Path, text: String| ListenError::Pem { path: path.to_owned(), text };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| pem(certificate, format!("is not a PEM certificate chain: {error}")))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, format!("is not a PEM private key: {error}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| pem(certificate, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| pem(certificate, format!("does not go with the key: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
