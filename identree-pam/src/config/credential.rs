//! What the host proves itself with, as the host file says it: a key of its own, or a secret.

use std::path::{Path, PathBuf};

use identree_core::credential::{Credential, HostKey, HostSecret};

use super::file::{self, Confidence};
use super::{ConfigError, Read};

/// The setting that names the file with the host's own key.
pub(crate) const KEY_FILE: &str = "IDENTREE_HOST_KEY_FILE";
/// The setting of the MAC mode.
pub(crate) const SECRET: &str = "IDENTREE_SHARED_SECRET";

/// 64 digits and a line's end.
const MAX_KEY_BYTES: u64 = 128;

/// The credential; `key` is what the key file held, where one is named and was read.
pub(super) fn credential(settings: &Read<'_>, path: &Path, key: Option<HostKey>) -> Result<Credential, ConfigError> {
    let wrong = |line, problem: String| ConfigError::Line { path: path.to_owned(), line, problem };
    match (settings.get(KEY_FILE).copied(), settings.get(SECRET).copied()) {
        (Some((line, _)), Some(_)) => {
            Err(wrong(line, format!("{KEY_FILE} and {SECRET} exclude each other; remove {SECRET}")))
        }
        (Some((line, named)), None) => match key {
            _ if !Path::new(named).is_absolute() => Err(wrong(line, format!("{KEY_FILE} must be an absolute path"))),
            Some(key) => Ok(Credential::Key(key)),
            None => Err(wrong(line, format!("{KEY_FILE} was not read"))),
        },
        (None, Some((line, text))) => {
            HostSecret::parse(text).map(Credential::Secret).map_err(|e| wrong(line, format!("{SECRET}: {e}")))
        }
        (None, None) => Err(ConfigError::Missing { path: path.to_owned(), key: SECRET }),
    }
}

/// Reads a host key that nobody but `owner` can read.
///
/// # Errors
/// [`ConfigError`] if the file is not to be trusted, or holds something else.
pub(crate) fn read_key(path: &Path, owner: u32) -> Result<HostKey, ConfigError> {
    let bytes = zeroize::Zeroizing::new(file::read(path, owner, Confidence::Sealed, MAX_KEY_BYTES)?);
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    HostKey::parse(text.trim_end()).map_err(|source| ConfigError::Key { path: PathBuf::from(path), source })
}
