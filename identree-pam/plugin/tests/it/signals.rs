//! Interrupting sudo while the question waits.

use std::io::Write as _;

use identree_core::grant::Decision;
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{machine, run, spawn};
use crate::server::{Server, never};

#[test]
fn each_signal_that_ends_a_program_takes_the_question_back() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let server = Server::start(never);
        let Some(sandbox) = machine(&server) else { return };
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("pid");
        std::fs::write(&named, "").unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::set_permissions(&named, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let running = spawn(&sandbox, &format!("echo $$ >{}; exec sudo whoami", named.display()));
        server.wait_for("GET");
        let pid = std::fs::read_to_string(&named).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        let (code, output) = running.finish();
        assert_ne!(code, 0, "{signal:?}: {output}");
        assert!(!output.lines().any(|line| line == "root"), "{output}");
        // A hang-up may find nobody to tell.
        assert!(output.contains("interrupted; the question was taken back"), "{signal:?}: {output}");
        assert_eq!(server.lines(), ["POST", "GET", "DELETE"], "{signal:?}: {output}");
    }
}

#[test]
fn ctrl_c_at_the_terminal_takes_the_question_back() {
    let server = Server::start(never);
    let Some(sandbox) = machine(&server) else { return };
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let made = std::process::Command::new("mkfifo").args(["-m", "666"]).arg(&keys).status().unwrap();
    assert!(made.success());
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let running = sandbox.spawn(&format!("exec script -qec 'sudo whoami' /dev/null <{}", keys.display()));
    let mut keyboard = std::fs::OpenOptions::new().write(true).open(&keys).unwrap();
    server.wait_for("GET");
    keyboard.write_all(b"\x03").unwrap();
    let (code, output) = running.finish();
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("interrupted; the question was taken back"), "{output}");
    assert!(!output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET", "DELETE"], "{output}");
}

#[test]
fn a_signal_that_comes_with_the_approval_wins() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("pid");
    std::fs::write(&named, "").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::set_permissions(&named, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let (line, named) = (format!("echo $$ >{}; exec sudo whoami", named.display()), named.clone());
    let server = Server::start(move |state, _, _| {
        // The process is stopped while both arrive, so that which came first does not matter.
        let pid = std::fs::read_to_string(&named).unwrap().trim().parse().ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        state.settled(Decision::Granted)
    });
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, &line);
    assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
    assert!(output.contains("interrupted"), "{output}");
}
