//! Rules in order: the first that matches decides, the one named `default` comes last, and nothing means no.

use async_trait::async_trait;
use serde::Deserialize;

use super::rule::{Rule, RuleError, Written};
use super::{Outcome, Policy, PolicyError, PolicyInput, Requirement, Revision};
use crate::canon::sha256;
use crate::text::{hex, visible};

/// The built-in policy: rules as in the seeds' `approval-policies.json`, in JSON or TOML.
///
/// A question that no rule matches is refused. Whatever does not compile is refused as a whole: no rule is skipped.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    last_resort: Option<Rule>,
    fallback: Option<Requirement>,
    revision: Revision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policies: Vec<Written>,
}

/// Why a policy file is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// Not the format, or a name or type that is not known. The text says line and column.
    #[error("{0}")]
    Syntax(String),
    /// A rule does not compile.
    #[error("policy \"{}\": {error}", visible(.name))]
    Rule {
        /// Which rule.
        name: String,
        /// What is wrong, and the remedy.
        error: RuleError,
    },
    /// Two rules of one name.
    #[error("two policies are named \"{}\"; give each its own name", visible(.0))]
    Duplicate(String),
}

impl RuleSet {
    /// Parses TOML: `[[policies]]` tables.
    ///
    /// # Errors
    /// [`PolicyFileError`] for the first thing that is wrong.
    pub fn parse(toml: &str) -> Result<Self, PolicyFileError> {
        let file = toml::from_str::<File>(toml)
            .map_err(|error| PolicyFileError::Syntax(error.to_string().trim_end().to_owned()))?;
        Self::compile(file, toml)
    }

    /// Parses JSON: `{"policies": [...]}`, the seeds' file.
    ///
    /// # Errors
    /// [`PolicyFileError`] for the first thing that is wrong.
    pub fn parse_json(json: &str) -> Result<Self, PolicyFileError> {
        let file = serde_json::from_str::<File>(json).map_err(|error| PolicyFileError::Syntax(error.to_string()))?;
        Self::compile(file, json)
    }

    /// The seeds' fallback for when no policy file exists at all: the requester, or an administrator, approves.
    pub fn permissive() -> Self {
        Self {
            rules: vec![],
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
        self.rules.iter().chain(&self.last_resort).flat_map(|rule| rule.notices()).map(String::as_str)
    }

    fn compile(file: File, text: &str) -> Result<Self, PolicyFileError> {
        let (mut rules, mut last_resort): (Vec<Rule>, Option<Rule>) = (Vec::new(), None);
        for written in file.policies {
            let name = written.name.clone();
            let rule = Rule::compile(written).map_err(|error| PolicyFileError::Rule { name: name.clone(), error })?;
            if rules.iter().chain(&last_resort).any(|other| other.name() == rule.name()) {
                return Err(PolicyFileError::Duplicate(name));
            }
            if rule.is_last_resort() {
                last_resort = Some(rule);
            } else {
                rules.push(rule);
            }
        }
        let revision = Revision(hex(&sha256(text.as_bytes())[..8]).into());
        Ok(Self { rules, last_resort, fallback: None, revision })
    }

    fn decide(&self, input: &PolicyInput<'_>) -> Outcome {
        let matching = self.rules.iter().find(|rule| rule.matches(input)).or(self.last_resort.as_ref());
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::directory::Snapshot;
    use crate::id::{ChallengeKind, HostName, Target, UserName};
    use crate::time::Timestamp;

    struct Ask {
        host: &'static str,
        user: &'static str,
        groups: Vec<String>,
        command: Option<&'static str>,
        exact: bool,
    }

    const ANN: Ask = Ask { host: "web1", user: "ann", groups: vec![], command: Some("sudo whoami"), exact: false };

    fn decide(rules: &RuleSet, ask: &Ask) -> Outcome {
        rules.decide(&PolicyInput {
            kind: &ChallengeKind::parse("sudo").unwrap(),
            requester: &UserName::parse(ask.user).unwrap(),
            target: &Target::Host(HostName::parse(ask.host).unwrap()),
            target_groups: &ask.groups,
            command: ask.command,
            command_is_exact: ask.exact,
            run_as: None,
            now: Timestamp::from_secs(1_764_028_800),
            directory: &Snapshot::default(),
        })
    }

    fn rule_of(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Allow(rule) => rule.as_str(),
            Outcome::Ask(requirement) => requirement.rule.as_ref().map_or("-", |rule| rule.as_str()),
            Outcome::Refuse { rule, .. } => rule.as_ref().map_or("-", |rule| rule.as_str()),
        }
    }

    #[test]
    fn the_first_match_in_file_order_decides_and_default_comes_last() {
        let rules = RuleSet::parse_json(
            r#"{"policies": [
                {"name": "default", "require_admin": true},
                {"name": "db", "match_hosts": ["DB*"], "min_approvals": 2},
                {"name": "ann-db", "match_hosts": ["db1"], "match_users": ["ann"]},
                {"name": "edge", "match_host_groups": ["edge"], "action": "refuse", "reason": "frozen"}]}"#,
        )
        .unwrap();
        assert_eq!(rule_of(&decide(&rules, &Ask { host: "db1", ..ANN })), "db");
        assert_eq!(rule_of(&decide(&rules, &ANN)), "default");
        let edge = decide(&rules, &Ask { groups: vec!["edge".into()], ..ANN });
        assert!(matches!(edge, Outcome::Refuse { text, .. } if text == "frozen"));
    }

    #[test]
    fn no_match_is_no_unless_there_is_no_file_at_all() {
        let rules = RuleSet::parse("[[policies]]\nname = \"db\"\nmatch_hosts = [\"db*\"]").unwrap();
        assert!(matches!(decide(&rules, &ANN), Outcome::Refuse { rule: None, .. }));
        assert_eq!(decide(&RuleSet::permissive(), &ANN), Outcome::Ask(Requirement::default()));
    }

    #[test]
    fn what_was_merely_typed_is_never_allowed_unseen() {
        let rules = RuleSet::parse_json(
            r#"{"policies": [{"name": "ok", "match_commands": ["sudo whoami"], "action": "allow"}, {"name": "default"}]}"#,
        )
        .unwrap();
        assert!(matches!(decide(&rules, &ANN), Outcome::Ask(_)));
        assert!(matches!(decide(&rules, &Ask { exact: true, ..ANN }), Outcome::Allow(_)));
        let hosts = r#"{"policies": [{"name": "ok", "match_hosts": ["web*"], "action": "allow"}]}"#;
        assert!(matches!(decide(&RuleSet::parse_json(hosts).unwrap(), &ANN), Outcome::Allow(_)));
    }

    #[test]
    fn outside_its_window_a_rule_refuses() {
        // 1764028800 is Tuesday 2025-11-25 00:00 UTC.
        let open = "[[policies]]\nname = \"n\"\nmatch_users = [\"*\"]\nallowed_hours = \"22:00-06:00\"\nallowed_days = \"Mon\"";
        assert!(matches!(decide(&RuleSet::parse(open).unwrap(), &ANN), Outcome::Ask(_)));
        let shut = RuleSet::parse(&open.replace("Mon", "Tue")).unwrap();
        assert!(
            matches!(decide(&shut, &ANN), Outcome::Refuse { text, .. } if text == "allowed only Tue 22:00-06:00 UTC")
        );
    }

    #[test]
    fn whatever_does_not_compile_is_refused_with_its_place_and_remedy() {
        for (rule, says) in [
            (r#""match_host": ["x"]"#, "unknown field `match_host`"),
            (r#""match_hosts": "x""#, "expected a sequence"),
            (r#""match_hosts": []"#, "match_hosts is an empty list"),
            (r#""match_hosts": ["[a"]"#, "write \\[ for the character itself"),
            (r#""require_admin": true"#, "it has no match_… field"),
            (r#""match_users": ["a"], "min_approvals": 0"#, "min_approvals must be at least 1"),
            (r#""match_users": ["a"], "require_fresh_oidc": "1M""#, "is not a duration"),
            (r#""match_users": ["a"], "allowed_hours": "9-17""#, "is not HH:MM-HH:MM"),
            (r#""match_users": ["a"], "action": "allow", "min_approvals": 2"#, "does not go with min_approvals"),
            (r#""match_users": ["a"], "action": "maybe""#, "unknown variant `maybe`"),
        ] {
            let json = format!("{{\"policies\": [\n{{\"name\": \"n\", {rule}}}]}}");
            let error = RuleSet::parse_json(&json).unwrap_err().to_string();
            assert!(error.contains(says), "{rule}: {error}");
            assert!(error.contains("policy \"n\"") || error.contains("line 2"), "{error}");
        }
        let twice = r#"{"policies": [{"name": "n", "match_users": ["a"]}, {"name": "n", "match_users": ["b"]}]}"#;
        assert_eq!(RuleSet::parse_json(twice).unwrap_err(), PolicyFileError::Duplicate("n".into()));
        let toml = RuleSet::parse("[[policies]]\nname = \"n\"\nmatch_host = 1").unwrap_err().to_string();
        assert!(toml.contains("line 3"), "{toml}");
        assert!(RuleSet::parse_json("[]").is_err(), "the bare array of the old documentation");
    }

    #[test]
    fn what_has_no_effect_yet_is_named() {
        let rules =
            RuleSet::parse("[[policies]]\nname = \"default\"\nauto_approve_grace = true\nbreak_glass_bypass = false")
                .unwrap();
        assert_eq!(rules.notices().collect::<Vec<_>>(), ["policy \"default\": auto_approve_grace has no effect yet"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", field in "[a-z_]{0,12}", value in "[\\[\\]\"a-z0-9, ]{0,12}") {
            let _ = RuleSet::parse(&text);
            let _ = RuleSet::parse_json(&text);
            let _ = RuleSet::parse(&format!("[[policies]]\nname = \"n\"\n{field} = {value}"));
        }
    }
}
