//! Connections of hyper, plain and TLS 1.3, with nothing around them.

use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use identree_benches::Result;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Accepts without TLS until the process ends.
pub(super) async fn plain(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true); // the client has left: the next read tells
        tokio::spawn(talk(stream, router.clone()));
    }
}

/// Accepts with TLS until the process ends.
pub(super) async fn tls(listener: TcpListener, acceptor: TlsAcceptor, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true); // the client has left: the next read tells
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                talk(stream, router).await;
            }
        });
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    // A client that goes away is no failure of the probe.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

/// From the certificate in the current directory.
pub(super) fn acceptor() -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file("ca.pem")?], PrivateKeyDer::from_pem_file("key.pem")?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
