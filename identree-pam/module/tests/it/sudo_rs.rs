//! Under the sudo written in Rust, which has no plugins: the module asks alone.

use std::path::PathBuf;

use identree_core::grant::Decision;
use identree_core::wire::v1::OpenRequest;

use crate::place::{config, machine, module, stack};
use crate::sandbox::{Sandbox, require};
use crate::screen::Screen;
use crate::server::{Server, ask_then, never};

/// The program that `.ci/install` built.
pub(crate) fn program() -> Option<PathBuf> {
    let target = module().ancestors().nth(3).unwrap().to_owned();
    let program = target.join("sudo-rs/bin/sudo");
    require(&format!("{} (.ci/install builds it)", program.display()), program.exists()).then_some(program)
}

/// Starts a line as ann at a terminal, where `sudo` is the one written in Rust; setuid here and nowhere else.
fn start(sandbox: &Sandbox, line: &str) -> Option<Screen> {
    let install =
        format!("mkdir /run/bin; install -m 4755 {} /run/bin/sudo; PATH=/run/bin:$PATH", program()?.display());
    let last = format!("{install}; exec setpriv --reuid=64001 --regid=64001 --clear-groups sh -c \"$1\"");
    Some(Screen::of(sandbox.command(&last, &format!("exec script -qec \"{line}\" /dev/null"))))
}

/// The command line in a question of the module's, which reads it from procfs.
fn typed(question: &OpenRequest) -> String {
    assert!(question.run.is_none(), "no plugin asks here: {question:?}");
    question.argv.iter().map(|word| String::from_utf8_lossy(&word.0)).collect::<Vec<_>>().join(" ")
}

fn run(sandbox: &Sandbox, line: &str) -> Option<(i32, String)> {
    start(sandbox, line).map(Screen::finish)
}

#[test]
fn approved_runs_and_the_question_says_what_was_typed() {
    for (line, run_as, service) in [
        ("sudo id -un", "root", "sudo"),
        ("sudo -u bob id -un", "bob", "sudo"),
        ("sudo -s id -un", "root", "sudo"),
        ("sudo -i id -un", "root", "sudo-i"),
    ] {
        for rule in ["ALL", "NOPASSWD: ALL"] {
            let server = Server::start(ask_then(Decision::Granted));
            let Some(sandbox) = machine(&server, rule) else { return };
            let Some((code, output)) = run(&sandbox, line) else { return };
            assert_eq!(code, 0, "{line}, {rule}: {output}");
            assert!(output.contains("approved by bob") && output.lines().any(|line| line == run_as), "{output}");
            assert_eq!(server.lines(), ["POST", "GET"], "{line}, {rule}: one question for auth and account: {output}");
            let question = server.seen()[0].question.clone().unwrap();
            let asked = (question.username.as_str(), question.run_as_user.as_str(), question.service.as_str());
            assert_eq!(asked, ("ann", run_as, service), "{line}, {rule}");
            assert_eq!(typed(&question), line, "{rule}");
        }
    }
}

#[test]
fn refused_runs_nothing_by_any_rule_or_option() {
    for rule in ["ALL", "NOPASSWD: ALL"] {
        for line in ["sudo id -un", "sudo -n id -un", "sudo -u bob id -un", "sudo -s id -un", "sudo -i id -un"] {
            let server = Server::start(ask_then(Decision::Denied));
            let Some(sandbox) = machine(&server, rule) else { return };
            let Some((code, output)) = run(&sandbox, line) else { return };
            assert_ne!(code, 0, "{line}, {rule}: {output}");
            assert!(!output.lines().any(|line| line == "root" || line == "bob"), "{line}, {rule}: {output}");
            // `-n` with a rule that wants a password ends before PAM.
            let asked = !(line.contains("-n ") && rule == "ALL");
            assert_eq!(server.lines().len(), if asked { 2 } else { 0 }, "{line}, {rule}: {output}");
        }
    }
}

#[test]
fn a_ticket_spares_the_password_and_not_the_question() {
    let server =
        Server::start(|state, _, nth| state.settled_last(if nth == 0 { Decision::Granted } else { Decision::Denied }));
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let Some((code, output)) = run(&sandbox, "sudo true && echo first && sudo id -un") else { return };
    assert!(code != 0 && output.lines().any(|line| line == "first"), "{output}");
    assert!(output.contains("denied by bob") && !output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(server.lines(), ["POST", "POST"], "{output}");
}

#[test]
fn with_any_one_line_removed_nobody_becomes_root_unasked() {
    for removed in 0..stack("").len() {
        for decision in [Decision::Granted, Decision::Denied] {
            let server = Server::start(ask_then(decision));
            let mut lines = stack(&config(&server));
            let line = lines.remove(removed);
            let Some(sandbox) = Sandbox::with_pam(&lines.join("\n"), "ALL") else { return };
            let Some((code, output)) = run(&sandbox, "sudo id -un") else { return };
            assert_eq!(server.lines(), ["POST", "GET"], "without `{line}`: {output}");
            assert!(code != 0 || decision == Decision::Granted, "without `{line}`: {output}");
        }
    }
}

#[test]
fn ctrl_c_takes_the_question_back() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let Some(mut screen) = start(&sandbox, "sudo id -un") else { return };
    screen.wait_for("Waiting up to");
    server.wait_for("GET");
    screen.keys("\x03");
    server.wait_for("DELETE");
    let (code, output) = screen.finish();
    assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET", "DELETE"], "{output}");
}

/// What sudo runs was read from the same memory as the question, and that is beyond the person's reach while they wait.
#[test]
fn who_asks_cannot_write_to_the_sudo_that_waits() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let line = "sudo id -un & pid=\\$!; read go; echo x | tee /proc/\\$pid/mem; strace -p \\$pid; echo tried; read go";
    let Some(mut screen) = start(&sandbox, line) else { return };
    screen.wait_for("Waiting up to");
    server.wait_for("GET");
    screen.keys("\n");
    let output = screen.wait_for("tried\r\n");
    assert!(output.contains("/mem: Permission denied"), "{output}");
    assert!(output.contains("Operation not permitted"), "{output}");
    drop(screen);
    server.wait_for("DELETE");
}

/// Nothing can be shown where there is no terminal: sudo opens it for each message.
#[test]
fn without_a_terminal_nobody_becomes_root() {
    let server = Server::start(ask_then(Decision::Denied));
    let Some(sandbox) = machine(&server, "NOPASSWD: ALL") else { return };
    let Some(program) = program() else { return };
    let last = format!(
        "mkdir /run/bin; install -m 4755 {} /run/bin/sudo; exec setpriv --reuid=64001 --regid=64001 --clear-groups setsid --wait sh -c \"$1\"",
        program.display()
    );
    let (code, output) = sandbox.start(&last, "exec 2>&1; /run/bin/sudo id -un").finish();
    assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
}
