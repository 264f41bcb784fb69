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
    // Each rule is read by auditctl as far as that goes without the kernel: a wrong one is an error of its line.
    let (code, output) = host.root(&format!(
        "{HASH}; before=$(files); {SETUP} --auditd >/run/out 2>&1 || cat /run/out; stat -c '%a %U' /etc/audit/rules.d/identree.rules
         mkdir -p /run/audit; grep '^-w' /etc/audit/rules.d/identree.rules | while read -r flag path rest; do
            [ -e \"$(dirname \"$path\")\" ] || echo \"no folder for $path\"
         done
         augenrules --check; $SETUP setup --remove >/run/out || cat /run/out
         [ \"$before\" = \"$(files)\" ] && echo '== the same'"
    ));
    assert_eq!(code, 0, "{output}");
    assert!(output.starts_with("640 root\n") && output.contains("== the same"), "{output}");
    assert!(!output.contains("no folder for"), "{output}");
    assert!(output.contains("should be updated"), "augenrules sees the new file: {output}");
}
