//! The host's own key after enrolment: where it is, and how the host itself replaces it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::credential::{Credential, HostKey};
use identree_core::enrol::{KEY_PATH, KEYS_PATH, KeyRequest, KeysReply};
use identree_core::grant::PublicKey;
use identree_core::wire::v1::VERSION;

use crate::atomic;
use crate::config::{Config, ConfigError, read_key};
use crate::transport::{Direct, TransportError, Watch};

/// The key's name beside the host file.
pub const KEY_NAME: &str = "host.key";

/// Why the host's key was not replaced. The old one still works, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The host file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The host has a secret instead.
    #[error(
        "this host proves itself with a secret; enrol it with a token of `identree rotate-host-secret NAME --enroll`"
    )]
    Secret,
    /// A file cannot be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The server did not answer, or said no.
    #[error("the server did not answer as it should: {0}; run the same command again")]
    Server(#[from] TransportError),
}

/// Makes a new key for this host and has the server take it in the place of the old one, which signs for it. Run it when
/// nobody waits for an answer: questions that are open go under the old key. A run that was cut off is taken up by the next.
///
/// # Errors
/// [`IdentityError`]; then the host file's key is the one that works.
pub fn replace_key(config: &Path, owner: u32, within: Duration) -> Result<PublicKey, IdentityError> {
    let mut loaded = Config::load(config, owner)?;
    let Credential::Key(old) = loaded.credential.clone() else { return Err(IdentityError::Secret) };
    let path = config.with_file_name(KEY_NAME);
    let new = pending(&path, owner)?;
    let request =
        KeyRequest { v: VERSION, key: new.public(), proof: new.succeed(&loaded.hostname, &old.public()).to_vec() };
    let body = serde_json::to_vec(&request)
        .map_err(|error| IdentityError::File { path: path.clone(), source: error.into() })?;
    let told: Result<KeysReply, _> =
        Direct::new(&loaded, Watch::default()).fetch("POST", KEY_PATH, Some(&body), within);
    if let Err(error) = told {
        // Perhaps only the answer to an earlier run was lost: then the new key is the one that works.
        loaded.credential = Credential::Key(new.clone());
        let known: Result<KeysReply, _> = Direct::new(&loaded, Watch::default()).fetch("GET", KEYS_PATH, None, within);
        if known.is_err() {
            return Err(error.into());
        }
    }
    let file = |source| IdentityError::File { path: path.clone(), source };
    atomic::replace(&atomic::aside(&path), &path).map_err(file)?;
    Ok(new.public())
}

/// Asks the server what is new about decision keys, and keeps it: what a host that rarely asks anything does now and then, so
/// that no rotation passes it by. Gives the number of the last statement it believes.
///
/// # Errors
/// [`IdentityError`] if the server was not reached or does not know this host.
pub fn refresh(config: &Path, owner: u32, within: Duration) -> Result<u64, IdentityError> {
    let config = Config::load(config, owner)?;
    let mut trust = config.told.trust.clone();
    let told: KeysReply = match Direct::new(&config, Watch::default()).fetch("GET", KEYS_PATH, None, within) {
        // A server that knows nothing of rotations has none to tell of.
        Err(TransportError::Problem { status: 404, .. }) => return Ok(trust.epoch),
        told => told?,
    };
    trust.learn_all(&told.statements, config.read_at);
    config.remember(&trust, None);
    Ok(trust.epoch)
}

/// The key that is to become the host's: one that an earlier run left, else a new one.
pub(crate) fn pending(path: &Path, owner: u32) -> Result<HostKey, IdentityError> {
    let aside = atomic::aside(path);
    match std::fs::symlink_metadata(&aside) {
        Ok(_) => return Ok(read_key(&aside, owner)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(IdentityError::File { path: aside, source }),
    }
    let file = |source| IdentityError::File { path: aside.clone(), source };
    let seed = zeroize::Zeroizing::new(atomic::random::<32>().map_err(file)?);
    let key = HostKey::from_seed(&seed);
    atomic::write_aside(&aside, key.reveal().expose().as_bytes()).map_err(file)?;
    Ok(key)
}
