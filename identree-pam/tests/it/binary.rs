//! The program itself, outside PAM.

use std::path::Path;
use std::process::{Command, Output};

use crate::server::{Server, allow, problem, write_private};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_identree-pam"));
    let output = command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap();
    identree_evidence::output("terminal", &output);
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn check(conf: &Path) -> (Option<i32>, String) {
    let output = run(&["--check", "--config", conf.to_str().unwrap()], &[]);
    (output.status.code(), said(&output))
}

#[test]
fn check_says_what_is_right_and_what_is_not() {
    let server = Server::start(|_, _, _| problem(404, "no such question"));
    let (code, text) = check(&server.write_conf(&format!("{}IDENTREE_TOKEN_CACHE_DIR=/x\n", server.conf())));
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("it knows this host") && text.contains("IDENTREE_TOKEN_CACHE_DIR has no effect yet"),
        "{text}"
    );

    let (code, text) = check(&server.write_conf(&server.conf().replace("HOSTNAME=web1", "HOSTNAME=web2")));
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("unknown host or wrong secret"), "{text}");

    let (code, text) = check(&server.folder.path().join("absent.conf"));
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("identree add-host"), "{text}");
}

#[test]
fn sessions_pass_and_other_services_do_not() {
    for (kind, service, code) in [
        ("open_session", "sudo", 0),
        ("close_session", "sshd", 0),
        ("auth", "sshd", 4),
        ("auth", "sudo", 4),
        ("x", "sudo", 4),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let conf = write_private(folder.path(), "client.conf", "");
        let variables = [("PAM_TYPE", kind), ("PAM_SERVICE", service), ("PAM_USER", "root")];
        let output = run(&["--config", conf.to_str().unwrap()], &variables);
        assert_eq!(output.status.code(), Some(code), "{kind} {service}: {}", said(&output));
        assert_eq!(code == 0, output.stdout.is_empty(), "a no is explained");
    }
    assert_eq!(run(&[], &[]).status.code(), Some(4), "not under PAM");
}

#[test]
fn nothing_of_the_environment_configures_it() {
    let (server, other) = (Server::start(allow), Server::start(allow));
    let conf = server.write_conf(&server.conf().replace("web1", "web9"));
    let url = format!("https://{}", other.address);
    let output = run(
        &["--check", "--config", conf.to_str().unwrap()],
        &[("IDENTREE_SERVER_URL", &url), ("IDENTREE_HOSTNAME", "web1")],
    );
    assert_eq!(output.status.code(), Some(4));
    assert!(other.seen().is_empty());
}

#[test]
fn it_resolves_for_itself() {
    let output = run(&["--resolve", "localhost"], &[]);
    assert!(
        output.status.success() && said(&output).lines().any(|line| line == "127.0.0.1" || line == "::1"),
        "{output:?}"
    );
    assert!(!run(&["--resolve", "no.such.name.invalid"], &[]).status.success());
}

/// Both programs look names up in a child of their own, which is themselves.
#[test]
fn each_program_resolves_names_for_itself() {
    for program in [env!("CARGO_BIN_EXE_identree-pam"), env!("CARGO_BIN_EXE_identree-host")] {
        let resolve = |name: &str| Command::new(program).args(["--resolve", name]).env_clear().output().unwrap();
        let found = resolve("localhost");
        assert!(
            found.status.success() && ["127.0.0.1\n", "::1\n"].iter().any(|own| said(&found).contains(own)),
            "{program}"
        );
        let none = resolve("no-such-name.invalid");
        assert!(!none.status.success() && none.stdout.is_empty(), "{program}");
    }
}
