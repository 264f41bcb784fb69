//! `identree config` beside a running server.

use std::path::Path;

use identree_core::credential::HostSecret;
use identree_core::wire::v1::{CHALLENGES, Reply, Status};
use identree_evidence::{Kind, secret as note};

use crate::process::{Running, added, exchange, identree, send, started, until, verb};
use crate::question;

fn config(data: &Path, args: &[&str]) -> (bool, String, String) {
    let output = verb(data, &[&["config"], args].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

const TOKEN: &str = "the-token-of-the-scraper-of-the-settings";

/// A server whose metrics tell which version is in force.
struct Server(Running, HostSecret);

impl Server {
    fn start(data: &Path) -> Self {
        note(Kind::Metrics, TOKEN);
        let mut command = identree(data);
        command.env("IDENTREE_METRICS_TOKEN", TOKEN);
        let running = started(command, data);
        Self(running, added(data, "web1"))
    }

    /// Waits until the metrics have this line.
    fn until(&self, line: &str) {
        until(1, || {
            let head = format!("GET /metrics HTTP/1.1\r\nAuthorization: Bearer {TOKEN}");
            let (_, body) = exchange(&self.0.address, &head, "");
            (u16::from(body.lines().any(|one| one == line)), body)
        });
    }

    /// How a question of `ann` on `web1` stands when it was opened.
    fn asked(&self, nonce: u8) -> Status {
        // The host was added beside the server a moment ago.
        let body = until(1, || {
            let (status, body) = send(&self.0.address, &self.1, "POST", CHALLENGES, &question(nonce));
            (u16::from(status != 401), body)
        });
        serde_json::from_str::<Reply>(&body).unwrap_or_else(|error| unreachable!("{error}: {body}")).status
    }
}

const ALLOW: &str = "{\"policies\": [{\"name\": \"lab\", \"match_hosts\": [\"web1\"], \"action\": \"allow\"}]}\n";
const REFUSE: &str = "# closed for the holidays\n[[policies]]\nname = \"default\"\naction = \"refuse\"\n";

#[test]
fn a_change_at_the_command_line_reaches_a_running_server_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let server = Server::start(data);
    let in_force = |version: u8| server.until(&format!("identree_config_version{{setting=\"policies\"}} {version}"));
    in_force(0);
    assert_eq!(server.asked(0), Status::Pending);
    let file = |name: &str, text: &str| {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (allow, refuse) = (file("allow.json", ALLOW), file("refuse.toml", REFUSE));
    assert_eq!(config(data, &["check", &allow]), (true, String::new(), format!("{allow} can be used as policies\n")));
    let (done, difference, _) = config(data, &["import", "policies", &allow, "--dry-run"]);
    assert!(done && difference.contains("+      \"name\": \"lab\""), "{difference}");
    let (_, list, _) = config(data, &["list"]);
    assert!(list.starts_with("policies   no version yet\n"), "a dry run changes nothing: {list}");

    let told = "policies: version 1 is in force now; servers follow within a second\n".to_owned();
    assert_eq!(config(data, &["import", "policies", &allow, "--expect", "0"]), (true, String::new(), told));
    in_force(1);
    assert_eq!(server.asked(1), Status::Approved);
    let (done, _, told) = config(data, &["import", "policies", &refuse, "--expect", "0"]);
    let conflict = "identree: policies: version 1 is in force, not version 0; look at what changed, and import again\n";
    assert_eq!((done, told.as_str()), (false, conflict));
    assert!(config(data, &["import", "policies", &refuse, "--expect", "1"]).0);
    in_force(2);
    assert_eq!(server.asked(2), Status::Refused);

    assert_eq!(config(data, &["export", "policies"]).1, REFUSE, "as it was given, comments and all");
    let copy = data.join("copy.toml").display().to_string();
    assert!(config(data, &["export", "policies", &copy]).0);
    let misnamed = data.join("copy.json").display().to_string();
    let (done, _, told) = config(data, &["export", "policies", &misnamed]);
    assert!(!done && told.contains("end it in .toml") && !data.join("copy.json").exists(), "{told}");
    let told = "policies: version 2 says the same already; nothing was changed\n".to_owned();
    assert_eq!(config(data, &["import", "policies", &copy]), (true, String::new(), told));
    let (_, difference, _) = config(data, &["diff", "policies", "1"]);
    assert!(difference.contains("-      \"name\": \"lab\"") && difference.contains("+      \"name\": \"default\""));
    assert!(config(data, &["rollback", "policies", "1"]).0);
    in_force(3);
    assert_eq!(server.asked(3), Status::Approved);
    let (_, history, _) = config(data, &["history", "policies"]);
    let lines: Vec<_> = history.lines().collect();
    let uid = format!("uid:{}, command line", rustix::process::getuid().as_raw());
    assert!(lines.len() == 3 && lines[0].starts_with("version 3 ") && lines[0].contains(&uid), "{history}");
    assert_eq!(config(data, &["show", "policies", "--version", "2"]).1, REFUSE);
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_line_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let path = data.join("bad.toml");
    std::fs::write(&path, "[[policies]]\nname = \"default\"\n\n[[policies]]\nname = \"x\"\n").unwrap();
    let bad = path.display().to_string();
    let expected = format!(
        "identree: {bad}:4: policy \"x\": it has no match_… field; give it one, or name it \"default\" to make it the last resort\n"
    );
    assert_eq!(config(data, &["import", "policies", &bad]), (false, String::new(), expected.clone()));
    // The check needs neither settings nor a database.
    let output = identree(data).env_clear().args(["config", "check", &bad]).output().unwrap();
    identree_evidence::output("config", &output);
    assert_eq!((output.status.success(), String::from_utf8(output.stderr).unwrap()), (false, expected));
    let (done, _, told) = config(data, &["show", "policies"]);
    let unset = "identree: policies has no version yet; `identree config import policies FILE` makes the first\n";
    assert_eq!((done, told.as_str()), (false, unset));
}

#[test]
fn hosts_and_sudo_rules_go_through_files() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    added(data, "web1");
    let (_, exported, _) = config(data, &["export", "hosts"]);
    let hosts: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_eq!((&hosts["web1"]["users"][0], &hosts["web1"]["credential"]), (&"*".into(), &"secret".into()));
    let path = data.join("hosts.json");
    std::fs::write(&path, r#"{"web2": {"users": ["ann"], "secret": "from elsewhere"}}"#).unwrap();
    let file = path.display().to_string();
    let (_, plan, told) = config(data, &["import", "hosts", &file, "--dry-run", "--remove-others"]);
    assert_eq!(
        plan,
        "+ web2  users=ann credential=secret generation=1\n- web1  users=* credential=secret generation=1\n"
    );
    assert!(told.starts_with("the secrets of 1 hosts are not taken over"), "{told}");
    assert!(config(data, &["import", "hosts", &file]).0);
    let list = String::from_utf8(verb(data, &["list-hosts"]).stdout).unwrap();
    assert!(list.contains("web1  ") && list.contains("web2  credential=secret  users=ann"), "{list}");
    assert!(!config(data, &["show", "hosts", "--version", "1"]).1.contains("from elsewhere"));

    let path = data.join("sudorules.json");
    std::fs::write(&path, r#"[{"group": "ops", "commands": "ALL"}]"#).unwrap();
    let (done, _, told) = config(data, &["import", "sudo-rules", &path.display().to_string()]);
    assert_eq!((done, told.as_str()), (true, "sudo-rules: version 1 is kept now; no server serves sudo rules yet\n"));
    assert_eq!(config(data, &["export", "sudo-rules"]).1, r#"[{"group": "ops", "commands": "ALL"}]"#);
}

#[test]
fn an_edited_policy_file_is_in_force_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let path = data.join("approval-policies.json");
    std::fs::write(&path, ALLOW).unwrap();
    let server = Server::start(data);
    assert_eq!(server.asked(0), Status::Approved);
    std::fs::write(&path, "{\"policies\": [{\"name\": \"default\", \"action\": \"refuse\"}]}").unwrap();
    server.until("identree_config_version{setting=\"policies\"} 2");
    assert_eq!(server.asked(1), Status::Refused);
    let health = |word: &str| {
        until(1, || {
            let (_, body) = exchange(&server.0.address, "GET /healthz HTTP/1.1", "");
            (u16::from(body.contains(&format!("\"config\":\"{word}\""))), body)
        })
    };
    std::fs::write(&path, "half a fi").unwrap();
    health("degraded");
    server.until("identree_config_refused{setting=\"policies\"} 1");
    assert_eq!(server.asked(2), Status::Refused, "the last good rules stay");
    std::fs::write(&path, ALLOW).unwrap();
    health("ok");
    server.until("identree_config_version{setting=\"policies\"} 3");
    assert_eq!(server.asked(3), Status::Approved, "what comes back counts again");
}
