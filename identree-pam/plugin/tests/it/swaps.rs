//! Trying to run something else than what was approved.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use identree_core::challenge::{Challenge as _, SudoRun};
use identree_core::grant::Decision;
use identree_core::wire::v1::{OpenRequest, Status};

use crate::place::{DEFAULTS, asked, machine, machine_with, question, run};
use crate::server::{Server, State, allow, ask_then};

/// A program that prints a word.
fn program(path: &Path, word: &str) {
    std::fs::write(path, format!("#!/bin/sh\necho {word}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A server that says yes, but not before `between` has done its part.
fn approving(between: impl Fn() + Send + Sync + 'static) -> Server {
    Server::start(move |state: &State, seen: &crate::server::Seen, _| {
        if seen.method == "POST" {
            return state.pending();
        }
        between();
        state.settled(Decision::Granted)
    })
}

fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn a_file_that_changes_after_the_approval_does_not_run() {
    let swaps: [fn(&Path); 4] = [
        |path| {
            let other = path.with_file_name("other");
            program(&other, "swapped");
            std::fs::rename(other, path).unwrap();
        },
        |path| program(path, "swapped"),
        |path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap(),
        |path| std::fs::remove_file(path).unwrap(),
    ];
    for (at, swap) in swaps.into_iter().enumerate() {
        let folder = open_folder();
        let path = folder.path().join("tool");
        program(&path, "looked-at");
        let swapped = path.clone();
        let server = approving(move || swap(&swapped));
        let Some(sandbox) = machine(&server) else { return };
        let (code, output) = run(&sandbox, &format!("sudo {}", path.display()));
        assert_ne!(code, 0, "{at}: {output}");
        assert!(output.contains("refused: ") && output.contains("tool"), "{at}: {output}");
        assert!(!output.lines().any(|line| line == "swapped" || line == "looked-at"), "{at}: {output}");
        let file = asked(&server).file.unwrap();
        assert_eq!(file.writable(0).len(), 1, "the approver is told of the folder: {file:?}");
    }
}

#[test]
fn a_link_that_turns_after_the_approval_does_not_run() {
    let folder = open_folder();
    for name in ["good", "bad"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        program(&folder.path().join(name).join("tool"), name);
    }
    let way = folder.path().join("way");
    std::os::unix::fs::symlink("good", &way).unwrap();
    let turned = way.clone();
    let server = approving(move || {
        std::fs::remove_file(&turned).unwrap();
        std::os::unix::fs::symlink("bad", &turned).unwrap();
    });
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, &format!("sudo {}/tool", way.display()));
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("has changed since it was shown"), "{output}");
    assert!(!output.lines().any(|line| line == "bad" || line == "good"), "{output}");
    assert!(asked(&server).file.unwrap().real.0.ends_with(b"good/tool"));
}

#[test]
fn a_path_of_the_requester_does_not_choose_the_program() {
    // Without secure_path sudo looks programs up in the requester's own PATH.
    let folder = open_folder();
    program(&folder.path().join("whoami"), "mine");
    let server = Server::start(ask_then(Decision::Granted));
    let sudoers = "Defaults !lecture, !secure_path\nann ALL=(ALL:ALL) NOPASSWD: ALL\n";
    let Some(sandbox) = machine_with(&server, sudoers) else { return };
    let line = format!("PATH={}:/usr/bin:/bin sudo whoami", folder.path().display());
    let (code, output) = run(&sandbox, &line);
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("PATH names") && output.contains("secure_path"), "{output}");
    assert!(server.lines().is_empty() && !output.lines().any(|line| line == "mine"), "{output}");
}

/// The answer fits a question in which one thing is another.
fn answered_otherwise(change: impl Fn(&mut OpenRequest) + Send + Sync + 'static) -> Server {
    Server::start(move |state, seen, _| {
        let mut answer = state.answer(Decision::Granted);
        let mut open = seen.question.clone().unwrap();
        change(&mut open);
        let other = open.into_challenge(answer.target.clone(), vec![]).unwrap();
        answer.requester = other.requester().clone();
        answer.run_as_user = other.run_as().map(|run_as| run_as.user.clone());
        answer.payload_sha256 = other.payload().sha256();
        state.reply(Status::Approved, Some(state.sign(&answer)))
    })
}

#[test]
fn an_approval_of_anything_else_runs_nothing() {
    use identree_core::id::UserName;
    use identree_core::wire::v1::Bytes;
    type Change = fn(&mut OpenRequest);
    fn run_of(question: &mut OpenRequest) -> &mut SudoRun {
        question.run.as_mut().unwrap()
    }
    let changes: [(&str, Change); 10] = [
        ("argv", |q| q.argv[0] = Bytes(b"id".to_vec())),
        ("another argument", |q| q.argv.push(Bytes(b"-u".to_vec()))),
        ("path", |q| run_of(q).path = Bytes(b"/usr/bin/id".to_vec())),
        ("inode", |q| run_of(q).file.as_mut().unwrap().inode += 1),
        ("directory", |q| q.cwd = Some(Bytes(b"/root".to_vec()))),
        ("run-as", |q| q.run_as_user = UserName::parse("bob").unwrap()),
        ("run-as uid", |q| run_of(q).run_as_uid = 64002),
        ("user", |q| q.username = UserName::parse("bob").unwrap()),
        ("umask", |q| run_of(q).umask = Some(0o77)),
        ("environment", |q| run_of(q).environment.push(Bytes(b"A=1".to_vec()))),
    ];
    for (what, change) in changes {
        let server = answered_otherwise(change);
        let Some(sandbox) = machine(&server) else { return };
        let (code, output) = run(&sandbox, "sudo whoami");
        assert_ne!(code, 0, "{what}: {output}");
        assert!(output.contains("not set up correctly"), "{what}: {output}");
        assert!(!output.lines().any(|line| line == "root"), "{what}: {output}");
    }
}

#[test]
fn variables_that_run_other_code_are_refused_and_reported() {
    let sudoers =
        format!("{DEFAULTS}Defaults env_keep += \"LD_PRELOAD PYTHONPATH BASH_ENV\"\nann ALL=(ALL:ALL) NOPASSWD: ALL\n");
    for (line, name) in [
        ("sudo LD_PRELOAD=/tmp/x.so whoami", "LD_PRELOAD"),
        ("PYTHONPATH=/tmp sudo whoami", "PYTHONPATH"),
        ("BASH_ENV=/tmp/x sudo -i whoami", "BASH_ENV"),
        ("sudo IFS=/ whoami", "IFS"),
    ] {
        let server = Server::start(allow);
        let Some(sandbox) = machine_with(&server, &sudoers) else { return };
        let (code, output) = run(&sandbox, line);
        assert_ne!(code, 0, "{line}: {output}");
        assert!(output.contains(&format!("refused: the variable {name} would")), "{line}: {output}");
        assert!(output.contains("env_keep"), "the remedy is told: {output}");
        assert!(server.lines().is_empty() && !output.lines().any(|line| line == "root"), "{line}: {output}");
    }
}

#[test]
fn other_variables_are_bound_byte_for_byte() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, "sudo \"A=$(printf 'x\\377y')\" EDITOR=vi TERM=xterm whoami");
    assert_eq!(code, 0, "{output}");
    let kept: Vec<_> = asked(&server).environment.into_iter().map(|bytes| bytes.0).collect();
    assert_eq!(kept, [b"A=x\xffy".to_vec(), b"EDITOR=vi".to_vec()]);
}

#[test]
fn arguments_are_bound_byte_for_byte_up_to_their_limit() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(
        &sandbox,
        "sudo printf '%s|' '' \"$(printf 'a\\377b')\" \"$(head -c 120000 /dev/zero | tr '\\0' x)\" | tr -d '\\377'",
    );
    assert_eq!(code, 0, "{}", &output[..output.len().min(2000)]);
    let argv: Vec<_> = question(&server).argv.into_iter().map(|bytes| bytes.0).collect();
    assert_eq!(argv[2..4], [b"".to_vec(), b"a\xffb".to_vec()]);
    assert!(argv[4].len() == 120_000 && argv[4].iter().all(|b| *b == b'x'));
    assert!(output.contains("more characters"), "the terminal shows the beginning");

    let server = Server::start(allow);
    let Some(sandbox) = machine(&server) else { return };
    let (code, output) = run(&sandbox, "x=$(head -c 100000 /dev/zero | tr '\\0' x); sudo true $x $x");
    assert_ne!(code, 0);
    assert!(output.contains("the command is longer than 131072 bytes"), "{output}");
    assert!(server.lines().is_empty());
}
