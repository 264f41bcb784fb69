//! `identree doctor` on a whole host: it finds what is open, and calls gated only what asked.

use identree_core::grant::Decision;

use super::host::Host;
use super::setup::{HASH, SETUP, answering, host};

/// The line of one door.
fn door<'a>(output: &'a str, name: &str) -> &'a str {
    let line = output.lines().find(|line| line.starts_with(&format!("{name:<9} ")));
    line.unwrap_or_default()
}

#[test]
fn before_setup_doors_are_open_and_after_it_they_ask() {
    let server = answering(Decision::Denied);
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(&format!(
        "$SETUP doctor; echo \"== code $?\"; {HASH}; {SETUP} --service sudo --service sudo-i --service su --service su-l >/run/out || exit 1
         echo '== after'; $SETUP doctor; echo \"== code $?\"; ls -A /var/lib/identree-host/setup"
    ));
    assert_eq!(code, 0, "{output}");
    let (before, after) = output.split_once("== after").unwrap();
    assert!(
        door(before, "sudo").contains("OPEN") && before.contains("/etc/pam.d/sudo:6: @include common-auth"),
        "{output}"
    );
    assert!(door(before, "sudo -i").contains("OPEN") && before.contains("== code 2"), "{output}");
    for name in ["sudo", "sudo -i", "su", "su -l"] {
        assert!(door(after, name).contains(" gated "), "{name}: {output}");
    }
    assert!(door(after, "cron").contains("unknown") && after.contains("== code 1"), "{output}");
    assert!(server.seen().iter().all(|seen| seen.question.is_none()), "the real server was asked nothing: {output}");
    assert!(!after.contains("doctor-"), "no room is left: {output}");
}

#[test]
fn a_missing_line_is_found_by_trying() {
    let server = answering(Decision::Denied);
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(&format!(
        "{HASH}; {SETUP} >/run/out || exit 1; cp -a /etc/pam.d/sudo /run/kept
         echo 'ann ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/free; sed -i '/^account  required/d' /etc/pam.d/sudo
         $SETUP doctor; echo \"== ticket\"; rm /etc/sudoers.d/free; cp -a /run/kept /etc/pam.d/sudo
         sed -i '/^auth     requisite/d' /etc/pam.d/sudo; $SETUP doctor; echo '== cron'
         cp -a /run/kept /etc/pam.d/sudo; touch /etc/cron.d/loose; chmod 666 /etc/cron.d/loose; $SETUP doctor --json"
    ));
    let (account, rest) = output.split_once("== ticket").unwrap();
    let (auth, json) = rest.split_once("== cron").unwrap();
    let found = door(account, "sudo");
    assert!(
        found.contains("OPEN") && found.contains("NOPASSWD") && found.contains("/etc/sudoers.d/free:1"),
        "{output}"
    );
    assert!(account.contains("@include common-account"), "the line that lets it pass: {output}");
    assert!(door(account, "sudo -i").contains("gated"), "{output}");
    // Without the auth line account still asks, each time.
    assert!(door(auth, "sudo").contains("gated"), "{output}");
    let json: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    let cron = json["doors"].as_array().unwrap().iter().find(|door| door["door"] == "cron").unwrap();
    assert!(cron["standing"] == "open" && cron["why"].as_str().unwrap().contains("/etc/cron.d/loose"), "{json}");
    assert_eq!(code, 2, "{output}");
}

#[test]
fn what_cannot_be_tried_is_unknown() {
    let server = answering(Decision::Denied);
    let Some(host) = Host::new(&server, None) else { return };
    let (code, output) = host.root("mv /etc/crontab /run/; mount -t tmpfs tmpfs /bin 2>/dev/null; $SETUP doctor");
    assert_ne!(code, 0, "{output}");
    assert!(!output.contains("gated"), "{output}");
}

/// The sudo written in Rust, where `.ci/install` built it.
fn sudo_rs() -> Option<String> {
    let target = std::path::Path::new(env!("CARGO_BIN_EXE_identree-host")).ancestors().nth(2).unwrap();
    let program = target.join("sudo-rs/bin/sudo");
    let there = super::sandbox::require(&format!("{} (.ci/install builds it)", program.display()), program.exists());
    there.then(|| {
        let place = "mount -t tmpfs -o mode=0755 tmpfs /usr/local/bin";
        format!("{place}; install -m 4755 {} /usr/local/bin/sudo-rs\n", program.display())
    })
}

#[test]
fn sudo_rs_is_tried_as_sudo_is() {
    let server = answering(Decision::Denied);
    let Some(install) = sudo_rs() else { return };
    let Some(host) = host(&server) else { return };
    let (code, output) = host.root(&format!(
        "{install} $SETUP doctor; echo '== after'; {HASH}; {SETUP} >/run/out || exit 1; $SETUP doctor
         echo '== account'; sed -i '/^account  required/d' /etc/pam.d/sudo; $SETUP doctor"
    ));
    let (before, rest) = output.split_once("== after").unwrap();
    let (after, account) = rest.split_once("== account").unwrap();
    assert!(door(before, "sudo-rs").contains("OPEN"), "{output}");
    assert!(door(after, "sudo-rs").contains(" gated "), "{output}");
    assert!(door(account, "sudo-rs").contains("OPEN"), "without its line NOPASSWD lets people in: {output}");
    assert_eq!(code, 2, "{output}");
}
