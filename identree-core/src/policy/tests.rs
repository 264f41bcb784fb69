//! Whole policy files: what they decide, and what is refused at load.

use std::path::Path;

use proptest::prelude::*;

use super::matcher::{Case, Glob};
use super::*;
use crate::id::{HostName, TargetName};

/// A question, spelled as briefly as a test wants it.
struct Asked {
    kind: ChallengeKind,
    requester: UserName,
    target: Target,
    groups: Vec<String>,
    command: Option<String>,
    exact: bool,
    now: Timestamp,
    directory: Snapshot,
}

fn asked(user: &str, host: &str) -> Asked {
    Asked {
        kind: ChallengeKind::parse("sudo").unwrap(),
        requester: UserName::parse(user).unwrap(),
        target: Target::Host(HostName::parse(host).unwrap()),
        groups: vec![],
        command: Some("sudo whoami".into()),
        exact: true,
        // Monday 2026-11-23, 12:00 UTC.
        now: Timestamp::from_secs(20_780 * 86_400 + 12 * 3600),
        directory: Snapshot::default(),
    }
}

impl Asked {
    fn input(&self) -> PolicyInput<'_> {
        PolicyInput {
            kind: &self.kind,
            requester: &self.requester,
            target: &self.target,
            target_groups: &self.groups,
            command: self.command.as_deref(),
            command_is_exact: self.exact,
            run_as: None,
            now: self.now,
            directory: &self.directory,
        }
    }

    fn of(&self, rules: &RuleSet) -> Outcome {
        rules.decide(&self.input())
    }
}

fn json(text: &str) -> RuleSet {
    RuleSet::parse_json(text).unwrap()
}

/// The name of the rule that decided.
fn rule_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Allow(rule) => Some(rule.to_string()),
        Outcome::Ask(requirement) => requirement.rule.as_ref().map(ToString::to_string),
        Outcome::Refuse { rule, .. } => rule.as_ref().map(ToString::to_string),
    }
}

#[test]
fn the_first_match_decides_and_default_comes_last() {
    let rules = json(
        r#"{"policies": [
            {"name": "default"},
            {"name": "ann-on-db", "match_users": ["ann"], "match_hosts": ["DB-*"], "min_approvals": 2},
            {"name": "db", "match_hosts": ["db-1", "db-2"], "require_admin": true}
        ]}"#,
    );
    assert_eq!(rule_of(&asked("ann", "db-1").of(&rules)).unwrap(), "ann-on-db");
    assert_eq!(rule_of(&asked("bob", "db-1").of(&rules)).unwrap(), "db");
    assert_eq!(rule_of(&asked("bob", "db-3").of(&rules)).unwrap(), "default");
}

#[test]
fn every_field_must_match() {
    let rules = json(
        r#"{"policies": [{"name": "all", "match_hosts": ["web*"], "match_users": ["a*"], "match_host_groups": ["front", "back"],
            "match_kinds": ["su?o"], "match_commands": ["sudo who*"], "action": "allow"}]}"#,
    );
    let base = || Asked { groups: vec!["back".into()], ..asked("ann", "web1") };
    assert_eq!(base().of(&rules), Outcome::Allow(RuleName::parse("all").unwrap()));
    let changes: [fn(&mut Asked); 7] = [
        |asked| asked.target = Target::Named(TargetName::parse("db").unwrap()),
        |asked| asked.requester = UserName::parse("Ann").unwrap(),
        |asked| asked.groups = vec!["bac*".into()],
        |asked| asked.kind = ChallengeKind::parse("deploy").unwrap(),
        |asked| asked.command = Some("sudo id".into()),
        |asked| asked.command = None,
        // What was merely typed is never allowed unseen.
        |asked| asked.exact = false,
    ];
    for change in changes {
        let mut other = base();
        change(&mut other);
        assert_eq!(other.of(&rules), Outcome::Refuse { rule: None, text: "no policy covers this".into() });
    }
    let named = Asked { target: Target::Named(TargetName::parse("WEB/x").unwrap()), ..base() };
    assert_eq!(rule_of(&named.of(&rules)).unwrap(), "all");
}

#[test]
fn a_rule_becomes_its_requirement() {
    let rules = RuleSet::parse(
        r#"
        [[policies]]
        name = "four-eyes"
        match_users = ["*"]
        min_approvals = 2
        require_admin = true
        requester_may_approve = false
        number_match = false
        require_fresh_oidc = "5m"
        notify_channels = ["ops"]
        auto_approve_grace = true
        break_glass_bypass = false
        "#,
    )
    .unwrap();
    let expected = Requirement {
        rule: Some(RuleName::parse("four-eyes").unwrap()),
        approvals: NonZeroU32::new(2).unwrap(),
        require_admin: true,
        requester_may_approve: false,
        number_match: false,
        fresh_within_secs: Some(300),
    };
    assert_eq!(asked("ann", "web").of(&rules), Outcome::Ask(expected));
    assert_eq!(
        rules.notices().collect::<Vec<_>>(),
        [
            "policy \"four-eyes\": auto_approve_grace has no effect yet",
            "policy \"four-eyes\": notify_channels has no effect yet"
        ]
    );
}

#[test]
fn outside_its_window_a_rule_refuses_and_says_when() {
    let rules = json(r#"{"policies": [{"name": "default", "allowed_hours": "09:00-12:00", "allowed_days": "Mon"}]}"#);
    let late = asked("ann", "web");
    let Outcome::Refuse { rule: Some(rule), text } = late.of(&rules) else { panic!("not refused") };
    assert_eq!(rule.as_str(), "default");
    assert_eq!(text, "allowed only Mon 09:00-12:00 UTC");
    let early = Asked { now: late.now - std::time::Duration::from_millis(1), ..late };
    assert!(matches!(early.of(&rules), Outcome::Ask(_)));
}

#[test]
fn a_refusal_tells_its_reason() {
    let rules = json(
        r#"{"policies": [{"name": "frozen", "match_hosts": ["*"], "action": "refuse", "reason": "change freeze\u0007 until Monday"}]}"#,
    );
    let Outcome::Refuse { text, .. } = asked("ann", "web").of(&rules) else { panic!("not refused") };
    assert_eq!(text, "change freeze\\u{7} until Monday");
}

#[test]
fn without_a_file_the_requester_may_approve_and_with_an_empty_one_nobody() {
    assert_eq!(asked("ann", "web").of(&RuleSet::permissive()), Outcome::Ask(Requirement::default()));
    assert!(matches!(asked("ann", "web").of(&json(r#"{"policies": []}"#)), Outcome::Refuse { rule: None, .. }));
    assert!(RuleSet::parse("").is_err(), "a file cut to nothing is no policy");
    assert!(RuleSet::parse_json("{}").is_err());
}

#[test]
fn the_revision_is_of_the_rules_not_of_the_file() {
    let one = json("{\"policies\": [ {\"match_users\": [\"a\"], \"name\": \"x\"} ]}");
    let same = RuleSet::parse("# a comment\n[[policies]]\nname = 'x'\nmatch_users = ['a']\n").unwrap();
    let other = RuleSet::parse("[[policies]]\nname = 'x'\nmatch_users = ['b']\n").unwrap();
    assert_eq!(one.revision(), same.revision());
    assert_ne!(one.revision(), other.revision());
    assert_ne!(one.revision(), RuleSet::permissive().revision());
}

#[test]
fn a_mistake_is_named_with_file_line_rule_and_remedy() {
    let load = |name: &str, text: &str| RuleSet::load(Path::new(name), text).unwrap_err().to_string();
    assert_eq!(
        load("p.json", "{\"policies\": [\n {\"name\": \"a{\\\"[\", \"match_users\": [\"x\"]}\n]}"),
        "p.json:2: policy \"a{\"[\": policy name may not contain '{' at byte 1; a name is lower-case letters, digits, '.', '_' and '-'"
    );
    assert_eq!(
        load("p.toml", "\n[[policies]]\nname = 'a'\nmatch_hosts = ['[x']\n"),
        "p.toml:2: policy \"a\": match_hosts: \"[x\" has a [ without its ]; write \\[ for the character itself"
    );
    let unknown = load("p.toml", "[[policies]]\nname = 'a'\nmatch_host = ['x']\n");
    assert!(
        unknown.starts_with("p.toml:3:1: unknown field `match_host`, expected one of `name`, `match_hosts`"),
        "{unknown}"
    );
    let unknown = load("p.json", "{\"policies\": [{\"name\": \"a\",\n  \"typo\": 1}]}");
    assert!(unknown.starts_with("p.json:2:8: unknown field `typo`"), "{unknown}");
    assert!(load("p.json", "{\"policies\": [").starts_with("p.json:1:14: EOF while parsing"));
    assert_eq!(load("p.json", "[{\"name\": \"a\"}]"), "p.json:1: the file must be an object, {\"policies\": [ … ]}");
    assert!(
        load("p.json", "{\"policies\": [{\"name\": \"default\", \"match_users\": [\"a\"]}]}")
            .contains("takes no match_users")
    );
    assert!(load("p.json", "{\"policies\": [[\"default\"]]}").contains("every policy must be an object"));
    assert!(load("p", "\u{feff}").starts_with("p:1"));
    assert!(load("p.json", &" ".repeat(super::file::MAX_BYTES + 1)).contains("larger than 4194304 bytes"));
    assert_eq!(
        load("p.toml", "[[policies]]\nname='default'\n[[policies]]\nname='default'\n"),
        "p.toml:3: policy \"default\": a policy of this name stands on line 1 already; give each its own name"
    );
}

#[test]
fn rules_that_cannot_mean_anything_are_refused() {
    for (rule, expected) in [
        ("", "it has no match_… field"),
        (", \"match_hosts\": []", "match_hosts is an empty list"),
        (", \"match_host_groups\": []", "match_host_groups is an empty list"),
        (", \"match_users\": [\"\"]", "the pattern is empty"),
        (", \"match_users\": [\"a\"], \"min_approvals\": 0", "min_approvals must be at least 1"),
        (", \"match_users\": [\"a\"], \"min_approvals\": -1", "invalid value"),
        (", \"match_users\": [\"a\"], \"require_fresh_oidc\": \"soon\"", "\"soon\" is not a duration"),
        (", \"match_users\": [\"a\"], \"require_fresh_oidc\": \"0s\"", "\"0s\" is not a duration"),
        (", \"match_users\": [\"a\"], \"require_fresh_oidc\": \"1500ms\"", "\"1500ms\" is not a duration"),
        (", \"match_users\": [\"a\"], \"allowed_hours\": \"9-17\"", "\"9-17\" is not HH:MM-HH:MM"),
        (", \"match_users\": [\"a\"], \"allowed_days\": \"Funday\"", "\"Funday\" is not a list of days"),
        (", \"match_users\": [\"a\"], \"action\": \"permit\"", "unknown variant `permit`"),
        (
            ", \"match_users\": [\"a\"], \"action\": \"allow\", \"min_approvals\": 1",
            "action = \"allow\" does not go with min_approvals",
        ),
        (
            ", \"match_users\": [\"a\"], \"action\": \"refuse\", \"allowed_days\": \"Mon\"",
            "does not go with allowed_days",
        ),
        (", \"match_users\": [\"a\"], \"reason\": \"x\"", "action = \"ask\" does not go with reason"),
        (", \"match_users\": [\"a\"], \"notify_channels\": \"ops\"", "invalid type"),
    ] {
        let text = format!("{{\"policies\": [{{\"name\": \"a\"{rule}}}]}}");
        let error = RuleSet::parse_json(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

/// The definition: the rules of the file one after the other.
fn naive(rules: &[(String, Vec<String>, Vec<String>)], asked: &Asked) -> Option<String> {
    let any = |patterns: &[String], case, text: &str| {
        patterns.is_empty() || patterns.iter().any(|pattern| Glob::compile(pattern, case).unwrap().matches(text))
    };
    rules
        .iter()
        .find(|(_, hosts, users)| {
            any(hosts, Case::Ignored, asked.target.name()) && any(users, Case::Counts, asked.requester.as_str())
        })
        .map(|(name, ..)| name.clone())
}

proptest! {
    #[test]
    fn the_index_finds_the_first_match(
        patterns in proptest::collection::vec(
            (proptest::collection::vec("[ab*?]{1,4}", 0..3), proptest::collection::vec("[ab*?]{1,4}", 0..3)), 0..12),
        host in "[ab]{1,5}", user in "[ab]{1,5}",
    ) {
        let rules: Vec<_> = patterns
            .into_iter()
            .filter(|(hosts, users)| !hosts.is_empty() || !users.is_empty())
            .enumerate()
            .map(|(at, (hosts, users))| (format!("r{at}"), hosts, users))
            .collect();
        let texts: Vec<_> = rules
            .iter()
            .map(|(name, hosts, users)| {
                let list = |list: &Vec<String>| if list.is_empty() { serde_json::Value::Null } else { list.clone().into() };
                serde_json::json!({ "name": name, "match_hosts": list(hosts), "match_users": list(users) })
            })
            .collect();
        let set = json(&serde_json::json!({ "policies": texts }).to_string());
        let asked = asked(&user, &host);
        prop_assert_eq!(rule_of(&asked.of(&set)), naive(&rules, &asked));
    }

    #[test]
    fn no_text_panics(
        any in ".{0,80}",
        broken in "\\{\"policies\":\\[[{}\\[\\]\",:a-z_\\\\0-9 \n]{0,60}\\]\\}",
        table in "\\[\\[policies\\]\\]\n[a-z_=\"'\\[\\]0-9\n ]{0,60}",
    ) {
        for text in [any, broken, table] {
            let _ = (RuleSet::parse_json(&text), RuleSet::parse(&text), RuleSet::load(Path::new("p"), &text));
        }
    }
}
