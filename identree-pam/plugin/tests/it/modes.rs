//! What each way of calling sudo asks.

use identree_core::challenge::{Challenge as _, RunMode};
use identree_core::grant::Decision;
use identree_core::id::{HostName, Target};

use crate::place::{DEFAULTS, asked, machine, machine_with, question, run};
use crate::sandbox::Sandbox;
use crate::server::{Server, ask_then};

/// Approves one run and returns how it was asked, with the command as people read it and what was printed.
fn approved(line: &str) -> Option<(Server, Sandbox, String)> {
    let server = Server::start(ask_then(Decision::Granted));
    let sandbox = machine(&server)?;
    let (code, output) = run(&sandbox, line);
    assert_eq!(code, 0, "{line}: {output}");
    assert_eq!(server.lines(), ["POST", "GET"], "{line}: {output}");
    Some((server, sandbox, output))
}

fn command(server: &Server) -> String {
    let target = Target::Host(HostName::parse("web1").unwrap());
    question(server).into_challenge(target, vec![]).unwrap().command().unwrap().to_owned()
}

#[test]
fn a_login_shell_is_a_shell_of_the_target() {
    let Some((server, _sandbox, output)) = approved("echo 'whoami; pwd' | sudo -i -u bob") else { return };
    assert!(output.contains("bob\n/"), "{output}");
    let run = asked(&server);
    assert_eq!((run.mode, run.path.0.as_slice()), (RunMode::LoginShell, &b"/bin/sh"[..]));
    assert_eq!(run.start_in.unwrap().0, b"/");
    assert_eq!(question(&server).argv[0].0, b"-sh");
    let Some((server, _sandbox, _)) = approved("sudo -i id -u") else { return };
    assert_eq!(command(&server), "/bin/sh -c 'id -u'");
}

#[test]
fn a_shell_is_the_requesters_own() {
    let Some((server, _sandbox, output)) = approved("echo whoami | SHELL=/bin/sh sudo -s") else { return };
    assert!(output.lines().any(|line| line == "root"), "{output}");
    assert_eq!((asked(&server).mode, command(&server).as_str()), (RunMode::Shell, "/bin/sh"));
    assert!(asked(&server).environment.is_empty(), "{:?}", asked(&server).environment);
}

#[test]
fn an_edit_is_asked_with_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("motd");
    std::fs::write(&file, "old\n").unwrap();
    // The editor is the requester's own choice and runs as the requester, with the requester's environment.
    let line = format!("EDITOR='sed -i s/old/new/' PYTHONPATH=/tmp sudoedit {}", file.display());
    let Some((server, _sandbox, output)) = approved(&line) else { return };
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new\n", "{output}");
    let asked = asked(&server);
    assert_eq!((asked.mode, asked.file, asked.environment), (RunMode::Edit, None, vec![]));
    assert_eq!(command(&server), format!("sudoedit {}", file.display()));
    assert_eq!(asked.path.0, b"/usr/bin/sed", "{output}");

    let server = Server::start(ask_then(Decision::Denied));
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, &format!("EDITOR='sed -i s/new/newer/' sudo -e {}", file.display()));
    assert_ne!(code, 0, "{output}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new\n", "{output}");
}

#[test]
fn what_runs_nothing_asks_nothing() {
    let server = Server::start(ask_then(Decision::Denied));
    let Some(sandbox) = machine(&server) else { return };
    for line in ["sudo -l", "sudo -l id", "sudo -v", "sudo -k", "sudo -K", "sudo -V"] {
        let (code, output) = run(&sandbox, line);
        assert_eq!(code, 0, "{line}: {output}");
        assert!(line != "sudo -V" || output.contains("identree approval plugin version"), "{output}");
    }
    assert!(server.lines().is_empty());
}

#[test]
fn the_other_ways_ask_as_the_plain_one() {
    for line in ["sudo -n whoami", "sudo -b whoami; sleep 0.2", "sudo -k whoami", "sudo -A whoami", "sudo -S whoami"] {
        let server = Server::start(ask_then(Decision::Denied));
        let Some(sandbox) = machine(&server) else { return };
        let (_, output) = run(&sandbox, line);
        assert!(output.contains("denied by bob") && !output.lines().any(|line| line == "root"), "{line}: {output}");
        assert_eq!(server.lines(), ["POST", "GET"], "{line}: {output}");
        assert_eq!(command(&server), "/usr/bin/whoami", "{line}");
    }
}

#[test]
fn what_an_approved_command_starts_is_asked_about_under_intercept() {
    // The second question is refused, so that the answer to the first one is not tried again.
    let server = Server::start(|state, seen, nth| match nth {
        0 | 1 => ask_then(Decision::Granted)(state, seen, nth),
        _ => crate::server::problem(403, "no"),
    });
    let sudoers = format!("{DEFAULTS}Defaults intercept\nann ALL=(ALL:ALL) NOPASSWD: ALL\n");
    let Some(sandbox) = machine_with(&server, &sudoers) else { return };
    let (_, output) = run(&sandbox, "cd /tmp; sudo sh -c \"cd /; /usr/bin/whoami; :\"");
    assert!(!output.lines().any(|line| line == "root"), "{output}");
    let questions: Vec<_> = server.seen().into_iter().filter_map(|seen| seen.question).collect();
    assert_eq!(questions.len(), 2, "{output}");
    let (first, second) = (&questions[0], &questions[1]);
    assert_eq!((first.run.as_ref().unwrap().mode, first.cwd.is_some()), (RunMode::Command, true));
    // In which directory it is, sudo does not say, so nothing is claimed.
    let run = second.run.as_ref().unwrap();
    assert_eq!((run.mode, run.path.0.as_slice(), &second.cwd), (RunMode::Intercepted, &b"/usr/bin/whoami"[..], &None));
}

#[test]
fn directory_group_and_what_else_sudo_does_are_stated() {
    let server = Server::start(ask_then(Decision::Granted));
    let sudoers = format!("{}Defaults runcwd=*, noexec, closefrom=7\nann ALL=(ALL:ALL) NOPASSWD: ALL\n", DEFAULTS);
    let Some(sandbox) = machine_with(&server, &sudoers) else { return };
    let (code, output) = run(&sandbox, "sudo -D /usr -u bob -g root pwd");
    assert!(code == 0 && output.lines().any(|line| line == "/usr"), "{output}");
    let run = asked(&server);
    assert_eq!((run.run_as_gid, run.start_in.unwrap().0), (0, b"/usr".to_vec()));
    assert_eq!(question(&server).run_as_group.unwrap().as_str(), "root");
    let settings: Vec<_> = run.settings.iter().map(|s| String::from_utf8_lossy(&s.0).into_owned()).collect();
    assert_eq!(settings, ["closefrom=7", "noexec=true"]);
}
