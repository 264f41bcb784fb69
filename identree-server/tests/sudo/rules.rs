//! What the policy file decides without asking anybody.

use crate::site::Site;

/// Everything on the host, without asking.
pub(crate) const ALLOW: &str = r#"{"policies": [{"name": "lab", "match_hosts": ["web1"], "action": "allow"}]}"#;

const POLICIES: &str = r#"{"policies": [
    {"name": "closed", "match_commands": ["sudo reboot*"], "action": "refuse", "reason": "call the duty officer"},
    {"name": "typed", "match_commands": ["sudo whoami"], "action": "allow"},
    {"name": "default"}
]}"#;

#[test]
fn a_rule_that_allows_asks_nobody() {
    let site = Site::start(Some(ALLOW), &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let (code, output) = machine.sudo("sudo whoami");
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    assert!(!output.contains("Code"), "nobody is shown a code that nobody needs: {output}");
    assert_eq!(site.events(), ["challenge_allowed"]);
}

#[test]
fn a_rule_refuses_with_its_reason_and_what_was_merely_typed_is_asked_about() {
    let site = Site::start(Some(POLICIES), &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let (code, output) = machine.sudo("sudo reboot --help");
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("refused by rule 'closed': call the duty officer"), "{output}");
    assert!(!output.contains("Code"), "{output}");

    let mut ann = site.person("ann");
    let sudo = machine.spawn("sudo whoami");
    let question = &ann.wait_for(1)[0];
    ann.approve(question);
    let (code, output) = sudo.finish();
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(site.events(), ["challenge_refused", "challenge_created", "challenge_approved"]);
}
