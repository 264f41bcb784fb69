//! A certificate authority for one run: it signs one server certificate and its key is forgotten.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use zeroize::Zeroizing;

use super::DevError;
use super::place::Place;

/// The three files that TLS needs.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    /// What hosts trust, and nothing else.
    pub(super) ca: PathBuf,
    /// The server's certificate for `localhost`, 127.0.0.1 and `::1`.
    pub(super) cert: PathBuf,
    /// Its key, 0600.
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Those in the directory if all three are there (`--data`), else new ones.
    pub(super) fn in_place(place: &Place) -> Result<Self, DevError> {
        let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| place.path(name));
        let all = Self { ca, cert, key };
        if ![&all.ca, &all.cert, &all.key].into_iter().all(|path| is_file(path)) {
            let made = make().map_err(DevError::Certificate)?;
            place.write("server.key", made.key.as_bytes())?;
            place.write("server.pem", made.cert.as_bytes())?;
            place.write("ca.pem", made.ca.as_bytes())?;
        }
        Ok(all)
    }
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_file())
}

struct Made {
    ca: String,
    cert: String,
    key: Zeroizing<String>,
}

/// P-256 throughout: what every TLS stack has.
fn make() -> Result<Made, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "identree dev (throw-away authority)");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate()?;
    let ca = authority.self_signed(&authority_key)?.pem();

    let mut server = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "identree dev");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = server.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
    Ok(Made { ca, cert, key: Zeroizing::new(key.serialize_pem()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

    #[test]
    fn the_certificate_is_good_for_loopback_under_its_own_authority_only() {
        let made = make().unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let verifier = |ca: &str| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone().into())
                .build()
                .unwrap()
        };
        let cert = CertificateDer::from_pem_slice(made.cert.as_bytes()).unwrap();
        let verify = |ca: &str, name: &str| {
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier(ca).verify_server_cert(&cert, &[], &name, &[], now)
        };
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(verify(&made.ca, name).is_ok(), "{name}");
        }
        assert!(verify(&made.ca, "example.org").is_err());
        assert!(verify(&make().unwrap().ca, "localhost").is_err());
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
        assert!(provider.key_provider.load_private_key(key).is_ok());
    }

    #[test]
    fn a_kept_directory_keeps_its_authority() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::kept(&dir.path().join("data")).unwrap();
        let first = Certificates::in_place(&place).unwrap();
        let ca = fs::read(&first.ca).unwrap();
        assert_eq!(fs::read(Certificates::in_place(&place).unwrap().ca).unwrap(), ca);
    }
}
