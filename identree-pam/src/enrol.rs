//! Enrolment on the host: makes the host's key, exchanges it under a token, and writes the host file.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::credential::HostKey;
use identree_core::enrol::{EnrolReply, EnrolRequest, Enrolment, PATH, Token};
use identree_core::grant::{KeyRing, PublicKey, Trust};
use identree_core::id::{HostName, Nonce};
use identree_core::time::Timestamp;

use crate::atomic;
use crate::clock::{calendar_secs, now};
use crate::config::state::{Lock, State};
use crate::config::{self, Confidence, Config, ConfigError, FileError, KEY_FILE, SECRET, ServerUrl, UrlError};
use crate::identity::{self, IdentityError, KEY_NAME};
use crate::transport::{Asking, Connection, Peer, TransportError, Watch, read};

/// How long reaching the server may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Settings of the host file that enrolment writes itself; all others stay as they are.
const OURS: [&str; 7] = [
    "IDENTREE_SERVER_URL",
    "IDENTREE_HOSTNAME",
    SECRET,
    KEY_FILE,
    "IDENTREE_DECISION_KEYS",
    "IDENTREE_DECISION_ROOT",
    "IDENTREE_CA_CERT",
];

/// Where to enrol, as whom, and where it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Enrol<'a> {
    /// The server's address, `https://…`.
    pub server: &'a str,
    /// From `identree add-host NAME --enroll`: read it from a prompt or a file, never from an argument.
    pub token: &'a Token,
    /// The host file; key and state go beside it.
    pub config: &'a Path,
    /// A file with the authority that signed the server's certificate, where the system does not know it.
    pub ca: Option<&'a Path>,
    /// Whose the files must be: root, 0.
    pub owner: u32,
    /// How long the exchange may take.
    pub within: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The name this host is registered under.
    pub hostname: HostName,
    /// The public half of its key.
    pub key: PublicKey,
    /// Whose answers count.
    pub decision_keys: Vec<PublicKey>,
    /// The host file that was written.
    pub config: PathBuf,
}

/// Why the host is not enrolled. Whatever it had before still stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// The address is none.
    #[error("the server's address {0}")]
    Url(#[from] UrlError),
    /// Nothing secret goes over this, but afterwards every question would.
    #[error("the server's address must be https: over http anybody on the network sees every question")]
    Insecure,
    /// A file that was there already is not to be trusted.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key cannot be made or read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What was written is not a host file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server did not answer, or said no.
    #[error("{0}")]
    Server(#[from] TransportError),
    /// Somebody answered who does not know the token.
    #[error(
        "whoever answered does not know the token, so nothing it said was believed: is this the address of the server \
         that gave it out, and is nobody in between?"
    )]
    Forged,
    /// A file cannot be written.
    #[error("{}: {source}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Makes this host known to a server by a key of its own. Run again after a failure, with the same token, it takes up where
/// it was cut off. Key, state and host file are replaced together, the host file last.
///
/// # Errors
/// [`EnrolError`]; what the host had before still stands then.
pub fn enrol(enrol: &Enrol<'_>) -> Result<Enrolled, EnrolError> {
    let server = ServerUrl::parse(enrol.server)?;
    if !server.tls && !server.is_loopback() {
        return Err(EnrolError::Insecure);
    }
    let written = |path: &Path| {
        let path = path.to_owned();
        move |source| EnrolError::Write { path, source }
    };
    let folder = enrol.config.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        match DirBuilder::new().mode(0o755).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(written(folder)(error)),
            _ => {}
        }
    }
    let kept = existing(enrol)?;
    let ca_pem = enrol.ca.map(|ca| config::read_file(ca, enrol.owner, Confidence::Public, 1024 * 1024)).transpose()?;
    let (key_path, aside) = (enrol.config.with_file_name(KEY_NAME), atomic::aside(enrol.config));
    let key = key(&key_path, &aside, enrol.owner)?;

    let nonce = Nonce::from_bytes(atomic::random().map_err(written(Path::new("/dev/urandom")))?);
    let request = EnrolRequest::new(enrol.token, &key, nonce);
    let peer = Peer::new(&server, ca_pem.as_deref(), CONNECT_WITHIN.min(enrol.within));
    let enrolment = exchange(peer, enrol, &request)?;

    let text = text(enrol, &kept, &key_path, &enrolment);
    let ring = valid(&enrolment)?;
    let pinned = Trust::pinned(&ring, enrolment.root);
    let state = State {
        trust: Trust { epoch: enrolment.epoch, keys: enrolment.keys.clone(), root: enrolment.root },
        settings: enrolment.settings,
        settings_at: enrolment.since,
    };
    // Nobody puts what belongs to the old host file beside the new one.
    let lock = Lock::of(enrol.config).map_err(written(enrol.config))?;
    // From here on a run that is cut off finds the new host file aside, and goes on with this key.
    atomic::write_aside(&aside, text.as_bytes()).map_err(written(&aside))?;
    let new_key = atomic::aside(&key_path);
    if new_key.exists() {
        atomic::replace(&new_key, &key_path).map_err(written(&key_path))?;
    }
    state.keep(&lock, enrol.config, &pinned).map_err(written(enrol.config))?;
    atomic::replace(&aside, enrol.config).map_err(written(enrol.config))?;
    drop(lock);
    let config = Config::load(enrol.config, enrol.owner)?;
    Ok(Enrolled {
        hostname: config.hostname,
        key: key.public(),
        decision_keys: config.keys.keys().to_vec(),
        config: enrol.config.to_owned(),
    })
}

/// The lines of a host file that was there before, but for those that are written anew.
fn existing(enrol: &Enrol<'_>) -> Result<Vec<String>, EnrolError> {
    let bytes = match config::read_file(enrol.config, enrol.owner, Confidence::Secret, 64 * 1024) {
        Err(FileError::Read { cause: rustix::io::Errno::NOENT, .. }) => return Ok(Vec::new()),
        read => zeroize::Zeroizing::new(read?),
    };
    let ours = |line: &str| {
        let line = line.trim_start().trim_start_matches("export ").trim_start();
        let name = line.split('=').next().unwrap_or_default().trim();
        OURS.contains(&name) && (name != "IDENTREE_CA_CERT" || enrol.ca.is_some())
    };
    Ok(String::from_utf8_lossy(&bytes).lines().filter(|line| !ours(line)).map(str::to_owned).collect())
}

/// The key to enrol: that of a run that was cut off before or after the server took it, else a new one.
fn key(path: &Path, aside: &Path, owner: u32) -> Result<HostKey, EnrolError> {
    if aside.exists() && !atomic::aside(path).exists() && path.exists() {
        return Ok(config::read_key(path, owner)?);
    }
    Ok(identity::pending(path, owner)?)
}

fn exchange(peer: Peer<'_>, enrol: &Enrol<'_>, request: &EnrolRequest) -> Result<Enrolment, EnrolError> {
    let body = serde_json::to_vec(request).map_err(|error| TransportError::Foreign(error.to_string()))?;
    let asking = Asking { method: "POST", target: PATH, body: Some(&body) };
    let response = Connection::new(peer, Watch::default()).exchange(asking, || None, now() + enrol.within)?;
    let reply: EnrolReply = read(&response)?;
    reply.open(enrol.token, request).map_err(|_| EnrolError::Forged)
}

fn valid(enrolment: &Enrolment) -> Result<KeyRing, EnrolError> {
    let trust = Trust { epoch: enrolment.epoch, keys: enrolment.keys.clone(), root: enrolment.root };
    trust.ring(Timestamp::from_secs(calendar_secs())).map_err(|_| EnrolError::Forged)
}

fn text(enrol: &Enrol<'_>, kept: &[String], key_path: &Path, enrolment: &Enrolment) -> String {
    let mut lines = kept.to_vec();
    if lines.is_empty() {
        lines.push("# /etc/identree/client.conf: owner root, mode 0600. Written by enrolment.".to_owned());
    }
    let keys = valid(enrolment).map(|ring| ring.keys().iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    let mut set = |name: &str, value: &str| lines.push(format!("{name}={value}"));
    set("IDENTREE_SERVER_URL", enrol.server);
    set("IDENTREE_HOSTNAME", enrolment.host.as_str());
    set(KEY_FILE, &key_path.display().to_string());
    set("IDENTREE_DECISION_KEYS", &keys.unwrap_or_default());
    if let Some(root) = enrolment.root {
        set("IDENTREE_DECISION_ROOT", &root.to_string());
    }
    if let Some(ca) = enrol.ca {
        set("IDENTREE_CA_CERT", &ca.display().to_string());
    }
    lines.join("\n") + "\n"
}
