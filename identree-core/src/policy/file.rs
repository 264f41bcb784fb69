//! The policy file: one model, written in JSON or in TOML, and where in it a mistake stands.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rule::RuleError;
use crate::text::visible;

/// One rule as it is written. Every name is accepted in both formats; an unknown one is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleText {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) match_hosts: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) match_users: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) match_host_groups: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) match_kinds: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) match_commands: Option<Vec<String>>,
    #[serde(default)]
    pub(super) action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) require_admin: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min_approvals: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) requester_may_approve: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) number_match: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) require_fresh_oidc: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) allowed_hours: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) allowed_days: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auto_approve_grace: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) break_glass_bypass: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) notify_channels: Option<Vec<String>>,
}

/// What a rule does with the questions that it matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Allow,
    #[default]
    Ask,
    Refuse,
}

/// The whole file; `R` is a rule, with or without its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText<R> {
    policies: Vec<R>,
}

/// Where in a policy file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, if the text came from one.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The column in characters, counted from 1.
    pub column: Option<usize>,
}

impl fmt::Display for Place {
    /// `policies.json:12:5`, or `line 12` without a file name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => f.write_str(&visible(file))?,
            None => f.write_str("policies")?,
        }
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// A policy file that cannot be used. Nothing of it is in force then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// Larger than any policy file.
    #[error("{place}: the file is larger than {max} bytes")]
    TooLarge {
        /// Which file.
        place: Place,
        /// The limit in bytes.
        max: usize,
    },
    /// Neither JSON nor TOML of the right shape: a bracket missing, an unknown name, a wrong type.
    #[error("{place}: {message}")]
    Syntax {
        /// Where the parser stopped.
        place: Place,
        /// What it says.
        message: String,
    },
    /// One rule does not make sense.
    #[error("{place}: policy \"{}\": {error}", visible(.name))]
    Rule {
        /// Where the rule begins.
        place: Place,
        /// Its name, as it is written.
        name: String,
        /// What is wrong, and the remedy.
        error: Box<RuleError>,
    },
}

/// The two formats of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
}

impl Format {
    /// By the ending of the name, else by the first character: a TOML document cannot begin with a brace.
    pub(super) fn guess(path: &Path, text: &str) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some(ending) if ending.eq_ignore_ascii_case("json") => Self::Json,
            Some(ending) if ending.eq_ignore_ascii_case("toml") => Self::Toml,
            _ if text.trim_start().starts_with('{') => Self::Json,
            _ => Self::Toml,
        }
    }
}

/// The largest policy file, in bytes: thousands of rules.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The rules of the file in its order, each with the line on which it begins.
pub(super) fn read(text: &str, format: Format, file: Option<&str>) -> Result<Vec<(Place, RuleText)>, PolicyFileError> {
    let place = |line, column| Place { file: file.map(str::to_owned), line, column };
    if text.len() > MAX_BYTES {
        return Err(PolicyFileError::TooLarge { place: place(None, None), max: MAX_BYTES });
    }
    match format {
        Format::Toml => {
            let parsed: FileText<toml::Spanned<RuleText>> = toml::from_str(text).map_err(|error| {
                let at = error.span().map(|span| position(text, span.start)).unzip();
                PolicyFileError::Syntax { place: place(at.0, at.1), message: one_line(error.message()) }
            })?;
            let placed = parsed.policies.into_iter().map(|rule| {
                let (line, _) = position(text, rule.span().start);
                (place(Some(line), None), rule.into_inner())
            });
            Ok(placed.collect())
        }
        Format::Json => {
            let syntax = |line, column, message| PolicyFileError::Syntax { place: place(line, column), message };
            if !text.trim_start().starts_with('{') {
                return Err(syntax(Some(1), None, "the file must be an object, {\"policies\": [ … ]}".into()));
            }
            let parsed: FileText<RuleText> = serde_json::from_str(text)
                .map_err(|error| syntax(Some(error.line()), Some(error.column()), without_place(&error)))?;
            let lines = rule_lines(text);
            // serde would take an array of values in the order of the fields for a rule.
            if lines.len() != parsed.policies.len() {
                return Err(syntax(None, None, "every policy must be an object with names, {\"name\": … }".into()));
            }
            Ok(lines.into_iter().zip(parsed.policies).map(|(line, rule)| (place(Some(line), None), rule)).collect())
        }
    }
}

/// Line and column of a byte of the text, both from 1.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The lines on which the objects inside the one array of a valid policy file begin.
fn rule_lines(json: &str) -> Vec<usize> {
    let (mut line, mut depth, mut in_text, mut escaped) = (1, 0_usize, false, false);
    let mut lines = Vec::new();
    for byte in json.bytes() {
        match byte {
            b'\n' => line += 1,
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                if byte == b'{' && depth == 2 {
                    lines.push(line);
                }
                depth += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    lines
}

/// `serde_json` appends the place to its message; we show it in front.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    one_line(text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message))
}

fn one_line(message: &str) -> String {
    visible(&message.lines().collect::<Vec<_>>().join("; ")).into_owned()
}
