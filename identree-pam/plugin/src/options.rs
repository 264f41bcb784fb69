//! What stands behind the plugin's path in sudo.conf.

use std::path::PathBuf;

use identree_core::text::visible_bytes;
use identree_pam::config;

/// The host file. An unknown option is an error with its remedy: a mistyped one must not weaken anything.
pub(crate) fn host_file(options: &[Vec<u8>]) -> Result<PathBuf, String> {
    let mut path = PathBuf::from(config::PATH);
    for option in options {
        match std::str::from_utf8(option).ok().and_then(|option| option.strip_prefix("config=")) {
            Some(given) if given.starts_with('/') => path = given.into(),
            Some(_) => return Err("option config= in sudo.conf needs an absolute path".into()),
            None => {
                return Err(format!("unknown option '{}' in sudo.conf; see sudo_identree(8)", visible_bytes(option)));
            }
        }
    }
    Ok(path)
}
