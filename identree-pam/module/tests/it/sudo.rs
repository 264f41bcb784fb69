//! Under Debian's real sudo and su.

use identree_core::grant::Decision;

use crate::place::{config, machine, stack};
use crate::sandbox::Sandbox;
use crate::screen::Screen;
use crate::server::{Act, Server, allow, ask_then, never};

#[test]
fn approved_runs_and_both_phases_ask_once() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo whoami");
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("ann on web1 asks to run as root") && output.contains("approved by bob"), "{output}");
    assert!(output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET"], "auth and account ask once");
}

#[test]
fn refused_ends_after_one_question_whatever_sudo_tries() {
    for decision in [Decision::Denied, Decision::Expired] {
        let server = Server::start(ask_then(decision));
        let Some(sandbox) = machine(&server, "ALL") else { return };
        let (code, output) = sandbox.sudo("sudo whoami");
        assert_ne!(code, 0, "{output}");
        assert!(!output.contains("root\n") && !output.contains("panicked"), "{output}");
        assert_eq!(server.lines(), ["POST", "GET"], "{output}");
    }
}

#[test]
fn with_any_one_line_removed_nobody_becomes_root_unasked() {
    for removed in 0..stack("").len() {
        for decision in [Decision::Granted, Decision::Denied] {
            let server = Server::start(ask_then(decision));
            let mut lines = stack(&config(&server));
            let line = lines.remove(removed);
            let Some(sandbox) = Sandbox::with_pam(&lines.join("\n"), "ALL") else { return };
            let (code, output) = sandbox.sudo("sudo whoami");
            assert_eq!(server.lines(), ["POST", "GET"], "without `{line}`: {output}");
            // Where the missing line is no gate, sudo may refuse what was approved, but never the other way round.
            assert!(code != 0 || decision == Decision::Granted, "without `{line}`: {output}");
        }
    }
}

#[test]
fn nopasswd_a_cached_ticket_and_n_still_ask() {
    for line in ["sudo whoami", "sudo -n whoami", "sudo -i whoami", "sudo -s whoami"] {
        let server = Server::start(ask_then(Decision::Denied));
        let Some(sandbox) = machine(&server, "NOPASSWD: ALL") else { return };
        let (code, output) = sandbox.sudo(line);
        assert!(code != 0 && output.contains("denied by bob"), "{line}: {output}");
        assert_eq!(server.lines(), ["POST", "GET"], "{line}: {output}");
    }

    let server =
        Server::start(|state, _, nth| state.settled_last(if nth == 0 { Decision::Granted } else { Decision::Denied }));
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let (code, output) = sandbox.sudo("script -qec 'sudo true && sudo whoami' /dev/null");
    assert!(code != 0 && output.contains("denied by bob"), "{output}");
    let asked: Vec<_> = server.seen().iter().filter_map(|s| s.question.as_ref().map(|q| q.nonce)).collect();
    assert_eq!(asked.len(), 2, "the ticket skips auth, not account: {output}");
    assert_ne!(asked[0], asked[1], "each sudo is its own question");
}

#[test]
fn sudo_i_and_su_are_asked_about() {
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo -i whoami");
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    let question = server.seen()[0].question.clone().unwrap();
    assert_eq!((question.username.as_str(), question.service.as_str()), ("ann", "sudo-i"));

    for (line, service) in [("su -c 'id -un' bob", "su"), ("su -c 'id -un' - bob", "su-l")] {
        let server = Server::start(allow);
        let Some(sandbox) = machine(&server, "ALL") else { return };
        let (code, output) = sandbox.sudo(line);
        assert!(code == 0 && output.lines().any(|line| line == "bob"), "{output}");
        let question = server.seen()[0].question.clone().unwrap();
        let asked = (question.username.as_str(), question.run_as_user.as_str(), question.service.as_str());
        assert_eq!(asked, ("ann", "bob", service));
    }
}

#[test]
fn ctrl_c_takes_the_question_back_and_sudo_ends() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let mut screen = Screen::of_ann(&sandbox, "sudo whoami");
    screen.wait_for("Waiting up to");
    server.wait_for("GET");
    screen.keys("\x03");
    server.wait_for("DELETE");
    let (code, output) = screen.finish();
    assert!(code != 0 && output.contains("the question was taken back"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET", "DELETE"], "{output}");
}

#[test]
fn a_terminal_that_hangs_up_takes_the_question_back() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let mut running = sandbox.spawn("exec script -qec 'sudo whoami' /dev/null");
    server.wait_for("GET");
    running.kill();
    server.wait_for("DELETE");
}

#[test]
fn a_peer_that_is_no_server_opens_nothing_in_time() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(5000)).into_bytes();
    for (rubbish, words) in [
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "not an identree server"),
        (endless, "too large"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n".to_vec(), "redirects"),
        (b"HTTP/1.1 200 O".to_vec(), "no answer in time"),
    ] {
        let server = Server::start(move |_, _, _| Act::Raw(rubbish.clone()));
        let Some(sandbox) = machine(&server, "NOPASSWD: ALL") else { return };
        server.write_conf(&format!("{}IDENTREE_TIMEOUT=1s\nIDENTREE_CONNECT_TIMEOUT=500ms\n", server.conf()));
        let before = identree_pam::clock::now();
        let (code, output) = sandbox.sudo("sudo whoami");
        let took = identree_pam::clock::now().since(before);
        assert!(code != 0 && output.contains(words), "{output}");
        assert!(took < std::time::Duration::from_secs(5), "{took:?}: {output}");
    }
}

#[test]
fn the_question_survives_a_server_that_goes_and_comes_back() {
    let server = Server::start(|state, _, nth| match nth {
        0 => state.pending(),
        1..4 => Act::Close,
        _ => state.settled(Decision::Granted),
    });
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let (code, output) = sandbox.sudo("sudo whoami");
    assert!(code == 0 && output.contains("approved by bob"), "a broken pipe ends nothing: {output}");
    assert_eq!(server.lines().iter().filter(|method| *method == "POST").count(), 1, "the same question all along");
}

#[test]
fn the_link_is_drawn_where_the_terminal_can_show_it() {
    for (terminal, locale, drawn) in
        [("rows 40 cols 100", "C.UTF-8", true), ("rows 40 cols 20", "C.UTF-8", false), ("rows 40 cols 100", "C", false)]
    {
        let server = Server::start(ask_then(Decision::Granted));
        let Some(sandbox) = machine(&server, "ALL") else { return };
        let screen = Screen::of_ann(&sandbox, &format!("stty {terminal}; LC_ALL={locale} sudo whoami"));
        let (code, output) = screen.finish();
        assert!(code == 0 && output.contains("https://id.example/approve/AB"), "{output}");
        assert_eq!(output.contains('█'), drawn, "{terminal} {locale}: {output}");
    }
}
