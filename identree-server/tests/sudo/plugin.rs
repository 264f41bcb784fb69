//! sudo's approval plugin against the real server: what the approver reads is what runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use crate::sandbox::Sandbox;
use crate::site::Site;

const OPEN: &str = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n";

/// The plugin beside the server's program; built first where only the server was.
pub(crate) fn plugin() -> PathBuf {
    static BUILT: Once = Once::new();
    let plugin = Path::new(env!("CARGO_BIN_EXE_identree")).with_file_name("libsudo_identree.so");
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        let status = cargo.args(["build", "--quiet", "-p", "identree-pam-plugin", "--lib"]).status().unwrap();
        assert!(status.success() && plugin.exists(), "cargo build -p identree-pam-plugin: {status}");
    });
    plugin
}

/// A machine whose sudo has no other gate, and whose rules want a password that PAM does not ask for.
fn machine(site: &Site, tag: &str) -> Option<Sandbox> {
    let sandbox = Sandbox::with_pam(OPEN, "ALL")?;
    let sudoers = format!(
        "Defaults !lecture, secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n\
         ann ALL=(ALL:ALL) {tag}ALL\n"
    );
    sandbox.put("sudoers", &sudoers, 0o440);
    let line = format!("Plugin identree_approval {} config={}\n", plugin().display(), site.conf_path().display());
    sandbox.put("sudo.conf", &line, 0o644);
    Some(sandbox)
}

pub(crate) fn detached(line: &str) -> String {
    format!("exec setsid --wait sh -c '{}'", line.replace('\'', "'\\''"))
}

#[test]
fn the_approver_reads_what_runs_and_what_to_be_careful_about() {
    let site = Site::start(None, &[]);
    let Some(machine) = machine(&site, "NOPASSWD: ") else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn(&detached("cd /usr; umask 027; sudo EDITOR=vi sh -c 'whoami'"));
    let question = &ann.wait_for(1)[0];
    let page = ann.read(question);
    for words in [
        "/usr/bin/sh -c whoami",
        "As sudo will run it.",
        "/usr/bin/sh runs code from its own arguments.",
        "Variables of the requester reach the program: EDITOR",
        "root (uid 0, gid 0, groups 0)",
        "EDITOR=vi",
        "0027",
        "/usr/bin/dash, 0:0 0755",
        "/ 0:0 0755",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    ann.approve(question);
    let (code, output) = sudo.finish();
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(site.events(), ["challenge_created", "challenge_approved"]);
}

#[test]
fn each_sudo_is_asked_about_though_a_ticket_is_cached() {
    let site = Site::start(None, &[]);
    let Some(machine) = machine(&site, "") else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn("exec script -qec 'sudo true && sudo whoami' /dev/null");
    let question = &ann.wait_for(1)[0];
    assert!(ann.read(question).contains("/usr/bin/true"));
    ann.approve(question);
    let question = &ann.wait_for(1)[0];
    assert!(ann.read(question).contains("/usr/bin/whoami"));
    ann.deny(question, "");
    let (code, output) = sudo.finish();
    assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(site.states(), ["granted", "denied"]);
}

#[test]
fn a_rule_allows_a_command_only_where_nothing_else_decides() {
    const RULES: &str = r#"{"policies": [
        {"name": "who", "match_commands": ["/usr/bin/whoami", "/usr/bin/env*"], "action": "allow"},
        {"name": "default", "action": "refuse", "reason": "not by a rule"}
    ]}"#;
    let site = Site::start(Some(RULES), &[]);
    let Some(machine) = machine(&site, "NOPASSWD: ") else { return };
    let (code, output) = machine.sudo(&detached("sudo whoami"));
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    for line in ["sudo EDITOR=vi whoami", "sudo -i whoami", "sudo id"] {
        let (code, output) = machine.sudo(&detached(line));
        assert!(code != 0 && output.contains("not by a rule"), "{line}: {output}");
    }
    assert_eq!(site.states(), ["granted", "refused", "refused", "refused"]);
}

#[test]
fn a_terminal_that_hangs_up_takes_the_question_back() {
    let site = Site::start(None, &[]);
    let Some(machine) = machine(&site, "NOPASSWD: ") else { return };
    let mut ann = site.person("ann");
    let mut sudo = machine.spawn("exec script -qec 'sudo whoami' /dev/null");
    ann.wait_for(1);
    sudo.kill();
    ann.wait_for(0);
    assert_eq!(site.events(), ["challenge_created", "challenge_cancelled"]);
}
