//! The break-glass password at the plugin: a server that is not there, and a person who can type.

use std::net::TcpListener;

use identree_core::grant::Decision;
use identree_core::secret::Secret;
use identree_pam::glass::HashFile;

use crate::place::machine;
use crate::sandbox::Sandbox;
use crate::server::{Server, ask_then};

const PASSWORD: &str = "correct-horse-battery-staple-17";

/// A machine with a password; its server is gone, or there.
fn host(gone: bool) -> Option<(Server, Sandbox)> {
    let server = Server::start(ask_then(Decision::Denied));
    let sandbox = machine(&server)?;
    let hash = server.folder.path().join("hash");
    HashFile::of(&Secret::new(PASSWORD.into()), 1_700_000_000).unwrap().save(&hash).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let there = server.address.to_string();
    let conf = server.conf().replace(&there, &if gone { free.to_string() } else { there.clone() });
    server.write_conf(&format!("{conf}IDENTREE_BREAKGLASS_FILE={}\n", hash.display()));
    Some((server, sandbox))
}

/// A command line of ann's, without a terminal; then what was written down.
fn run(sandbox: &Sandbox, line: &str) -> (i32, String) {
    let glass = "/var/lib/identree-host/glass";
    let last = format!(
        "mount -t tmpfs -o mode=0755 tmpfs /var/lib; mkdir -m 700 /var/lib/identree-host {glass}; set +e; \
         setsid --wait setpriv --reuid=64001 --regid=64001 --clear-groups sh -c \"$1\"; code=$?; \
         cat {glass}/used 2>/dev/null; exit $code"
    );
    sandbox.start(&last, &format!("exec 2>&1; {line}")).finish()
}

#[test]
fn the_right_password_opens_and_leaves_a_line() {
    let Some((_server, sandbox)) = host(true) else { return };
    let (code, output) = run(&sandbox, &format!("printf '{PASSWORD}\\n' | sudo -S whoami"));
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("unreachable") && output.contains("its use is recorded"), "{output}");
    assert!(output.lines().any(|line| line.ends_with("root")) && output.contains(" ann sudo root\n"), "{output}");
    assert!(!output.contains(PASSWORD), "{output}");
}

#[test]
fn a_wrong_one_none_and_an_unsafe_run_open_nothing() {
    let Some((_server, sandbox)) = host(true) else { return };
    for (line, words) in [
        ("printf 'wrong\\n' | sudo -S whoami".to_owned(), "that is not the break-glass password"),
        ("sudo -n whoami".to_owned(), "unreachable"),
        (format!("printf '{PASSWORD}\\n' | sudo -S LD_PRELOAD=/x.so whoami"), "LD_PRELOAD"),
    ] {
        let (code, output) = run(&sandbox, &line);
        assert!(code != 0 && output.contains(words), "{line}: {output}");
        assert!(!output.lines().any(|line| line.ends_with("root")), "{line}: {output}");
    }
}

#[test]
fn after_a_no_it_is_not_asked_for() {
    let Some((_server, sandbox)) = host(false) else { return };
    let (code, output) = run(&sandbox, &format!("printf '{PASSWORD}\\n' | sudo -S whoami"));
    assert!(code != 0 && output.contains("denied by bob"), "{output}");
    assert!(!output.lines().any(|line| line.ends_with("root")), "{output}");
}
