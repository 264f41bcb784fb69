//! PAM lines and approval plugin together: one question where both are whole, and one at least whichever piece is missing.

use crate::plugin::{detached, plugin};
use crate::site::Site;

fn line(site: &Site, path: &str) -> String {
    format!("Plugin identree_approval {path} config={}\n", site.conf_path().display())
}

const INSTALLED: &str = "/usr/libexec/identree/sudo_identree.so";

#[test]
fn with_both_the_plugin_asks_alone() {
    let site = Site::start(None, &[]);
    for rule in ["ALL", "NOPASSWD: ALL"] {
        let Some(machine) = site.sandbox_with_plugin(rule, &line(&site, INSTALLED)) else { return };
        let mut ann = site.person("ann");
        // Without secure_path sudo takes ann's own.
        let sudo = machine.spawn(&detached("PATH=/usr/bin:/bin sudo whoami"));
        let question = &ann.wait_for(1)[0];
        assert!(ann.read(question).contains("As sudo will run it."));
        ann.approve(question);
        let (code, output) = sudo.finish();
        assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    }
    assert_eq!(site.states(), ["granted", "granted"], "one question each");
}

#[test]
fn what_runs_nothing_is_not_asked_about() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox_with_plugin("ALL", &line(&site, INSTALLED)) else { return };
    for call in ["sudo -l", "sudo -v"] {
        let (code, output) = machine.sudo(&detached(call));
        assert_eq!(code, 0, "{output}");
    }
    assert!(site.states().is_empty());
}

#[test]
fn a_plugin_that_sudo_conf_does_not_name_leaves_pam_to_ask() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox_with_plugin("NOPASSWD: ALL", "# nothing\n") else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn(&detached("sudo whoami"));
    let question = &ann.wait_for(1)[0];
    assert!(ann.read(question).contains("As typed at the terminal."));
    ann.deny(question, "");
    let (code, output) = sudo.finish();
    assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
}

#[test]
fn another_file_than_the_installed_one_keeps_pam_asking() {
    let site = Site::start(None, &[]);
    let elsewhere = plugin();
    let named = line(&site, elsewhere.to_str().unwrap());
    let Some(machine) = site.sandbox_with_plugin("NOPASSWD: ALL", &named) else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn(&detached("PATH=/usr/bin:/bin sudo whoami"));
    let question = &ann.wait_for(1)[0];
    assert!(ann.read(question).contains("As typed at the terminal."), "PAM asks first");
    ann.approve(question);
    // The answer to that question is none to the plugin's.
    let question = &ann.wait_for(1)[0];
    assert!(ann.read(question).contains("As sudo will run it."));
    ann.deny(question, "");
    let (code, output) = sudo.finish();
    assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(site.states(), ["granted", "denied"]);
}

#[test]
fn a_plugin_that_cannot_be_loaded_ends_sudo() {
    let site = Site::start(None, &[]);
    let missing = line(&site, "/usr/libexec/identree/no_such.so");
    let mistyped = format!("Plugin identree_aproval {INSTALLED}\n");
    for named in [missing, mistyped] {
        let Some(machine) = site.sandbox_with_plugin("NOPASSWD: ALL", &named) else { return };
        let (code, output) = machine.sudo(&detached("sudo whoami"));
        assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
    }
    assert!(site.states().is_empty());
}
