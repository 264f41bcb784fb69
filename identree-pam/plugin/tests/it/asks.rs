//! That sudo runs nothing without a proven yes to exactly this run, whatever its own rules allow.

use identree_core::challenge::RunMode;
use identree_core::grant::Decision;

use crate::place::{DEFAULTS, asked, machine, machine_with, question, run};
use crate::server::{Server, allow, ask_then, sign_with};

#[test]
fn approved_runs_and_the_question_says_what() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, "cd /tmp; umask 027; SUDO_REASON='ticket 7' sudo -u bob id -un");
    assert!(code == 0 && output.lines().any(|line| line == "bob"), "{output}");
    assert!(output.contains("ann on web1 asks to run as bob") && output.contains("/usr/bin/id -un"), "{output}");
    assert!(output.contains("approved by bob"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET"], "{output}");
    let (question, asked) = (question(&server), asked(&server));
    assert_eq!((question.username.as_str(), question.run_as_user.as_str()), ("ann", "bob"));
    assert_eq!((question.cwd.unwrap().0, question.reason.as_deref()), (b"/tmp".to_vec(), Some("ticket 7")));
    assert_eq!((asked.mode, asked.path.0, asked.umask), (RunMode::Command, b"/usr/bin/id".to_vec(), Some(0o27)));
    assert_eq!((asked.requester_uid, asked.run_as_uid, asked.run_as_gid), (64001, 64002, 64002));
    assert_eq!((asked.run_as_groups, asked.environment, asked.settings), (vec![64002], vec![], vec![]));
    assert!(asked.file.unwrap().writable(0).is_empty());
}

#[test]
fn nothing_of_it_gets_into_the_commands_output() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, "sudo whoami 2>/dev/null");
    assert_eq!((code, output.as_str()), (0, "root\n"));
}

#[test]
fn every_no_runs_nothing() {
    for (decision, words) in [
        (Decision::Denied, "denied by bob"),
        (Decision::Refused, "refused"),
        (Decision::Expired, "nobody answered in time"),
        (Decision::Cancelled, "taken back"),
    ] {
        let server = Server::start(ask_then(decision));
        let Some(sandbox) = machine(&server) else { return };
        let (code, output) = run(&sandbox, "sudo whoami");
        assert_ne!(code, 0, "{output}");
        assert!(output.contains(words) && !output.lines().any(|line| line == "root"), "{output}");
        assert_eq!(server.lines(), ["POST", "GET"], "{output}");
    }
}

#[test]
fn a_cached_ticket_asks_each_time() {
    // With a password rule: the ticket comes from PAM, which here asks for nothing.
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine_with(&server, &format!("{DEFAULTS}ann ALL=(ALL:ALL) ALL\n")) else { return };
    // The scripted server knows the first question only, so the second one ends without an answer.
    let (code, output) = run(&sandbox, "script -qec 'sudo true && sudo true' /dev/null");
    assert!(code != 0 && output.contains("approved by bob"), "{output}");
    let nonces: Vec<_> = server.seen().iter().filter_map(|s| s.question.as_ref().map(|q| q.nonce)).collect();
    assert_eq!(nonces.len(), 2, "{output}");
    assert_ne!(nonces[0], nonces[1], "each sudo is its own question");
}

#[test]
fn an_answer_to_another_run_opens_nothing() {
    // The server answers every question with the grant of the first one.
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, "sudo true && sudo true");
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("another question"), "{output}");
}

#[test]
fn an_answer_signed_by_another_key_opens_nothing() {
    let server = Server::start(|state, _, _| {
        let other = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
        state
            .reply(identree_core::wire::v1::Status::Approved, Some(sign_with(&other, &state.answer(Decision::Granted))))
    });
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, "sudo whoami");
    assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
    assert!(output.contains("a key that this host does not trust"), "{output}");
}
