//! The rules for auditd, read by its own program.

use std::process::Command;

use identree_core::grant::Decision;

use super::sandbox::require;
use super::setup::{HASH, SETUP, answering, host};

#[test]
fn auditd_takes_the_rules_and_remove_takes_them_away() {
    let server = answering(Decision::Granted);
    let Some(host) = host(&server) else { return };
    let there = Command::new("/usr/sbin/augenrules").arg("--check").output().is_ok();
    if !require("auditd", there) {
        return;
    }
    // auditctl would speak to this machine's kernel: its place is taken by a program that does nothing.
    let (code, output) = host.root(&format!(
        "{HASH}; mount --bind /bin/true /usr/sbin/auditctl; {SETUP} --auditd >/run/out 2>&1 || cat /run/out
         stat -c '%a %U' /etc/audit/rules.d/identree.rules
         grep '^-w' /etc/audit/rules.d/identree.rules | while read -r flag path rest; do
            [ -e \"$(dirname \"$path\")\" ] || echo \"no folder for $path\"
         done
         echo \"loaded $(grep -c -e '-k identree-' /etc/audit/audit.rules)\"; augenrules --check
         $SETUP setup --remove >/run/out || cat /run/out; ls /etc/audit/rules.d
         echo \"left $(grep -c -e '-k identree-' /etc/audit/audit.rules)\""
    ));
    assert_eq!(code, 0, "{output}");
    assert!(output.starts_with("640 root\n") && !output.contains("no folder for"), "{output}");
    assert!(output.contains("loaded 8\n") && output.contains("No change"), "{output}");
    assert!(!output.contains("identree.rules\n") && output.ends_with("left 0\n"), "{output}");
}
