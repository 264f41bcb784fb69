//! Where values come from: environment, then the KEY=VALUE file, then the TOML file, then the default. The only reader of
//! the process environment.

use std::collections::BTreeMap;
use std::path::Path;

use identree_core::canon::sha256;
use identree_core::text::{hex, visible};

use super::Problem;
use super::table::{self, Kind, TABLE, TOML_FILE};

/// The seeds' fixed places.
const CONF_FILE: &str = "/etc/identree/identree.conf";
/// What programs written in Rust go by.
const RUST_LOG: &str = "RUST_LOG";
/// Where a value stands that no file gives.
const ENVIRONMENT: &str = "the environment";
const DEFAULT_TOML_FILE: &str = "/etc/identree/config.toml";

/// What was found: the value of each set name, with where it stands.
#[derive(Debug, Default)]
pub struct Found {
    values: BTreeMap<String, (String, String)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is odd, but does not stop the start.
    pub warnings: Vec<String>,
    /// `RUST_LOG`, which counts where the program's own level is not set.
    pub rust_log: Option<String>,
}

/// Reads the process environment and the files it leads to.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn read() -> Found {
    // A name or value that is not UTF-8 cannot be one of ours.
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let ours = |(name, _): &(String, String)| {
        name.starts_with("IDENTREE_") || name == RUST_LOG || name.starts_with("OTEL_") && known(name).is_some()
    };
    let mut environment: BTreeMap<String, String> = environment.filter(ours).collect();
    let rust_log = environment.remove(RUST_LOG).filter(|level| !level.is_empty());
    let toml = environment.get(TOML_FILE).map_or(DEFAULT_TOML_FILE, String::as_str);
    Found { rust_log, ..collect(&environment, Path::new(CONF_FILE), Path::new(toml)) }
}

/// The same from given places.
pub(super) fn collect(environment: &BTreeMap<String, String>, conf: &Path, toml: &Path) -> Found {
    let mut found = Found::default();
    found.toml_file(toml);
    found.conf_file(conf);
    found.environment(environment);
    found.secret_files();
    if found.get("IDENTREE_AUDIT_BUFFER_SIZE").is_some() {
        found.warnings.push(
            "IDENTREE_AUDIT_BUFFER_SIZE has no effect: no event is dropped, and what is not shipped yet stays in the database"
                .to_owned(),
        );
    }
    found
}

impl Found {
    /// The value of a name, with where it stands.
    pub fn get(&self, name: &str) -> Option<(&str, &str)> {
        self.values.get(name).map(|(value, place)| (value.as_str(), place.as_str()))
    }

    /// Names that are set in the environment of the process itself.
    pub fn from_environment(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter(|(_, (_, place))| place == ENVIRONMENT).map(|(name, _)| name.as_str())
    }

    /// Names that are set and have no effect yet.
    pub fn without_effect(&self) -> impl Iterator<Item = &'static str> {
        TABLE
            .iter()
            .filter(|entry| entry.help.is_none() && self.values.contains_key(entry.name))
            .map(|entry| entry.name)
    }

    /// SHA-256 of every name that is set with its value, in the order of names: two servers that agree in it are configured
    /// alike. Secrets are left out, and what stands before an `@` in a URL.
    pub fn digest(&self) -> String {
        let known =
            self.values.iter().filter(|(name, _)| table::find(name).is_some_and(|entry| entry.kind != Kind::Secret));
        let mut text = String::new();
        for (name, (value, _)) in known {
            let shown = match value.split_once("://") {
                Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
                None => value.clone(),
            };
            text.extend([name, "=", &shown, "\n"]);
        }
        hex(&sha256(text.as_bytes()))
    }

    fn problem(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem { place: place.into(), text: text.into() });
    }

    fn text_of(&mut self, path: &Path) -> Option<String> {
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.problem(path.display().to_string(), format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        for (name, value) in environment {
            // As in the seeds an empty variable is an unset one; the notification channels have names of their own.
            if value.is_empty() || name == TOML_FILE || name.starts_with("IDENTREE_NOTIFY_CHANNEL_") {
                continue;
            }
            match known(name) {
                Some(name) => self.set(&name, value, ENVIRONMENT),
                None => self.warnings.push(unknown(name)),
            }
        }
    }

    fn conf_file(&mut self, path: &Path) {
        if let Some(text) = self.text_of(path) {
            self.conf_text(&text, path);
        }
    }

    fn conf_text(&mut self, text: &str, path: &Path) {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                self.problem(place, "is not NAME=VALUE");
                continue;
            };
            let value = value.trim();
            let quoted = |q: char| value.strip_prefix(q).and_then(|value| value.strip_suffix(q));
            let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
            match known(name.trim()) {
                Some(name) => self.set(&name, value, &place),
                None => self.problem(place, unknown(name.trim())),
            }
        }
    }

    fn toml_file(&mut self, path: &Path) {
        if let Some(text) = self.text_of(path) {
            self.toml_text(&text, path);
        }
    }

    fn toml_text(&mut self, text: &str, path: &Path) {
        let place = path.display().to_string();
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            // The message alone: the line itself may hold a secret.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let place = format!("{place}:{}", before.matches('\n').count() + 1);
                return self.problem(place, visible(error.message()).into_owned());
            }
        };
        for (section, keys) in table {
            let toml::Value::Table(keys) = keys else {
                self.problem(&place, format!("\"{}\" stands outside a [section]", visible(&section)));
                continue;
            };
            for (key, value) in keys {
                let full = format!("{section}.{key}");
                let Some(entry) = TABLE.iter().find(|entry| entry.toml == Some(&full)) else {
                    let nearest = table::nearest(&full, TABLE.iter().filter_map(|entry| entry.toml));
                    let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
                    self.problem(&place, format!("unknown key {}{hint}", visible(&full)));
                    continue;
                };
                match plain(&value) {
                    Some(value) => self.set(entry.name, &value, &format!("{place} ({full})")),
                    None => {
                        self.problem(&place, format!("{full} must be a text, a number, a boolean or a list of texts"));
                    }
                }
            }
        }
    }

    fn set(&mut self, name: &str, value: &str, place: &str) {
        self.values.insert(name.to_owned(), (value.to_owned(), place.to_owned()));
    }

    /// Replaces each `NAME_FILE` by the file's content, without the line's end.
    fn secret_files(&mut self) {
        for entry in TABLE.iter().filter(|entry| entry.kind == Kind::Secret) {
            let twin = twin(entry.name);
            let Some((path, place)) = self.values.remove(&twin) else { continue };
            if self.values.contains_key(entry.name) {
                self.problem(place, format!("{} and {twin} are both set; remove one", entry.name));
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => self.set(entry.name, text.trim_end_matches(['\r', '\n']), &path),
                Err(error) => self.problem(place, format!("{twin}: {} cannot be read: {error}", visible(&path))),
            }
        }
    }
}

/// The same from texts; no file is read.
#[cfg(feature = "fuzzing")]
pub(crate) fn from_texts(environment: &BTreeMap<String, String>, conf: Option<&str>, toml: Option<&str>) -> Found {
    let mut found = Found::default();
    found.toml_text(toml.unwrap_or_default(), Path::new("config.toml"));
    found.conf_text(conf.unwrap_or_default(), Path::new("identree.conf"));
    found.environment(environment);
    found
}

/// The known spelling of a name, `_FILE` twins of secrets included.
fn known(name: &str) -> Option<String> {
    if let Some(entry) = table::find(name) {
        return Some(entry.name.to_owned());
    }
    let secret = table::find(name.strip_suffix("_FILE")?).filter(|entry| entry.kind == Kind::Secret)?;
    Some(twin(secret.name))
}

/// The name of a secret's `_FILE` twin.
fn twin(name: &str) -> String {
    format!("{name}_FILE")
}

fn unknown(name: &str) -> String {
    let nearest = table::nearest(name, TABLE.iter().map(|entry| entry.name));
    let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
    // Only what looks like a name is told: on a line that went wrong a secret may stand there.
    let named = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    format!("unknown name{}{hint}", if named { format!(" {name}") } else { String::new() })
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}
