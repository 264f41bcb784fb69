//! Hosts that the server does not take for what they say, and servers that the host does not.

use std::time::{Duration, Instant};

use crate::rules::ALLOW;
use crate::site::Site;

/// Waits until the running server has noticed what a host verb changed: within a second, and what a busy machine adds.
#[expect(clippy::disallowed_methods, reason = "how long an old secret still works is what is measured")]
fn until_refused(site: &Site) {
    let start = Instant::now();
    while site.check() {
        assert!(start.elapsed() < Duration::from_secs(4), "the old secret still works");
    }
}

#[test]
fn a_rotated_secret_stops_working_and_the_new_one_works() {
    let site = Site::start(Some(ALLOW), &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let (code, output) = machine.sudo("sudo whoami");
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");

    let conf = site.run(&["rotate-host-secret", "web1", "--client-conf"]);
    until_refused(&site);
    let (code, output) = machine.sudo("sudo whoami");
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("not set up correctly") && output.contains("rotate-host-secret"), "{output}");
    assert!(!output.lines().any(|line| line == "root"), "{output}");

    site.write_conf(&conf);
    let (code, output) = machine.sudo("sudo whoami");
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(site.states(), ["granted", "granted"]);
}

#[test]
fn a_removed_host_is_refused() {
    let site = Site::start(Some(ALLOW), &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    site.run(&["remove-host", "web1"]);
    until_refused(&site);
    let (code, output) = machine.sudo("sudo whoami");
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("not set up correctly"), "{output}");
    assert!(!output.lines().any(|line| line == "root"), "{output}");
    assert!(site.states().is_empty());
}

#[test]
fn a_host_that_trusts_another_key_runs_nothing() {
    let site = Site::start(Some(ALLOW), &[]);
    let other = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let key = |site: &Site| {
        let conf = site.conf();
        conf.lines().find_map(|line| line.strip_prefix("IDENTREE_DECISION_KEYS=")).unwrap().to_owned()
    };
    site.write_conf(&site.conf().replace(&key(&site), &key(&other)));
    let (code, output) = machine.sudo("sudo whoami");
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("a key that this host does not trust"), "{output}");
    assert!(!output.lines().any(|line| line == "root"), "{output}");
}
