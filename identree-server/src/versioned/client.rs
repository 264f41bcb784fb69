//! Client settings as a file: `[client_defaults]` of the server's TOML file, or the same in JSON.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use identree_core::policy::Place;
use identree_core::syntax::is_json;
use identree_core::text::visible;
use identree_core::wire::settings::{ClientSettings, PasswordType};
use serde::Deserialize;

use super::text::{self, SyntaxError};

/// A file of client settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientFileError {
    /// Not of the right shape.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// One value does not make sense.
    #[error("{place}: client_defaults.{key} {message}")]
    Value {
        /// Which file.
        place: Place,
        /// Which key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// Reads such a file.
#[derive(Debug)]
pub struct ClientFile;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    client_defaults: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    poll_interval: Option<String>,
    timeout: Option<String>,
    breakglass_enabled: Option<bool>,
    breakglass_password_type: Option<String>,
    breakglass_rotation_days: Option<u32>,
}

impl ClientFile {
    /// The settings that the file says. What it does not name is not said.
    ///
    /// # Errors
    /// [`ClientFileError`] with file and line, or file and key.
    pub fn parse(path: &Path, text: &str) -> Result<ClientSettings, ClientFileError> {
        let FileText { client_defaults: table } =
            if is_json(path, text) { text::json(path, text)? } else { text::toml(path, text)? };
        let wrong = |key, message| ClientFileError::Value { place: text::at(path, None), key, message };
        let time = |key, value: Option<String>, most: u64| {
            let range = Duration::from_secs(1)..=Duration::from_secs(most);
            value.map(|value| duration(&value, range)).transpose().map_err(|message| wrong(key, message))
        };
        let days = 1..=3650;
        if let Some(number) = table.breakglass_rotation_days.filter(|number| !days.contains(number)) {
            return Err(wrong("breakglass_rotation_days", format!("= {number} is not a number from 1 to 3650")));
        }
        let kind = table.breakglass_password_type.map(|text| PasswordType::parse(&text).ok_or(text)).transpose();
        let kind = kind.map_err(|text| {
            let message = format!("= \"{}\" is none of random, alphanumeric and passphrase", visible(&text));
            wrong("breakglass_password_type", message)
        })?;
        Ok(ClientSettings {
            timeout: time("timeout", table.timeout, 86_400)?,
            hold: time("poll_interval", table.poll_interval, 25)?,
            break_glass: table.breakglass_enabled,
            password_type: kind,
            rotation_days: table.breakglass_rotation_days,
        })
    }
}

fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    humantime::parse_duration(text).ok().filter(|duration| range.contains(duration)).ok_or_else(|| {
        let (from, to) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        format!("= \"{}\" is not a duration from {from} to {to}, as in 20s", visible(text))
    })
}

/// What one server's own environment says stands before what is stored for all.
pub fn before(own: &ClientSettings, stored: &ClientSettings) -> ClientSettings {
    ClientSettings {
        timeout: own.timeout.or(stored.timeout),
        hold: own.hold.or(stored.hold),
        break_glass: own.break_glass.or(stored.break_glass),
        password_type: own.password_type.or(stored.password_type),
        rotation_days: own.rotation_days.or(stored.rotation_days),
    }
}

/// The names of the environment under which one server differs from what is stored for all.
pub fn differing(own: &ClientSettings, stored: &ClientSettings) -> Vec<&'static str> {
    fn other<T: PartialEq>(own: Option<&T>, stored: Option<&T>) -> bool {
        own.is_some() && own != stored
    }
    [
        ("IDENTREE_CLIENT_TIMEOUT", other(own.timeout.as_ref(), stored.timeout.as_ref())),
        ("IDENTREE_CLIENT_POLL_INTERVAL", other(own.hold.as_ref(), stored.hold.as_ref())),
        ("IDENTREE_CLIENT_BREAKGLASS_ENABLED", other(own.break_glass.as_ref(), stored.break_glass.as_ref())),
        ("IDENTREE_CLIENT_BREAKGLASS_PASSWORD_TYPE", other(own.password_type.as_ref(), stored.password_type.as_ref())),
        ("IDENTREE_CLIENT_BREAKGLASS_ROTATION_DAYS", other(own.rotation_days.as_ref(), stored.rotation_days.as_ref())),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
