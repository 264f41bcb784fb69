//! Whom a TLS connection trusts.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::SyslogError;

/// A configuration that trusts these authorities (PEM), or those of the system.
pub(super) fn config(authorities: Option<&[u8]>) -> Result<Arc<ClientConfig>, SyslogError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(SyslogError::Tls)?;
    let config = match authorities {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| SyslogError::Authorities)?;
                roots.add(certificate).map_err(|_| SyslogError::Authorities)?;
            }
            if roots.is_empty() {
                return Err(SyslogError::Authorities);
            }
            builder.with_root_certificates(roots)
        }
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(SyslogError::Tls)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(Arc::new(config.with_no_client_auth()))
}
