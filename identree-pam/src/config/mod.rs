//! The host file, `/etc/identree/client.conf`: one file, one owner, no environment variable.

mod credential;
mod file;
pub(crate) mod parse;
pub mod state;
mod told;
mod url;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::credential::{Credential, CredentialError, HostKey};
use identree_core::grant::{KeyRing, PublicKey, Trust};
use identree_core::id::HostName;
use identree_core::time::Timestamp;
use identree_core::wire::settings::ClientSettings;
use zeroize::Zeroizing;

pub(crate) use self::credential::{KEY_FILE, SECRET, read_key};
pub use self::file::{Confidence, FileError};
pub(crate) use self::file::{read as read_file, trusted_program};
use self::state::State;
pub use self::url::{ServerUrl, UrlError};
use crate::text::Language;

/// Where the host file is.
pub const PATH: &str = "/etc/identree/client.conf";

/// The program that runs, whatever it is called by now.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// The names that have an effect.
const KEYS: [&str; 17] = [
    "IDENTREE_SERVER_URL",
    "IDENTREE_HOSTNAME",
    SECRET,
    KEY_FILE,
    "IDENTREE_DECISION_KEYS",
    "IDENTREE_DECISION_ROOT",
    "IDENTREE_CA_CERT",
    "IDENTREE_TIMEOUT",
    "IDENTREE_CONNECT_TIMEOUT",
    "IDENTREE_INSECURE_HTTP",
    "IDENTREE_LANGUAGE",
    "IDENTREE_QR",
    "IDENTREE_BREAKGLASS_ENABLED",
    "IDENTREE_BREAKGLASS_FILE",
    "IDENTREE_BREAKGLASS_PASSWORD_TYPE",
    "IDENTREE_BREAKGLASS_ROTATION_DAYS",
    "IDENTREE_POLL_INTERVAL",
];

/// Names of other clients' files that are known and have no effect yet.
const NO_EFFECT_YET: [&str; 8] = [
    "IDENTREE_CLIENT_CERT",
    "IDENTREE_CLIENT_KEY",
    "IDENTREE_BREAKGLASS_BCRYPT_COST",
    "IDENTREE_INSECURE_ALLOW_HTTP_ESCROW",
    "IDENTREE_TOKEN_CACHE_ENABLED",
    "IDENTREE_TOKEN_CACHE_DIR",
    "IDENTREE_TOKEN_CACHE_ISSUER",
    "IDENTREE_TOKEN_CACHE_CLIENT_ID",
];

/// 64 KiB: far more than any such file.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// 1 MiB: several times a whole system's bundle of authorities.
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// How this host asks.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where.
    pub server: ServerUrl,
    /// The name this host is registered under.
    pub hostname: HostName,
    /// What this host alone proves itself with.
    pub credential: Credential,
    /// Whose answers count now.
    pub keys: KeyRing,
    /// Whose answers the file itself says count.
    pub pinned: Trust,
    /// What the server has told since.
    pub told: State,
    /// What the file says of the settings that a server may push.
    pub local: ClientSettings,
    /// What holds of them: the file's where the server's would be weaker.
    pub settings: ClientSettings,
    /// How long one waiting request rests at the server.
    pub hold: Duration,
    /// Where the file is; what the server tells is kept beside it.
    pub path: Option<PathBuf>,
    /// Whose it must be.
    pub owner: u32,
    /// When it was read, by the calendar.
    pub read_at: Timestamp,
    /// The authorities to trust, in PEM; without any, the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// How long to wait for an answer, in all.
    pub timeout: Duration,
    /// How long reaching the server may take, name resolution included.
    pub connect_timeout: Duration,
    /// The file with the hash of the break-glass password, unless this host has none.
    pub break_glass: Option<PathBuf>,
    /// In which language the terminal is spoken to.
    pub language: Language,
    /// Whether the link is drawn too, where the terminal can show it.
    pub qr: bool,
    /// The helper's program, which resolves names; not in the file, but known to whoever reads it.
    pub resolver: PathBuf,
    /// What the file says that has no effect yet.
    pub no_effect: Vec<&'static str>,
}

/// Why there is no configuration. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that is not to be trusted, or not there.
    #[error(transparent)]
    File(#[from] FileError),
    /// One line is wrong.
    #[error("{}:{line}: {problem}", .path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong; never the value of a secret.
        problem: String,
    },
    /// The host's own key is no key.
    #[error("{}: {source}", .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: CredentialError,
    },
    /// What the server has told is damaged.
    #[error("{0}: is damaged; remove it if the keys in client.conf are those of the server, else enrol again", .path.display())]
    State {
        /// Which file.
        path: PathBuf,
    },
    /// A setting that must be given is not.
    #[error("{}: {key} is missing; `identree add-host` on the server prints it", .path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Which setting.
        key: &'static str,
    },
}

type Read<'a> = BTreeMap<&'static str, (usize, &'a str)>;

impl Config {
    /// Reads the host file at `path` if `owner` alone can have written it, and the files that belong to it.
    ///
    /// # Errors
    /// [`ConfigError`] for anything that is not exactly right.
    pub fn load(path: &Path, owner: u32) -> Result<Self, ConfigError> {
        let bytes = Zeroizing::new(file::read(path, owner, Confidence::Secret, MAX_FILE_BYTES)?);
        let line = |line, problem: String| ConfigError::Line { path: path.to_owned(), line, problem };
        let text = std::str::from_utf8(&bytes).map_err(|_| line(1, "the file is not UTF-8 text".into()))?;
        let named = read(text, path)?.0.get(KEY_FILE).map(|(_, named)| Path::new(*named).to_owned());
        let key = named.filter(|named| named.is_absolute()).map(|named| read_key(&named, owner)).transpose()?;
        let mut config = Self::assemble(text, path, key)?;
        (config.path, config.owner) = (Some(path.to_owned()), owner);
        config.told = State::load(path, owner, config.pinned.clone())?;
        config.take_over();
        if let Some((_, ca)) = read(text, path)?.0.get("IDENTREE_CA_CERT") {
            config.ca_pem = Some(file::read(Path::new(ca), owner, Confidence::Public, MAX_CA_BYTES)?);
        }
        Ok(config)
    }

    /// Reads the text of a host file, without the files that belong to it: it must hold a secret then, not name a key.
    ///
    /// # Errors
    /// [`ConfigError`] with `path` and the line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::assemble(text, path, None)
    }

    fn assemble(text: &str, path: &Path, key: Option<HostKey>) -> Result<Self, ConfigError> {
        let (settings, mut no_effect) = read(text, path)?;
        // Read and held against what a server pushes, for whoever makes such passwords; nothing on a host does so yet.
        let unused = ["IDENTREE_BREAKGLASS_PASSWORD_TYPE", "IDENTREE_BREAKGLASS_ROTATION_DAYS"];
        no_effect.extend(unused.iter().filter(|key| settings.contains_key(*key)));
        let get = |key: &'static str| settings.get(key).copied();
        let need = |key| get(key).ok_or_else(|| ConfigError::Missing { path: path.to_owned(), key });
        let wrong = |line, problem: String| ConfigError::Line { path: path.to_owned(), line, problem };
        let span = |key: &'static str, default: Duration, least: Duration, most: Duration| match get(key) {
            None => Ok(default),
            Some((line, text)) => parse::duration(text)
                .filter(|span| (least..=most).contains(span))
                .ok_or_else(|| wrong(line, format!("{key} must be a time like 90s or 5m, from {least:?} to {most:?}"))),
        };

        let (line, text) = need("IDENTREE_SERVER_URL")?;
        let server = ServerUrl::parse(text).map_err(|e| wrong(line, format!("IDENTREE_SERVER_URL {e}")))?;
        let flag = |key: &'static str, default: bool| match get(key) {
            None => Ok(default),
            Some((_, "false")) => Ok(false),
            Some((_, "true")) => Ok(true),
            Some((line, _)) => Err(wrong(line, format!("{key} must be true or false"))),
        };
        let insecure = flag("IDENTREE_INSECURE_HTTP", false)?;
        if !server.tls && !server.is_loopback() && !insecure {
            let problem = "IDENTREE_SERVER_URL must be https: over http anybody on the network sees every question";
            return Err(wrong(line, problem.into()));
        }
        let (line, text) = need("IDENTREE_HOSTNAME")?;
        let hostname = HostName::parse(text).map_err(|e| wrong(line, format!("IDENTREE_HOSTNAME: {e}")))?;
        let credential = credential::credential(&settings, path, key)?;
        let (line, text) = need("IDENTREE_DECISION_KEYS")?;
        let keys = KeyRing::parse(text).map_err(|e| wrong(line, format!("IDENTREE_DECISION_KEYS: {e}")))?;
        let root = match get("IDENTREE_DECISION_ROOT") {
            None => None,
            Some((line, text)) => {
                let root: Result<PublicKey, _> = text.parse();
                Some(root.map_err(|e| wrong(line, format!("IDENTREE_DECISION_ROOT: {e}")))?)
            }
        };
        let pinned = Trust::pinned(&keys, root);
        if let Some((line, ca)) = get("IDENTREE_CA_CERT")
            && !Path::new(ca).is_absolute()
        {
            return Err(wrong(line, "IDENTREE_CA_CERT must be an absolute path".into()));
        }
        let language = match get("IDENTREE_LANGUAGE") {
            None => Language::default(),
            Some((line, tag)) => {
                Language::parse(tag).ok_or_else(|| wrong(line, "IDENTREE_LANGUAGE must be en or de".into()))?
            }
        };
        let break_glass = match get("IDENTREE_BREAKGLASS_FILE") {
            None => Path::new(crate::glass::PATH),
            Some((_, path)) if Path::new(path).is_absolute() => Path::new(path),
            Some((line, _)) => return Err(wrong(line, "IDENTREE_BREAKGLASS_FILE must be an absolute path".into())),
        };
        let local = told::local(&settings, path)?;
        let mut config = Self {
            server,
            hostname,
            credential,
            keys,
            told: State::pinned(pinned.clone()),
            pinned,
            ca_pem: None,
            qr: flag("IDENTREE_QR", true)?,
            resolver: OWN_PROGRAM.into(),
            break_glass: Some(break_glass.to_owned()),
            language,
            local,
            settings: local,
            timeout: Duration::ZERO,
            hold: Duration::ZERO,
            path: None,
            owner: 0,
            read_at: told::read_at(),
            connect_timeout: span(
                "IDENTREE_CONNECT_TIMEOUT",
                Duration::from_millis(2800), // so that the person is told within three seconds
                Duration::from_millis(100),
                Duration::from_secs(60),
            )?,
            no_effect,
        };
        config.take_over();
        Ok(config)
    }

    /// Whether questions travel unprotected, which is then said each time.
    pub fn is_insecure(&self) -> bool {
        !self.server.tls && !self.server.is_loopback()
    }
}

/// The settings by name with their lines, and the known names that have no effect yet.
fn read<'a>(text: &'a str, path: &Path) -> Result<(Read<'a>, Vec<&'static str>), ConfigError> {
    let mut settings = Read::new();
    let mut no_effect = Vec::new();
    for (line, setting) in parse::settings(text) {
        let wrong = |problem: String| ConfigError::Line { path: path.to_owned(), line, problem };
        let setting = setting.map_err(|e| wrong(e.to_string()))?;
        if let Some(key) = KEYS.iter().find(|key| **key == setting.key) {
            if settings.insert(key, (line, setting.value)).is_some() {
                return Err(wrong(format!("{key} is given twice")));
            }
        } else if let Some(key) = NO_EFFECT_YET.iter().find(|key| **key == setting.key) {
            no_effect.push(*key);
        } else {
            let known = KEYS.iter().chain(&NO_EFFECT_YET).copied();
            let hint =
                parse::nearest(setting.key, known).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            // Only what looks like a name is told: on a line that went wrong a secret may stand there.
            let named = setting.key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            let name = if named { format!(" '{}'", setting.key) } else { String::new() };
            return Err(wrong(format!("unknown setting{name}{hint}")));
        }
    }
    Ok((settings, no_effect))
}

#[cfg(test)]
mod tests;
