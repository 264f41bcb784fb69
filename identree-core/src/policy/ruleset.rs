//! Rules in order: the first that matches decides, the one named `default` comes last, and nothing means no.

use std::collections::HashMap;
use std::path::Path;

use async_trait::async_trait;

use super::file::{self, Format, Place, PolicyFileError, RuleText};
use super::index::Index;
use super::rule::{Rule, RuleError};
use super::{Outcome, Policy, PolicyError, PolicyInput, Requirement, Revision};
use crate::canon::{Writer, sha256};
use crate::text::hex;

/// The built-in policy: rules as in the seeds' `approval-policies.json`, in JSON or TOML.
///
/// A question that no rule matches is refused. Whatever does not compile is refused as a whole: no rule is skipped.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    index: Index,
    last_resort: Option<Rule>,
    fallback: Option<Requirement>,
    revision: Revision,
}

impl RuleSet {
    /// Rules written in TOML: `[[policies]]` tables.
    ///
    /// # Errors
    /// As [`RuleSet::load`].
    pub fn parse(toml: &str) -> Result<Self, PolicyFileError> {
        Self::compile(&file::read(toml, Format::Toml, None)?)
    }

    /// Rules written in JSON: `{"policies": [...]}`, the seeds' file.
    ///
    /// # Errors
    /// As [`RuleSet::load`].
    pub fn parse_json(json: &str) -> Result<Self, PolicyFileError> {
        Self::compile(&file::read(json, Format::Json, None)?)
    }

    /// Rules from the text of a file, whose name tells the format (`.json`, `.toml`, else by the text) and stands in every
    /// error. Reads nothing itself.
    ///
    /// # Errors
    /// [`PolicyFileError`] with file, line, rule and remedy for the first thing that is wrong. An empty list of rules is
    /// fine: it refuses everything.
    pub fn load(path: &Path, text: &str) -> Result<Self, PolicyFileError> {
        let name = path.display().to_string();
        Self::compile(&file::read(text, Format::guess(path, text), Some(&name))?)
    }

    /// The seeds' fallback for when no policy file exists at all: the requester, or an administrator, approves.
    pub fn permissive() -> Self {
        Self {
            rules: vec![],
            index: Index::default(),
            last_resort: None,
            fallback: Some(Requirement::default()),
            revision: Revision("permissive".into()),
        }
    }

    /// The rules in file order, without the last resort.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is written in the rules and has no effect yet: for the log at start.
    pub fn notices(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().chain(&self.last_resort).flat_map(Rule::notices).map(String::as_str)
    }

    fn compile(texts: &[(Place, RuleText)]) -> Result<Self, PolicyFileError> {
        let (mut rules, mut last_resort) = (Vec::new(), None);
        let mut first_lines: HashMap<&str, usize> = HashMap::new();
        for (place, text) in texts {
            let wrong =
                |error| PolicyFileError::Rule { place: place.clone(), name: text.name.clone(), error: Box::new(error) };
            let rule = Rule::compile(text).map_err(wrong)?;
            let line = place.line.unwrap_or_default();
            if let Some(first) = first_lines.insert(&text.name, line) {
                return Err(wrong(RuleError::Duplicate { first }));
            }
            if rule.is_last_resort() {
                last_resort = Some(rule);
            } else {
                rules.push(rule);
            }
        }
        Ok(Self { index: Index::new(&rules), rules, last_resort, fallback: None, revision: revision(texts) })
    }

    pub(super) fn decide(&self, input: &PolicyInput<'_>) -> Outcome {
        let matching = self.index.first(&self.rules, input).or(self.last_resort.as_ref());
        match (matching, &self.fallback) {
            (Some(rule), _) => rule.outcome(input),
            (None, Some(requirement)) => Outcome::Ask(requirement.clone()),
            (None, None) => Outcome::Refuse { rule: None, text: "no policy covers this".to_owned() },
        }
    }
}

#[async_trait]
impl Policy for RuleSet {
    async fn evaluate(&self, input: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
        Ok(self.decide(input))
    }

    fn revision(&self) -> Revision {
        self.revision.clone()
    }
}

/// The SHA-256 of the rules, not of the file: spaces, comments and the format do not count.
fn revision(texts: &[(Place, RuleText)]) -> Revision {
    let mut frame = Writer::new(b"identree rules v1");
    for (_, text) in texts {
        // A struct of texts, numbers and flags always has a JSON form, and its fields have one order.
        frame.put(&serde_json::to_vec(text).unwrap_or_default());
    }
    Revision(hex(&sha256(&frame.finish())[..16]).into())
}
