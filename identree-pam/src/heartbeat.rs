//! What this host says of itself: to its server every few minutes, and to whoever asks on the spot.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::text::hex;
use identree_core::wire::heartbeat::{Asks, BreakGlass, Heartbeat, HeartbeatReply, MAX_TEXT_BYTES, PATH};
use identree_core::wire::v1::VERSION;
use sha2::{Digest as _, Sha256};

use crate::clock::calendar_secs;
use crate::config::{Config, ConfigError};
use crate::glass::{self, HashFile};
use crate::setup::plan::{Places, SERVICES};
use crate::setup::stack::asks;
use crate::state::State;
use crate::transport::{Direct, TransportError, Watch};

/// How long the server has, connecting included.
const WITHIN: Duration = Duration::from_secs(10);
/// Settings whose values are secret: of these the digest has the names alone.
const SECRETS: [&str; 1] = ["IDENTREE_SHARED_SECRET"];

/// Why the server was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeartbeatError {
    /// No host file that can be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server did not take it. A redirect counts as this too.
    #[error("the server did not take the heartbeat: {0}")]
    Server(#[from] TransportError),
    /// It could not be written down, which it always can.
    #[error("the heartbeat is no JSON: {0}")]
    Form(#[from] serde_json::Error),
}

/// Where things are and whose they must be.
#[derive(Debug, Clone)]
pub struct Here<'a> {
    /// Where setup finds things.
    pub places: &'a Places,
    /// The host file.
    pub config: &'a Path,
    /// Uses of the break-glass password.
    pub glass: PathBuf,
    /// Who must own them.
    pub owner: u32,
}

/// How this host stands, by what its files say. Whether a door really asks, only `doctor` tries.
pub fn collect(here: &Here<'_>, config: Option<&Config>) -> Heartbeat {
    let text = fs::read(here.config).unwrap_or_default();
    Heartbeat {
        v: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os_info: os_info(),
        config_digest: digest(&String::from_utf8_lossy(&text)),
        time_secs: calendar_secs(),
        services: services(here.places),
        plugin: plugin(here.places),
        break_glass: break_glass(here, config),
    }
}

/// Sends it, under this host's credential.
///
/// # Errors
/// [`HeartbeatError`]: anything but a success of the host API.
pub fn send(config: &Config, heartbeat: &Heartbeat) -> Result<HeartbeatReply, HeartbeatError> {
    let body = serde_json::to_vec(heartbeat)?;
    Ok(Direct::new(config, Watch::default()).fetch("POST", PATH, Some(&body), WITHIN)?)
}

fn services(places: &Places) -> BTreeMap<String, Asks> {
    let load = |name: &str| {
        let name = Path::new(name).file_name()?;
        [places.pam.join(name), places.vendor_pam.join(name)].iter().find_map(|path| fs::read(path).ok())
    };
    // su is a door only where setup was asked to gate it: a password of root's own is the administrator's choice.
    let watched = SERVICES.iter().filter(|service| load(service).is_some());
    let found = watched.map(|service| (service, asks(service, &load)));
    found
        .filter(|(service, phases)| service.starts_with("sudo") || phases.auth || phases.account)
        .map(|(service, phases)| ((*service).to_owned(), Asks { auth: phases.auth, account: phases.account }))
        .collect()
}

fn plugin(places: &Places) -> bool {
    let object = places.libexec.join("sudo_identree.so");
    let text = fs::read_to_string(&places.sudo_conf).unwrap_or_default();
    let loads = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        words.next() == Some("Plugin")
            && words.next() == Some("identree_approval")
            && words.next().is_some_and(|path| Path::new(path) == object)
    };
    object.exists() && text.lines().any(loads)
}

fn break_glass(here: &Here<'_>, config: Option<&Config>) -> BreakGlass {
    let file = config.and_then(|config| config.break_glass.as_ref());
    let hash = file.and_then(|file| HashFile::load(file, here.owner).ok().flatten());
    let state = State::open(&here.glass, here.owner).ok();
    // It needs a conversation, which the helper under pam_exec does not have, and a folder to count tries in.
    let module = here.places.libexec.join("pam_identree.so").exists();
    let created = hash.as_ref().map_or(0, |hash| hash.created);
    let uses = state.as_ref().and_then(|state| glass::uses(state).ok()).unwrap_or_default();
    let used = uses.iter().filter(|used| used.at >= created).count();
    BreakGlass {
        usable: hash.is_some() && state.is_some() && module,
        created_secs: created,
        used: u32::try_from(used).unwrap_or(u32::MAX),
    }
}

fn digest(text: &str) -> String {
    let mut hash = Sha256::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split('=').next().unwrap_or_default();
        let secret = SECRETS.iter().any(|secret| name.trim_start_matches("export ").trim() == *secret);
        hash.update(if secret { name } else { line });
        hash.update("\n");
    }
    hex(&hash.finalize())
}

/// `PRETTY_NAME` of os-release(5), as far as it is text of a reasonable length.
fn os_info() -> String {
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or("Linux", |name| name.trim_matches('"'));
    let mut end = name.len().min(MAX_TEXT_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_tells_settings_apart_and_no_secret() {
        let one = "IDENTREE_HOSTNAME=a\nIDENTREE_SHARED_SECRET=1\n";
        assert_eq!(digest(one), digest("# x\n\nIDENTREE_HOSTNAME=a\nIDENTREE_SHARED_SECRET=2\n"));
        assert_ne!(digest(one), digest("IDENTREE_HOSTNAME=b\nIDENTREE_SHARED_SECRET=1\n"));
        assert_eq!(digest(one).len(), 64);
        assert!(!os_info().is_empty());
    }

    #[test]
    fn files_that_are_not_there_are_no_gate() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let places = Places {
            pam: at("pam.d"),
            vendor_pam: at("vendor"),
            sudo_conf: at("sudo.conf"),
            libexec: at("libexec"),
            ..Places::default()
        };
        fs::create_dir_all(&places.pam).unwrap();
        fs::create_dir_all(&places.libexec).unwrap();
        fs::write(places.pam.join("sudo"), "auth requisite /usr/libexec/identree/pam_identree.so\n").unwrap();
        fs::write(places.pam.join("su"), "auth required pam_unix.so\n").unwrap();
        let config = at("client.conf");
        let here = Here { places: &places, config: &config, glass: at("glass"), owner: 0 };
        let heartbeat = collect(&here, None);
        assert_eq!(heartbeat.services, [("sudo".to_owned(), Asks { auth: true, account: false })].into());
        assert!(!heartbeat.plugin && !heartbeat.break_glass.usable && heartbeat.is_bounded());

        let object = places.libexec.join("sudo_identree.so");
        fs::write(&places.sudo_conf, format!("# x\nPlugin identree_approval {}\n", object.display())).unwrap();
        assert!(!collect(&here, None).plugin, "a line for an object that is not there");
        fs::write(&object, "").unwrap();
        assert!(collect(&here, None).plugin);
    }
}
