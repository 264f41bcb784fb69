//! Settings in the database: changed, taken back, and by whom.

mod files;
mod hosts;

use std::path::Path;
use std::sync::Arc;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::UserName;
use identree_core::rng::SeededEntropy;
use identree_core::store::MemoryStore;
use identree_core::testkit::journal::recorded;
use identree_core::time::ManualClock;

use super::client::ClientFile;
use super::sudo_rules::SudoRules;
use super::*;
use crate::hosts::file::HostsFile;

fn parts() -> Parts {
    Parts {
        store: Arc::new(MemoryStore::new()),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
    }
}

fn admin() -> Author {
    Author::command_line(&UserName::parse("uid:0").unwrap())
}

/// A policy file of one rule of this name.
fn rules(name: &str) -> String {
    format!("{{\"policies\": [\n  {{\"name\": \"{name}\", \"match_users\": [\"{name}\"]}}\n]}}\n")
}

fn policies(text: &str) -> Change {
    Change::new(Name::Policies, text.to_owned(), admin())
}

async fn events(versions: &Versions, kind: EventKind) -> Vec<AuditEvent> {
    recorded(&*versions.parts.store).await.into_iter().filter(|event| event.kind == kind).collect()
}

#[tokio::test]
async fn each_change_is_a_version_with_its_history_and_its_event() {
    let versions = Versions::new(parts());
    assert_eq!(versions.current(Name::Policies).await.unwrap(), None);
    for name in ["ann", "bob"] {
        let Changed::Now(_) = versions.change(policies(&rules(name))).await.unwrap() else { unreachable!() };
    }
    let (version, text) = versions.in_force(Name::Policies).await.unwrap();
    assert_eq!((version.number, text), (2, rules("bob")));
    let again = versions.change(policies(&rules("bob"))).await.unwrap();
    assert_eq!(again, Changed::Already(version));
    let numbers = |history: Vec<Version>| history.iter().map(|version| version.number).collect::<Vec<_>>();
    assert_eq!(numbers(versions.history(Name::Policies).await.unwrap()), [2, 1]);
    assert!(versions.history(Name::Client).await.unwrap().is_empty(), "each setting has its own");

    versions.roll_back(Name::Policies, 1, admin()).await.unwrap();
    assert_eq!(versions.in_force(Name::Policies).await.unwrap().1, rules("ann"));
    assert_eq!(numbers(versions.history(Name::Policies).await.unwrap()), [3, 2, 1]);
    let unknown = versions.roll_back(Name::Policies, 9, admin()).await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "policies has no version 9; `identree config history policies` lists those that are kept"
    );

    let events = events(&versions, EventKind::PolicyChanged).await;
    assert_eq!(events.len(), 3, "what changed nothing is no event");
    let second = &events[1];
    assert_eq!(second.actor, Some(UserName::parse("uid:0").unwrap()));
    assert_eq!(second.via.as_deref(), Some("command line"));
    let detail = |name: &str| second.details[name].as_str();
    assert_eq!((detail("what"), detail("revision"), detail("digest").len()), ("policies", "2", 64));
    assert_eq!(detail("before"), "5:         \"ann\"\n7:       \"name\": \"ann\"");
    assert_eq!(detail("after"), "5:         \"bob\"\n7:       \"name\": \"bob\"");
    assert!(!events[0].details.contains_key("before"), "nothing stood there before");
}

#[tokio::test]
async fn two_administrators_do_not_overwrite_each_other() {
    let versions = Versions::new(parts());
    versions.change(policies(&rules("ann"))).await.unwrap();
    versions.change(Change { expect: Some(1), ..policies(&rules("bob")) }).await.unwrap();
    let late = versions.change(Change { expect: Some(1), ..policies(&rules("eve")) }).await.unwrap_err();
    assert_eq!(
        late.to_string(),
        "policies: version 2 is in force, not version 1; look at what changed, and import again"
    );
    let early = Change { expect: Some(1), ..Change::new(Name::SudoRules, "[]".to_owned(), admin()) };
    assert_eq!(
        versions.change(early).await.unwrap_err().to_string(),
        "sudo-rules: none is in force, not version 1; look at what changed, and import again"
    );

    // Both have read version 2 when they write.
    let seen = versions.current(Name::Policies).await.unwrap();
    versions.write(policies(&rules("joe")), seen.clone(), vec![]).await.unwrap();
    let raced = versions.write(policies(&rules("sue")), seen, vec![]).await.unwrap_err();
    assert!(matches!(raced, VersionError::Raced(Name::Policies)), "{raced}");
    assert_eq!(versions.in_force(Name::Policies).await.unwrap().1, rules("joe"));
    assert_eq!(events(&versions, EventKind::PolicyChanged).await.len(), 3, "a lost race leaves no event");
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let versions = Versions::new(parts());
    versions.change(policies(&rules("ann"))).await.unwrap();
    let wrong = versions.change(policies("{\"policies\": [\n{\"name\": \"Bad Name\"}]}")).await.unwrap_err();
    assert!(wrong.to_string().starts_with("policies:2: policy \"Bad Name\": policy name"), "{wrong}");
    assert_eq!(versions.current(Name::Policies).await.unwrap().unwrap().number, 1);
}

#[tokio::test]
async fn the_oldest_versions_leave() {
    let versions = Versions::new(parts());
    for at in 0..KEPT + 3 {
        versions.change(policies(&rules(&format!("u{at}")))).await.unwrap();
    }
    let history = versions.history(Name::Policies).await.unwrap();
    assert_eq!((history.len(), history[0].number, history[KEPT - 1].number), (KEPT, 103, 4));
    assert_eq!(versions.text(Name::Policies, 3).await.unwrap(), None);
    assert_eq!(versions.text(Name::Policies, 4).await.unwrap(), Some(rules("u3")));
    let page = identree_core::store::Page::first(1000);
    let texts = versions.parts.store.documents(TEXTS, versions.parts.now(), page).await.unwrap();
    assert_eq!(texts.items.len(), KEPT, "nothing grows without bound");
}

#[test]
fn a_long_difference_is_cut_and_says_so() {
    let many: String = (0..5000).map(|n| format!("# {n} {}\n", "x".repeat(20))).collect();
    let (went, came) = identree_core::diff::changed("", &many);
    assert!(went.is_empty());
    let told = super::change::list(&came);
    assert!(told.len() < 9000, "{}", told.len());
    let (_, last) = told.rsplit_once('\n').unwrap();
    let left: usize = last.strip_prefix("and ").unwrap().strip_suffix(" more lines").unwrap().parse().unwrap();
    assert_eq!(told.lines().count() - 1 + left, 5000);
    let hidden = super::change::list(&vec![(1, "a\u{202e}b")]);
    assert_eq!(hidden, "1: a\\u{202e}b");
}

/// Every text that a person may meet, as they meet it.
#[test]
fn bad_files_are_refused_with_file_place_and_remedy() {
    let refused = |name: Name, file: &str, text: &str| name.check(Path::new(file), text).unwrap_err().to_string();
    for (name, file, text, expected) in [
        (Name::Policies, "p.json", "[]", "p.json:1: the file must be an object, {\"policies\": [ … ]}"),
        (
            Name::Policies,
            "p.toml",
            "[[policies]]\nname = \"a\"\nmatch_user = [\"x\"]\n",
            "p.toml:3:1: unknown field `match_user`, expected one of `name`, `match_hosts`, `match_users`, \
             `match_host_groups`, `match_kinds`, `match_commands`, `action`, `reason`, `require_admin`, `min_approvals`, \
             `requester_may_approve`, `number_match`, `require_fresh_oidc`, `allowed_hours`, `allowed_days`, \
             `auto_approve_grace`, `break_glass_bypass`, `notify_channels`",
        ),
        (
            Name::Client,
            "c.toml",
            "[client_defaults]\ntimeot = \"5s\"\n",
            "c.toml:2: unknown field `timeot`, expected one of `poll_interval`, `timeout`, `breakglass_enabled`, \
             `breakglass_password_type`, `breakglass_rotation_days`",
        ),
        (
            Name::Client,
            "c.toml",
            "[client_defaults]\ntimeout = \"2 days\"\n",
            "c.toml: client_defaults.timeout = \"2 days\" is not a duration from 1s to 1day, as in 20s",
        ),
        (
            Name::Client,
            "c.json",
            "{\"client_defaults\": {\"breakglass_rotation_days\": 0}}",
            "c.json: client_defaults.breakglass_rotation_days = 0 is not a number from 1 to 3650",
        ),
        (
            Name::Client,
            "c.json",
            "{\"client_defaults\": {\"breakglass_password_type\": \"pin\"}}",
            "c.json: client_defaults.breakglass_password_type = \"pin\" is none of random, alphanumeric and passphrase",
        ),
        (Name::Client, "c.json", "{\n", "c.json:2:0: EOF while parsing an object"),
        (
            Name::SudoRules,
            "s.json",
            "{}",
            "s.json:1: the file must be an array of rules, [{\"group\": …, \"commands\": …}]",
        ),
        (
            Name::SudoRules,
            "s.json",
            "[\n{\"group\": \"ops\", \"commands\": \"/bin/ls\", \"runas\": \"root\"}]",
            "s.json:2:47: unknown field `runas`, expected one of `group`, `commands`, `hosts`, `runAsUser`, \
             `runAsGroup`, `options`",
        ),
        (
            Name::SudoRules,
            "s.json",
            "[[\"ops\", \"ALL\", null, null, null, null]]",
            "s.json: every rule must be an object with names, {\"group\": … }",
        ),
        (
            Name::SudoRules,
            "s.json",
            "[{\"group\": \"ops\", \"commands\": \"ALL\"},\n {\"group\": \"ops\", \"commands\": \"ALL\"}]",
            "s.json:2: the rule of group \"ops\": has a rule on line 1 already; a group has one",
        ),
        (
            Name::SudoRules,
            "s.json",
            "[{\"group\": \"wheel\", \"commands\": \"ALL\"}]",
            "s.json:1: the rule of group \"wheel\": is a group that every system has; use one of your own",
        ),
        (
            Name::SudoRules,
            "s.json",
            "[{\"group\": \"ops\", \"commands\": \"ALL, !/bin/sh\"}]",
            "s.json:1: the rule of group \"ops\": commands: \"!/bin/sh\" is neither ALL nor an absolute path; exceptions \
             with ! do not hold what they promise",
        ),
        (
            Name::SudoRules,
            "s.json",
            "[{\"group\": \"ops\", \"commands\": \"/usr/bin/../bin/ls\"}]",
            "s.json:1: the rule of group \"ops\": commands: \"/usr/bin/../bin/ls\" has .. in its path",
        ),
        (
            Name::SudoRules,
            "s.json",
            "[{\"group\": \"ops\", \"commands\": \"ALL\", \"options\": \"exempt_group=ops\"}]",
            "s.json:1: the rule of group \"ops\": options: \"exempt_group=ops\" is none of log_input, log_output, \
             log_subcmds, mail_all_cmnds, mail_always, noexec, requiretty, use_pty",
        ),
        (
            Name::Hosts,
            "h.json",
            "[]",
            "h.json:1:0: invalid type: sequence, expected an object with a host under each name",
        ),
        (
            Name::Hosts,
            "h.json",
            "{\"web1\": {}, \"WEB1\": {}}",
            "h.json: host \"WEB1\": stands there twice; remove one",
        ),
        (Name::Hosts, "h.json", "{\"web 1\": {}}", "h.json: host \"web 1\": host name may not contain ' ' at byte 3"),
        (
            Name::Hosts,
            "h.json",
            "{\"web1\": {\"users\": []}}",
            "h.json: host \"web1\": users is an empty list, with which nobody could ask; write [\"*\"] for everybody",
        ),
        (
            Name::Hosts,
            "h.json",
            "{\"web1\": {\"credential\": \"key\"}}",
            "h.json: host \"web1\": credential must be secret or none, or key with a key beside it",
        ),
    ] {
        assert_eq!(refused(name, file, text), expected);
    }
}

#[test]
fn the_files_of_the_seeds_are_read() {
    let sudo = r#"[
      { "group": "webops", "commands": "/usr/bin/systemctl restart nginx, /usr/bin/journalctl",
        "hosts": "web1,web2", "runAsUser": "root", "runAsGroup": "adm", "options": "log_output" }
    ]"#;
    let SudoRules(rules) = SudoRules::parse(Path::new("s.json"), sudo).unwrap();
    assert_eq!((rules.len(), rules[0].run_as_group.as_deref()), (1, Some("adm")));
    let again = serde_json::to_string(&rules).unwrap();
    assert_eq!(SudoRules::parse(Path::new("s.json"), &again).unwrap(), SudoRules(rules), "the same in meaning");
    assert_eq!(SudoRules::parse(Path::new("s.json"), "null").unwrap(), SudoRules(vec![]));

    let hosts = r#"{"web1.example.com": {"secret": "0f", "users": ["ann", "bob"], "group": "edge",
        "registered_at": "2026-01-01T00:00:00Z"}, "db1": {"secret": "0e", "users": ["*"]}}"#;
    let file = HostsFile::parse(Path::new("hosts.json"), hosts).unwrap();
    assert_eq!(file.hosts.len(), 2);
    assert!(file.notices()[0].starts_with("the secrets of 2 hosts are not taken over"), "{:?}", file.notices());
    assert!(!file.to_string().contains("0f"), "no secret is written again");

    let client = "[client_defaults]\ntimeout = \"90s\"\npoll_interval = \"20s\"\nbreakglass_enabled = false\n";
    let told = ClientFile::parse(Path::new("c.toml"), client).unwrap();
    assert_eq!(told.to_string(), "timeout=90000 hold=20000 break_glass=off");
    assert_eq!(ClientFile::parse(Path::new("client"), client).unwrap(), told, "without the ending of a name too");
}
