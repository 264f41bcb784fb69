//! Under Debian's real sudo and Linux-PAM, in a mount namespace of its own with its own users, rules and PAM stack.

mod audit;
mod doctor;
mod host;
mod sandbox;
mod setup;
mod standing;

use identree_core::grant::Decision;

use crate::server::{Act, Server, allow, ask_then, never, sign_with};
use sandbox::{Helper, Sandbox, Stack};

const BOTH: Stack = Stack { auth: true, account: true };

/// A machine that asks this server. `None` where this one cannot do it; `rule` is what sudoers allows ann.
fn machine(server: &Server, stack: Stack, rule: &str) -> Option<Sandbox> {
    let conf = server.write_conf(&format!("{}IDENTREE_TIMEOUT=20s\n", server.conf()));
    Sandbox::new(Helper { program: env!("CARGO_BIN_EXE_identree-pam").into(), conf }, stack, rule)
}

#[test]
fn approved_runs_and_both_phases_ask_once() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo whoami");
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("ann on web1 asks to run as root") && output.contains("approved by bob"), "{output}");
    assert!(output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET"], "auth and account ask once");
    let question = server.seen()[0].question.clone().unwrap();
    let argv: Vec<_> = question.argv.iter().map(|a| String::from_utf8_lossy(&a.0).into_owned()).collect();
    assert_eq!(
        (question.username.as_str(), question.run_as_user.as_str(), &*argv),
        ("ann", "root", &["sudo".into(), "whoami".into()][..])
    );
    assert_eq!(question.cwd.unwrap().0, b"/");
}

#[test]
fn refused_and_expired_end_after_one_question() {
    for (decision, words) in [(Decision::Denied, "denied by bob"), (Decision::Expired, "nobody answered in time")] {
        let server = Server::start(ask_then(decision));
        let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
        let (code, output) = sandbox.sudo("sudo whoami");
        assert_ne!(code, 0, "{output}");
        assert!(output.contains(words) && !output.contains("root\n"), "{output}");
        assert_eq!(server.lines(), ["POST", "GET"], "{output}");
    }
}

#[test]
fn with_either_line_removed_it_still_asks() {
    for stack in [Stack { auth: true, account: false }, Stack { auth: false, account: true }] {
        for (decision, opens) in [(Decision::Granted, true), (Decision::Denied, false)] {
            let server = Server::start(ask_then(decision));
            let Some(sandbox) = machine(&server, stack, "ALL") else { return };
            let (code, output) = sandbox.sudo("sudo whoami");
            assert_eq!(code == 0, opens, "{output}");
            assert_eq!(server.lines(), ["POST", "GET"], "{output}");
        }
    }
}

#[test]
fn nopasswd_and_a_cached_ticket_still_ask() {
    let server = Server::start(ask_then(Decision::Denied));
    let Some(sandbox) = machine(&server, BOTH, "NOPASSWD: ALL") else { return };
    let (code, output) = sandbox.sudo("sudo -n whoami");
    assert_ne!(code, 0, "{output}");
    assert_eq!(server.lines(), ["POST", "GET"]);

    // The first sudo leaves a ticket for the terminal; the second one finds it and is refused all the same.
    let server =
        Server::start(|state, _, nth| state.settled_last(if nth == 0 { Decision::Granted } else { Decision::Denied }));
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("script -qec 'sudo true && sudo whoami' /dev/null");
    assert!(code != 0 && output.contains("denied by bob"), "{output}");
    let asked: Vec<_> = server.seen().iter().filter_map(|s| s.question.as_ref().map(|q| q.nonce)).collect();
    assert_eq!(asked.len(), 2, "{output}");
    assert_ne!(asked[0], asked[1], "each sudo is its own question");
}

#[test]
fn an_answer_signed_by_another_key_opens_nothing() {
    let server = Server::start(|state, _, _| {
        let other = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
        state
            .reply(identree_core::wire::v1::Status::Approved, Some(sign_with(&other, &state.answer(Decision::Granted))))
    });
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo whoami");
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("a key that this host does not trust"), "{output}");
}

#[test]
fn a_question_already_answered_cannot_be_replayed_by_another_sudo() {
    // The server answers every sudo with the grant of the first one.
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo true && sudo whoami");
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("another question"), "{output}");
}

#[test]
fn run_as_and_reason_are_stated() {
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("SUDO_REASON=' ticket 7 ' sudo -u bob id -un");
    assert!(code == 0 && output.lines().any(|line| line == "bob"), "{output}");
    let question = server.seen()[0].question.clone().unwrap();
    assert_eq!((question.run_as_user.as_str(), question.reason.as_deref()), ("bob", Some("ticket 7")));
}

#[test]
fn a_line_that_seems_to_run_as_somebody_else_is_not_even_asked() {
    // sudo takes the assignment for the command and would run it as root; the options seem to say bob.
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo -p -- d=1/x -u bob id");
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("cannot tell from the options"), "{output}");
    assert!(server.lines().is_empty(), "{output}");
}

#[test]
fn su_is_asked_about_too() {
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("su -c 'id -un' bob");
    assert!(code == 0 && output.lines().any(|line| line == "bob"), "{output}");
    let question = server.seen()[0].question.clone().unwrap();
    assert_eq!(
        (question.username.as_str(), question.run_as_user.as_str(), question.service.as_str()),
        ("ann", "bob", "su")
    );
}

#[test]
fn a_terminal_that_hangs_up_takes_the_question_back() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let mut running = sandbox.spawn("exec script -qec 'sudo whoami' /dev/null");
    server.wait_for("GET");
    running.kill();
    server.wait_for("DELETE");
    assert_eq!(server.lines().iter().filter(|m| *m == "DELETE").count(), 1);
}

#[test]
fn a_signal_to_the_helper_takes_the_question_back() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let running = sandbox.spawn("exec sudo whoami");
    server.wait_for("GET");
    sandbox.signal_helper();
    let (code, output) = running.finish();
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("the question was taken back"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET", "DELETE"], "{output}");
}

#[test]
fn a_caller_that_dies_takes_the_question_back() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let running = sandbox.spawn("sudo whoami");
    server.wait_for("GET");
    sandbox.kill_caller();
    server.wait_for("DELETE");
    assert_ne!(running.finish().0, 0);
}

#[test]
fn the_question_survives_a_server_that_goes_and_comes_back() {
    let server = Server::start(|state, _, nth| match nth {
        0 => state.pending(),
        1..4 => Act::Close,
        _ => state.settled(Decision::Granted),
    });
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo whoami");
    assert!(code == 0 && output.contains("approved by bob"), "{output}");
    let opened = server.lines().iter().filter(|method| *method == "POST").count();
    assert_eq!(opened, 1, "the same question all along");
}

#[test]
fn a_server_known_by_name_is_resolved_by_the_system() {
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, BOTH, "ALL") else { return };
    server.write_conf(&server.conf().replace("127.0.0.1", "id.test"));
    let (code, output) = sandbox.sudo("sudo whoami");
    assert!(code == 0 && output.contains("approved by bob"), "{output}");
}
