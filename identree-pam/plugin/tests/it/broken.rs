//! What is set up wrongly, and servers that are not what they should be: nothing runs, and the remedy is told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use identree_pam::clock::now;

use crate::place::{machine, plugin, run};
use crate::server::{Act, Server, allow};

fn refused(server: &Server, words: &str, spoil: impl Fn(&Path, &str)) {
    let Some(sandbox) = machine(server) else { return };
    let conf = server.folder.path().join("client.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    spoil(&conf, &text);
    let (code, output) = run(&sandbox, "sudo whoami");
    assert_ne!(code, 0, "{output}");
    assert!(output.contains(words), "{words}: {output}");
    assert!(!output.lines().any(|line| line == "root"), "{output}");
}

#[test]
fn a_host_file_that_is_not_as_it_must_be_refuses_with_the_remedy() {
    type Spoil<'a> = &'a dyn Fn(&Path, &str);
    let spoils: [(&str, Spoil<'_>); 6] = [
        ("run: chmod 0600", &|path, _| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap()),
        ("run: chown 0", &|path, _| std::os::unix::fs::chown(path, Some(64001), None).unwrap()),
        ("identree add-host", &|path, _| std::fs::remove_file(path).unwrap()),
        ("unknown setting 'IDENTREE_COLOUR'", &|path, text| {
            std::fs::write(path, format!("{text}IDENTREE_COLOUR=1\n")).unwrap();
        }),
        ("IDENTREE_DECISION_KEYS", &|path, text| {
            std::fs::write(path, text.replace("IDENTREE_DECISION_KEYS=", "IDENTREE_DECISION_KEYS=x")).unwrap();
        }),
        ("put the file itself there", &|path, _| {
            let real = path.with_file_name("real");
            std::fs::rename(path, &real).unwrap();
            std::os::unix::fs::symlink(real, path).unwrap();
        }),
    ];
    for (words, spoil) in spoils {
        let server = Server::start(allow);
        refused(&server, words, spoil);
        assert!(server.lines().is_empty(), "{words}");
    }
}

#[test]
fn a_mistyped_option_in_sudo_conf_ends_sudo() {
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server) else { return };
    for options in ["confg=/etc/x", "config=relative", "debug"] {
        sandbox.put("sudo.conf", format!("Plugin identree_approval {} {options}\n", plugin().display()), 0o644);
        let (code, output) = run(&sandbox, "sudo whoami");
        assert!(code != 0 && !output.lines().any(|line| line == "root"), "{output}");
        assert!(output.contains("in sudo.conf"), "{options}: {output}");
    }
    assert!(server.lines().is_empty());
}

#[test]
fn a_server_that_is_gone_slow_or_another_opens_nothing_in_time() {
    type Script = fn() -> Act;
    let scripts: [(&str, Script); 4] = [
        ("not an identree server", || Act::Send(200, b"<html>".to_vec())),
        ("redirects", || Act::Send(302, vec![])),
        ("no answer in time", || Act::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec())),
        ("unreachable", || Act::Close),
    ];
    for (words, script) in scripts {
        let server = Server::start(move |_, _, _| script());
        let started = now();
        refused(&server, words, |path, text| {
            std::fs::write(
                path,
                format!("{text}IDENTREE_CONNECT_TIMEOUT=500ms\n").replace("TIMEOUT=20s", "TIMEOUT=1s"),
            )
            .unwrap();
        });
        assert!(now().since(started).as_secs() < 8, "{words}");
    }
    let server = Server::start(allow);
    // Nobody listens on a port that was just free.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&server, "unreachable", |path, text| {
        std::fs::write(path, text.replace(&server.address.to_string(), &free.to_string())).unwrap();
    });
    assert!(server.lines().is_empty());
}
