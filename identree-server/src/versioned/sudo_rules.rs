//! Rules for sudo's LDAP source, in the shape of the seeds' `sudorules.json`: checked and kept, served by nobody yet.

use std::collections::HashMap;
use std::path::Path;

use identree_core::policy::Place;
use identree_core::syntax::object_lines;
use identree_core::text::visible;
use serde::{Deserialize, Serialize};

use super::text::{self, SyntaxError};

/// The most rules in a file.
const MOST: usize = 1000;
/// The longest value, in bytes.
const LONGEST: usize = 4096;
/// Groups that a directory must never hand out.
const RESERVED: &[&str] = &[
    "adm", "all", "admin", "bin", "daemon", "disk", "docker", "kmem", "kvm", "libvirt", "lxd", "operator", "root",
    "shadow", "sshd", "staff", "sudo", "sys", "tape", "tty", "wheel",
];
/// Options that make a rule stricter or only keep a record. Everything else could let a rule past the gate.
const OPTIONS: &[&str] =
    &["log_input", "log_output", "log_subcmds", "mail_all_cmnds", "mail_always", "noexec", "requiretty", "use_pty"];

/// A file of sudo rules that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SudoRulesError {
    /// Not of the right shape.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Too many rules.
    #[error("{place}: {found} rules, more than {MOST}")]
    TooMany {
        /// Which file.
        place: Place,
        /// How many.
        found: usize,
    },
    /// One rule does not make sense.
    #[error("{place}: the rule of group \"{}\": {message}", visible(.group))]
    Rule {
        /// Where it begins.
        place: Place,
        /// Its group, as written.
        group: String,
        /// What is wrong, and the remedy.
        message: String,
    },
}

/// The rules of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudoRules(pub Vec<SudoRule>);

/// What the members of one group may run. Lists are separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SudoRule {
    /// Whose members.
    pub group: String,
    /// Which commands: absolute paths, or `ALL`.
    pub commands: String,
    /// On which hosts; on all of them if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<String>,
    /// As which users; as root if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<String>,
    /// As which groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<String>,
    /// Options of sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
}

impl SudoRules {
    /// The rules of a JSON array; `null` is none, as in the seeds.
    ///
    /// # Errors
    /// [`SudoRulesError`] with file, line and rule for the first thing that is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SudoRulesError> {
        let start = text.trim_start();
        if !start.starts_with('[') && start.trim_end() != "null" {
            let message = "the file must be an array of rules, [{\"group\": …, \"commands\": …}]".to_owned();
            return Err(SyntaxError { place: text::at(path, Some(1)), message }.into());
        }
        let rules: Vec<SudoRule> = text::json::<Option<_>>(path, text)?.unwrap_or_default();
        if rules.len() > MOST {
            return Err(SudoRulesError::TooMany { place: text::at(path, None), found: rules.len() });
        }
        let lines = object_lines(text, 1);
        // serde would take an array of values in the order of the fields for a rule.
        if lines.len() != rules.len() {
            let message = "every rule must be an object with names, {\"group\": … }".to_owned();
            return Err(SyntaxError { place: text::at(path, None), message }.into());
        }
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (rule, line) in rules.iter().zip(lines) {
            let wrong = |message| SudoRulesError::Rule {
                place: text::at(path, Some(line)),
                group: rule.group.clone(),
                message,
            };
            rule.check().map_err(wrong)?;
            if let Some(first) = first.insert(&rule.group, line) {
                return Err(wrong(format!("has a rule on line {first} already; a group has one")));
            }
        }
        Ok(Self(rules))
    }
}

impl SudoRule {
    fn check(&self) -> Result<(), String> {
        if !is_group(&self.group) {
            return Err("is not a group name: lower-case letters, digits, '_', '.' and '-', at most 32".to_owned());
        }
        if RESERVED.contains(&self.group.as_str()) {
            return Err("is a group that every system has; use one of your own".to_owned());
        }
        each("commands", Some(&self.commands), command)?;
        each("hosts", self.hosts.as_ref(), |item| named(item, 253))?;
        each("runAsUser", self.run_as_user.as_ref(), |item| named(item, 64))?;
        each("runAsGroup", self.run_as_group.as_ref(), |item| {
            if item == "ALL" || is_group(item) { Ok(()) } else { Err("is no group name".to_owned()) }
        })?;
        each("options", self.options.as_ref(), |item| {
            if OPTIONS.contains(&item) { Ok(()) } else { Err(format!("is none of {}", OPTIONS.join(", "))) }
        })
    }
}

fn each(field: &str, list: Option<&String>, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let Some(list) = list else { return Ok(()) };
    if list.len() > LONGEST {
        return Err(format!("{field} is longer than {LONGEST} bytes"));
    }
    for item in list.split(',').map(str::trim) {
        if item.is_empty() {
            return Err(format!("{field} has an empty entry"));
        }
        check(item).map_err(|message| format!("{field}: \"{}\" {message}", visible(item)))?;
    }
    Ok(())
}

fn command(item: &str) -> Result<(), String> {
    if item == "ALL" {
        return Ok(());
    }
    if item.chars().any(identree_core::text::is_hidden) {
        return Err("has a character that cannot be seen".to_owned());
    }
    if !item.starts_with('/') {
        return Err("is neither ALL nor an absolute path; exceptions with ! do not hold what they promise".to_owned());
    }
    let path = item.split(' ').next().unwrap_or_default();
    if path.split('/').any(|part| part == "..") { Err("has .. in its path".to_owned()) } else { Ok(()) }
}

fn named(item: &str, longest: usize) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if item.len() <= longest && item.chars().all(allowed) { Ok(()) } else { Err("is no name".to_owned()) }
}

fn is_group(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    first && text.len() <= 32 && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c))
}
