//! A server known by its name: asked for in a process of the helper's, which is root's and ends in time.

use std::time::Duration;

use crate::place::{AS_ANN, LIBEXEC, config, stack};
use crate::sandbox::Sandbox;
use crate::server::{Server, allow};

const RESOLVER: &str = "/usr/libexec/identree/identree-pam";

/// Runs sudo as ann where this script resolves names. Its first line is for the kernel.
fn sudo(server: &Server, script: &str, mode: &str) -> Option<(i32, String)> {
    let options = config(server);
    let conf = server.conf().replace("127.0.0.1", "id.test");
    server.write_conf(&format!("{conf}IDENTREE_TIMEOUT=5s\nIDENTREE_CONNECT_TIMEOUT=1s\n"));
    let sandbox = Sandbox::with_pam(&stack(&options).join("\n"), "NOPASSWD: ALL")?;
    let last =
        format!("{LIBEXEC}; printf '#!/bin/sh\\n%s\\n' '{script}' >{RESOLVER}; chmod {mode} {RESOLVER}; {AS_ANN}");
    Some(sandbox.start(&last, "exec 2>&1; sudo whoami").finish())
}

#[test]
fn the_helper_resolves_names_and_is_told_nothing_but_the_name() {
    let server = Server::start(allow);
    let script = r#"[ "$*" = "--resolve id.test" ] && [ -z "$SUDO_COMMAND$HOME$LANG" ] && echo 127.0.0.1"#;
    let Some((code, output)) = sudo(&server, script, "755") else { return };
    assert!(code == 0 && output.lines().any(|line| line == "root"), "{output}");
    assert_eq!(server.lines(), ["POST"], "{output}");
}

#[test]
fn a_resolver_that_hangs_or_that_others_can_change_opens_nothing_in_time() {
    for (script, mode, words) in [
        ("exec sleep 60", "755", "no answer in time"),
        ("exit 1", "755", "no such name"),
        ("echo 127.0.0.1", "775", "run: chmod 0755"),
    ] {
        let server = Server::start(allow);
        let before = identree_pam::clock::now();
        let Some((code, output)) = sudo(&server, script, mode) else { return };
        let took = identree_pam::clock::now().since(before);
        assert!(code != 0 && output.contains(words), "{script} {mode}: {output}");
        assert!(server.lines().is_empty() && took < Duration::from_secs(5), "{took:?}: {output}");
    }
}
