//! Certificates of authorities that nobody keeps.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate, its key, and the authority that signed it, each as PEM.
#[derive(Debug)]
pub struct Certified {
    /// The authority, for whoever is to trust the certificate.
    pub authority: String,
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Certified {
    /// For these names and addresses, by an authority of its own.
    ///
    /// # Panics
    /// If one is neither.
    pub fn of(names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        // OpenSSL takes a certificate whose issuer has its own name for self-signed.
        authority.distinguished_name.push(DnType::CommonName, "throw-away authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let [authority_key, key] = [(); 2].map(|()| KeyPair::generate().expect("a key"));
        let signed = authority.self_signed(&authority_key).expect("the authority's certificate").pem();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).expect("names and addresses");
        let certificate = certificate.signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate");
        Self { authority: signed, certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
