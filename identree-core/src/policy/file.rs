//! The policy file: one model, written in JSON or in TOML, and where in it a mistake stands.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rule::RuleError;
use crate::syntax::{self, Mistake, is_json, object_lines, position};
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
    /// By name and first character.
    pub(super) fn guess(path: &Path, text: &str) -> Self {
        if is_json(path, text) { Self::Json } else { Self::Toml }
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
    let syntax = |line, column, message| PolicyFileError::Syntax { place: place(line, column), message };
    let mistaken = |Mistake { line, column, message }| syntax(line, column, message);
    match format {
        Format::Toml => {
            let parsed: FileText<toml::Spanned<RuleText>> = syntax::toml(text).map_err(mistaken)?;
            let placed = parsed.policies.into_iter().map(|rule| {
                let (line, _) = position(text, rule.span().start);
                (place(Some(line), None), rule.into_inner())
            });
            Ok(placed.collect())
        }
        Format::Json => {
            if !text.trim_start().starts_with('{') {
                return Err(syntax(Some(1), None, "the file must be an object, {\"policies\": [ … ]}".into()));
            }
            let parsed: FileText<RuleText> = syntax::json(text).map_err(mistaken)?;
            // Those inside the one array.
            let lines = object_lines(text, 2);
            // serde would take an array of values in the order of the fields for a rule.
            if lines.len() != parsed.policies.len() {
                return Err(syntax(None, None, "every policy must be an object with names, {\"name\": … }".into()));
            }
            Ok(lines.into_iter().zip(parsed.policies).map(|(line, rule)| (place(Some(line), None), rule)).collect())
        }
    }
}
