//! New connections over TLS 1.3.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Told;
use super::cycle::Host;
use super::wire::{Failure, Wire};
use crate::Result;

/// TLS 1.3 with ring; the only trust is the certificate in the file, and every handshake is a whole one.
///
/// # Errors
/// If the file holds no certificate.
pub fn connector(ca: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A host on a new connection; `number` tells clients apart.
///
/// # Errors
/// If nobody listens there, or the handshake fails.
pub async fn connect(
    connector: &TlsConnector,
    told: &Told,
    number: usize,
) -> std::result::Result<Host<TlsStream<TcpStream>>, Failure> {
    let stream = TcpStream::connect(told.tls).await?;
    stream.set_nodelay(true)?;
    let stream = connector.connect(ServerName::from(told.tls.ip()), stream).await?;
    Host::over(Wire::over(stream), told.tls.to_string(), &told.hosts[number % told.hosts.len()], number)
}
