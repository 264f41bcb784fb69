//! What a server has told this host since its file was written: newer decision keys, and settings. Root's own file beside the
//! host file, named `client.state`; whoever changes the keys in the host file makes it void.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::canon::sha256;
use identree_core::grant::Trust;
use identree_core::text::hex;
use identree_core::time::Timestamp;
use identree_core::wire::settings::ClientSettings;
use rustix::event::Timespec;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::file::{self, Confidence, FileError};
use crate::atomic;
use crate::lock::{Patience, take};

/// Its name beside the host file.
pub const NAME: &str = "client.state";

/// Beside it: held while it is changed.
const LOCK: &str = "client.state.lock";
const PATIENCE: Patience =
    Patience { within: Duration::from_secs(1), retry: Timespec { tv_sec: 0, tv_nsec: 2_000_000 } };

/// Sixteen keys and a line of settings.
const MAX_BYTES: u64 = 16 * 1024;

/// What was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whose answers count.
    pub trust: Trust,
    /// What the server asks of its hosts.
    pub settings: ClientSettings,
    /// When it last said so, by its clock.
    pub settings_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// SHA-256 of what the host file said when this was written.
    pinned: String,
    trust: Trust,
    settings: String,
    settings_at: Timestamp,
}

impl State {
    /// As the host file alone says it.
    pub fn pinned(trust: Trust) -> Self {
        Self { trust, settings: ClientSettings::default(), settings_at: Timestamp::default() }
    }

    /// Reads what was kept beside the host file `config`, which pins this.
    ///
    /// # Errors
    /// [`ConfigError`] if it is there and cannot be trusted: without it an old key could be believed again.
    pub fn load(config: &Path, owner: u32, pinned: Trust) -> Result<Self, ConfigError> {
        let path = config.with_file_name(NAME);
        let bytes = match file::read(&path, owner, Confidence::Sealed, MAX_BYTES) {
            Err(FileError::Read { cause: rustix::io::Errno::NOENT, .. }) => return Ok(Self::pinned(pinned)),
            read => read?,
        };
        Self::decode(&bytes, pinned).ok_or(ConfigError::State { path })
    }

    /// Reads the bytes of a state file; a state of other keys than the pinned ones is void.
    pub fn decode(bytes: &[u8], pinned: Trust) -> Option<Self> {
        let written: Written = serde_json::from_slice(bytes).ok()?;
        if written.pinned != digest(&pinned) {
            return Some(Self::pinned(pinned));
        }
        let lasting = written.trust.keys.first().is_some_and(|first| first.until.is_none());
        let same_root = written.trust.root == pinned.root;
        let state = Self {
            settings: ClientSettings::parse(&written.settings),
            trust: written.trust,
            settings_at: written.settings_at,
        };
        (lasting && same_root).then_some(state)
    }

    /// Keeps it beside the host file, under the lock of that.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn keep(&self, _: &Lock, config: &Path, pinned: &Trust) -> io::Result<()> {
        atomic::write(&config.with_file_name(NAME), &self.encode(pinned)?)
    }

    fn encode(&self, pinned: &Trust) -> io::Result<Vec<u8>> {
        let written = Written {
            pinned: digest(pinned),
            trust: self.trust.clone(),
            settings: self.settings.to_string(),
            settings_at: self.settings_at,
        };
        Ok(serde_json::to_vec(&written)?)
    }
}

fn digest(pinned: &Trust) -> String {
    let mut bytes = Vec::new();
    for key in pinned.keys.iter().map(|trusted| &trusted.key).chain(&pinned.root) {
        bytes.extend_from_slice(key.as_bytes());
    }
    bytes.push(u8::from(pinned.root.is_some()));
    hex(&sha256(&bytes))
}

/// While it lives, no other process changes the state, or the host file that it belongs to.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the lock is the open file")] File);

impl Lock {
    /// Waits a second for it: who has it for longer was stopped, perhaps on purpose, and is not to hold up anybody.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn of(config: &Path) -> io::Result<Self> {
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).map_err(io::Error::other)?;
        // Root's alone, so that nobody else can take the lock.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(config.with_file_name(LOCK))?;
        if !take(&file, PATIENCE)? {
            let held = "another process holds client.state.lock (`fuser` shows which); end that, then run this again";
            return Err(io::Error::other(held));
        }
        Ok(Self(file))
    }
}

/// Where the state of a host file is.
pub fn path(config: &Path) -> PathBuf {
    config.with_file_name(NAME)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use identree_core::credential::HostKey;
    use identree_core::grant::{KeyRing, PublicKey, TrustedKey};
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        HostKey::from_seed(&[seed; 32]).public()
    }

    fn pinned(seed: u8) -> Trust {
        Trust::pinned(&KeyRing::new(vec![key(seed)]).unwrap(), None)
    }

    fn state() -> State {
        State {
            trust: Trust { epoch: 4, keys: vec![TrustedKey { key: key(2), until: None }], root: None },
            settings: ClientSettings { timeout: Some(Duration::from_secs(9)), ..ClientSettings::default() },
            settings_at: Timestamp::from_secs(8),
        }
    }

    #[test]
    fn what_was_told_is_found_again_until_the_host_file_names_other_keys() {
        let folder = tempfile::tempdir().unwrap();
        let (config, owner) = (folder.path().join("client.conf"), rustix::process::geteuid().as_raw());
        assert_eq!(State::load(&config, owner, pinned(1)).unwrap(), State::pinned(pinned(1)));
        state().keep(&Lock::of(&config).unwrap(), &config, &pinned(1)).unwrap();
        assert_eq!(State::load(&config, owner, pinned(1)).unwrap(), state());
        assert_eq!(State::load(&config, owner, pinned(3)).unwrap(), State::pinned(pinned(3)), "the operator decided");
    }

    #[test]
    fn a_damaged_or_foreign_state_is_refused_and_never_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (config, owner) = (folder.path().join("client.conf"), rustix::process::geteuid().as_raw());
        state().keep(&Lock::of(&config).unwrap(), &config, &pinned(1)).unwrap();
        assert!(State::load(&config, owner + 1, pinned(1)).is_err());
        std::fs::write(path(&config), b"{}").unwrap();
        let error = State::load(&config, owner, pinned(1)).unwrap_err().to_string();
        assert!(error.contains("client.state"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(State::decode(&bytes, pinned(1)).is_none());
        }
    }
}
