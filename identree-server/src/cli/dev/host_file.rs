//! The host file of the demonstration: what real sudo on this machine reads, and what the question here goes by.

use std::path::{Path, PathBuf};

use identree_core::credential::HostSecret;
use identree_core::grant::PublicKey;
use identree_core::id::HostName;
use url::Url;
use zeroize::Zeroizing;

use super::DevError;
use super::ca::Certificates;
use super::place::Place;
use super::ports::address;
use crate::client_conf;

/// Where an ordinary user's authority file must go before root's helper believes it.
const INSTALLED_CA: &str = "/etc/identree/dev-ca.pem";

/// `client.conf` as written.
#[derive(Debug)]
pub(super) struct HostFile {
    /// Where.
    pub(super) path: PathBuf,
    /// The commands, for root, that put it where the helper looks.
    pub(super) install: Vec<String>,
    /// The command that takes that back.
    pub(super) undo: String,
    /// The same, as this process uses it.
    pub(super) config: identree_pam::Config,
}

/// What a host needs to know.
#[derive(Debug)]
pub(super) struct Registered<'a> {
    pub(super) name: &'a HostName,
    pub(super) secret: &'a HostSecret,
    pub(super) key: &'a PublicKey,
    pub(super) tls_port: u16,
}

impl HostFile {
    /// Writes it, 0600. Run by root it can be used where it is; otherwise it names the place its authority must be copied to,
    /// because root's helper believes root's files only.
    pub(super) fn write(place: &Place, host: &Registered<'_>, certificates: &Certificates) -> Result<Self, DevError> {
        let root = rustix::process::geteuid().is_root();
        let ca = if root { certificates.ca.as_path() } else { Path::new(INSTALLED_CA) };
        let url = Url::parse(&format!("https://{}", address(host.tls_port))).map_err(DevError::server)?;
        let text = Zeroizing::new(client_conf::text(&url, host.name, host.secret, &[*host.key], Some(ca)));
        let path = place.write("client.conf", text.as_bytes())?;
        let mut config = identree_pam::Config::parse(&text, &path).map_err(DevError::server)?;
        let pem = std::fs::read(&certificates.ca).map_err(|error| DevError::file(&certificates.ca, error))?;
        config.ca_pem = Some(pem);
        let copy = |mode, from: &Path, to| format!("install -D -o root -g root -m {mode} {} {to}", from.display());
        let mut install = vec![copy("600", &path, identree_pam::config::PATH)];
        let mut undo = format!("rm {}", identree_pam::config::PATH);
        if !root {
            undo = format!("{undo} {INSTALLED_CA}");
            install.push(copy("644", &certificates.ca, INSTALLED_CA));
        }
        Ok(Self { path, install, undo, config })
    }
}
