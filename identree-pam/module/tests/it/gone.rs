//! How soon a person reads that no answer can come, under Debian's real sudo.

use std::net::TcpListener;
use std::time::Duration;

use identree_core::grant::Decision;

use crate::place::machine;
use crate::server::{Server, allow, ask_then};

/// Runs sudo to its end where the server is at this address. Prints how long it took (`-- --nocapture`).
fn gone(what: &str, address: &str, within: Duration) {
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, "NOPASSWD: ALL") else { return };
    let own = server.conf().lines().next().unwrap().to_owned();
    server.write_conf(&server.conf().replace(&own, &format!("IDENTREE_SERVER_URL=https://{address}")));
    let begun = identree_pam::clock::now();
    let (code, output) = sandbox.sudo("sudo whoami");
    let took = identree_pam::clock::now().since(begun);
    eprintln!("{what}: {} ms with the sandbox and sudo", took.as_millis());
    assert!(code != 0 && output.contains("identree:"), "{output}");
    assert!(took < within, "{took:?}: {output}");
}

#[test]
fn a_server_that_is_gone_is_said_soon() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    gone("nobody listens", &closed.to_string(), Duration::from_secs(1));
    // The kernel takes the connection, and nobody ever speaks.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    gone("nobody speaks", &mute.local_addr().unwrap().to_string(), Duration::from_secs(4));
}

#[test]
fn listing_and_validating_are_asked_about_too() {
    for line in ["sudo -l", "sudo -v"] {
        for decision in [Decision::Granted, Decision::Denied] {
            let server = Server::start(ask_then(decision));
            let Some(sandbox) = machine(&server, "ALL") else { return };
            let (code, output) = sandbox.sudo(line);
            assert_eq!(code == 0, decision == Decision::Granted, "{line}: {output}");
            assert_eq!(server.lines(), ["POST", "GET"], "{line}: {output}");
        }
    }
}
