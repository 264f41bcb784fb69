//! What people answer, and that each sudo is exactly one question.

use crate::site::Site;

#[test]
fn approved_runs_and_both_phases_are_one_question() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn("sudo whoami");
    let question = &ann.wait_for(1)[0];
    let page = ann.read(question);
    assert!(page.contains("web1") && page.contains("whoami"), "{page}");
    ann.approve(question);
    let (code, output) = sudo.finish();
    assert_eq!(code, 0, "{output}");
    assert!(output.lines().any(|line| line == "root"), "{output}");
    assert!(output.contains("ann on web1 asks to run as root") && output.contains("approved by ann"), "{output}");
    let path = output.lines().find_map(|line| line.split_once("Approve")).unwrap().1.trim();
    assert!(path.ends_with(&**question), "the terminal shows {path}, the list {question}");
    assert_eq!(site.states(), ["granted"]);
    assert_eq!(site.events(), ["challenge_created", "challenge_approved"]);
}

#[test]
fn denied_says_why_and_runs_nothing() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn("sudo whoami");
    let question = &ann.wait_for(1)[0];
    ann.deny(question, "not during the backup");
    let (code, output) = sudo.finish();
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("denied by ann: not during the backup"), "{output}");
    assert!(!output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(site.events(), ["challenge_created", "challenge_denied"]);
}

#[test]
fn unanswered_ends_with_its_time() {
    // The shortest life that the server takes.
    let site = Site::start(None, &[("IDENTREE_CHALLENGE_TTL", "30s")]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let (code, output) = machine.sudo("sudo whoami");
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("Waiting up to 30 seconds"), "{output}");
    assert!(output.contains("nobody answered in time"), "{output}");
    assert_eq!(site.events(), ["challenge_created", "challenge_expired"]);
}

#[test]
fn a_host_that_waits_no_longer_takes_the_question_back() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    site.write_conf(&format!("{}IDENTREE_TIMEOUT=2s\n", site.conf()));
    let (code, output) = machine.sudo("sudo whoami");
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("nobody answered in time"), "{output}");
    assert_eq!(site.states(), ["cancelled"]);
}

#[test]
fn a_cached_ticket_and_nopasswd_still_ask() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let mut ann = site.person("ann");
    let sudo = machine.spawn("exec script -qec 'sudo true && sudo whoami' /dev/null");
    let first = ann.wait_for(1).remove(0);
    ann.approve(&first);
    let second = ann.wait_for(1).remove(0);
    assert_ne!(first, second);
    ann.deny(&second, "");
    let (code, output) = sudo.finish();
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("denied by ann") && !output.lines().any(|line| line == "root"), "{output}");

    let machine = site.sandbox("NOPASSWD: ALL").unwrap();
    let sudo = machine.spawn("sudo -n whoami");
    let question = &ann.wait_for(1)[0];
    ann.approve(question);
    let (code, output) = sudo.finish();
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(site.states(), ["granted", "denied", "granted"]);
}

#[test]
fn two_terminals_are_two_questions() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let mut ann = site.person("ann");
    let terminal = |word: &str| format!("script -qec 'sudo echo ran-{word}' /dev/null");
    let both = machine.spawn(&format!("{} & {}; wait", terminal("good"), terminal("bad")));
    for question in ann.wait_for(2) {
        if ann.read(&question).contains("ran-good") {
            ann.approve(&question);
        } else {
            ann.deny(&question, "");
        }
    }
    let (_, output) = both.finish();
    assert!(output.lines().any(|line| line == "ran-good"), "{output}");
    assert!(!output.lines().any(|line| line == "ran-bad") && output.contains("denied by ann"), "{output}");
    let mut states = site.states();
    states.sort_unstable();
    assert_eq!(states, ["denied", "granted"]);
}

#[test]
fn two_sudos_in_a_pipe_are_two_questions() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let mut ann = site.person("ann");
    let pipe = machine.spawn("exec script -qec 'sudo echo through 2>/dev/null | sudo grep -o through' /dev/null");
    // Both share the terminal's ticket file, so sudo lets them ask one after the other; the ticket does not answer.
    for _ in 0..2 {
        let question = &ann.wait_for(1)[0];
        ann.approve(question);
    }
    let (code, output) = pipe.finish();
    assert!(code == 0 && output.lines().any(|line| line == "through"), "{output}");
    assert_eq!(site.states(), ["granted", "granted"]);
}

#[test]
fn a_terminal_that_hangs_up_takes_the_question_back() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    let mut ann = site.person("ann");
    let mut sudo = machine.spawn("exec script -qec 'sudo whoami' /dev/null");
    ann.wait_for(1);
    sudo.kill();
    ann.wait_for(0);
    assert_eq!(site.events(), ["challenge_created", "challenge_cancelled"]);
}

#[test]
fn pamtester_asks_once_for_both_phases() {
    let site = Site::start(None, &[]);
    let Some(machine) = site.sandbox("ALL") else { return };
    if !crate::sandbox::require("/usr/bin/pamtester", std::path::Path::new("/usr/bin/pamtester").exists()) {
        return;
    }
    let mut ann = site.person("ann");
    // As sudo itself runs: ann's real uid, root's powers.
    let pamtester =
        machine.start("exec setpriv --ruid=64001 --euid=0 $1 2>&1", "pamtester sudo ann authenticate acct_mgmt");
    let question = &ann.wait_for(1)[0];
    ann.approve(question);
    let (code, output) = pamtester.finish();
    assert!(code == 0 && output.contains("approved by ann"), "{output}");
    assert!(output.contains("successfully authenticated") && output.contains("account management done"), "{output}");
    assert_eq!(site.states(), ["granted"]);
}
