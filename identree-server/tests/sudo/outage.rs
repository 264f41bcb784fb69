//! The server goes away: before sudo asks, and while it waits.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::site::Site;

fn survives(signal: Signal) {
    let mut site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn("sudo whoami");
    let before = ann.wait_for(1);
    site.end(signal);
    site.serve();
    assert_eq!(ann.wait_for(1), before, "ann is still signed in, and the question still waits");
    ann.approve(&before[0]);
    let (code, output) = sudo.finish();
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    assert!(output.contains("approved by ann"), "{output}");
    assert_eq!(site.events(), ["challenge_created", "challenge_approved"], "the same question all along");
}

#[test]
fn a_question_survives_a_restart() {
    survives(Signal::TERM);
}

#[test]
fn a_question_survives_a_crash() {
    survives(Signal::KILL);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a person stands before a dead server is what is measured")]
fn a_server_that_is_down_is_said_within_seconds() {
    let mut site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    site.end(Signal::TERM);
    let start = Instant::now();
    let (code, output) = machine.sudo("sudo whoami");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("the server is unreachable, so nothing was allowed"), "{output}");
}
