//! Peers that are not what they should be: each ends with a no, soon, and says which.

use std::net::TcpListener;
use std::time::Duration;

use identree_pam::clock;

use crate::answers::asked;
use crate::server::{Act, Server, allow};

fn raw(bytes: &str) -> (u8, String, Duration) {
    let bytes = bytes.to_owned();
    let server = Server::start(move |_, _, _| Act::Raw(bytes.clone().into_bytes()));
    let before = clock::now();
    let conf = format!("{}IDENTREE_TIMEOUT=1s\nIDENTREE_CONNECT_TIMEOUT=500ms\n", server.conf());
    let (verdict, screen) = asked(&server, &conf);
    (verdict.exit_code(), screen, clock::now().since(before))
}

#[test]
fn what_is_no_reply_is_no_answer() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(5000));
    for (bytes, code, words) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", 4, "not an identree server"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 4, "not one of the host API"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", 4, "too large"),
        (&endless, 4, "too large"),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n",
            4,
            "redirects (status 302)",
        ),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 3, "status 502"),
        ("HTTP/1.1 200 O", 3, "no answer in time"),
    ] {
        let (got, screen, took) = raw(bytes);
        assert_eq!(got, code, "{screen}");
        assert!(screen.contains(words), "{screen}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn a_closed_port_is_told_at_once() {
    let server = Server::start(allow);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let conf = server.conf().replace(&server.address.to_string(), &closed.to_string());
    let before = clock::now();
    let (verdict, screen) = asked(&server, &conf);
    assert_eq!(verdict.exit_code(), 3, "{screen}");
    assert!(clock::now().since(before) < Duration::from_millis(100));
}

#[test]
fn a_certificate_of_others_is_not_trusted() {
    let (server, other) = (Server::start(allow), Server::start(allow));
    let conf = server.conf().replace(&server.address.to_string(), &other.address.to_string());
    let (verdict, screen) = asked(&server, &conf);
    assert_eq!(verdict.exit_code(), 4, "{screen}");
    assert!(screen.contains("certificate is not trusted"), "{screen}");
    assert!(other.seen().is_empty(), "nothing was sent to it");
}
