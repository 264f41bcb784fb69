//! Requests that two readers could take differently, sent as bytes to the real listener in front of the real router.

use identree_core::time::Clock as _;
use identree_core::wire::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::listen::serve;
use crate::{AUTHORITY, Rig, question};

/// Sends the bytes and reads until the server closes, which every one of these makes it do.
async fn exchange(rig: &Rig, bytes: &[u8]) -> String {
    let served = serve(rig.router.clone()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // Err: closed with bytes of ours unread, as it should be.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).map(|rest| &rest[..3]).collect()
}

/// The head of a signed request of `web1` that opens a question, without its end, and the body.
fn signed(rig: &Rig, nonce: u8) -> (String, String) {
    let body = question(nonce);
    let request = rig.host.post(&rig.clock, &body);
    let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
    let head = format!("Host: {AUTHORITY}\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n");
    (head, body)
}

fn waiting(rig: &Rig) -> usize {
    use identree_core::actor::{Actor, Strength};
    let ann = Actor::vouched("test", crate::name("ann"), rig.clock.now(), Strength::SignedIn);
    rig.engine.visible(&ann).len()
}

#[tokio::test]
async fn a_request_that_hides_another_is_refused_and_ends_its_connection() {
    let rig = Rig::new().await;
    let (head, body) = signed(&rig, 1);
    let length = body.len();
    // What would be smuggled is a request that works: it opens question 1.
    let hidden = format!("POST {} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}", v1::CHALLENGES);
    let short = hidden.len() - 1;
    let first = "POST /api/challenge HTTP/1.1\r\nHost: x\r\n";
    let cases = [
        ("two lengths", format!("{first}Content-Length: 0\r\nContent-Length: {short}\r\n\r\n{hidden}")),
        ("a list of lengths", format!("{first}Content-Length: 0, {short}\r\n\r\n{hidden}")),
        ("a signed length", format!("{first}Content-Length: +0\r\n\r\n{hidden}")),
        ("a hexadecimal length", format!("{first}Content-Length: 0x10\r\n\r\n{hidden}")),
        (
            "length, then chunks",
            format!("{first}Content-Length: {short}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "chunks, then length",
            format!("{first}Transfer-Encoding: chunked\r\nContent-Length: {short}\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        ("another coding", format!("{first}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("chunked before identity", format!("{first}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}")),
        (
            "chunks in HTTP/1.0",
            format!("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        ("a space before the colon", format!("{first}Content-Length : {short}\r\n\r\n{hidden}")),
        ("a folded line", format!("{first}X: a\r\n Content-Length: {short}\r\n\r\n{hidden}")),
        ("a null in a value", format!("{first}X: a\0b\r\n\r\n{hidden}")),
        ("a bare carriage return", format!("{first}X: a\rContent-Length: {short}\r\n\r\n{hidden}")),
        ("a name with a space", format!("{first}Content Length: {short}\r\n\r\n{hidden}")),
        ("two hosts", format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{hidden}")),
        ("a request line in two", format!("GET / HTTP/1.1 x\r\nHost: a\r\n\r\n{hidden}")),
        ("HTTP/2 in plain text", format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{hidden}")),
        ("a huge chunk", format!("{first}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{hidden}")),
    ];
    for (what, bytes) in cases {
        let answer = exchange(&rig, bytes.as_bytes()).await;
        assert!(statuses(&answer).len() <= 1, "{what}: the hidden request was answered: {answer}");
        assert!(statuses(&answer).iter().all(|status| status.starts_with('4')), "{what}: {answer}");
        assert_eq!(waiting(&rig), 0, "{what}");
    }
    // The same bytes alone are a good request.
    let close = hidden.replacen("Host:", "Connection: close\r\nHost:", 1);
    assert_eq!(statuses(&exchange(&rig, close.as_bytes()).await), ["201"]);
    assert_eq!(waiting(&rig), 1);
}

#[tokio::test]
async fn what_a_proxy_may_have_been_told_decides_nothing() {
    let rig = Rig::new().await;
    let (cookie, csrf) = rig.session("ann").await;
    let id = rig.ask(1).await.challenge_id;
    let form = format!("csrf_token={csrf}&challenge_id={id}");
    for odd in [
        "X-Original-URL: /api/challenges/approve",
        "X-Rewrite-URL: /api/challenges/approve",
        "X-HTTP-Method-Override: POST",
        "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /evil",
        "X-Forwarded-User: ada\r\nX-Remote-User: ada\r\nRemote-User: ada",
    ] {
        let length = form.len();
        let bytes = format!(
            "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{odd}\r\nCookie: {cookie}\r\nOrigin: http://127.0.0.1:8090\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        let answer = exchange(&rig, bytes.as_bytes()).await;
        assert_eq!(statuses(&answer), ["200"], "{odd}");
        assert!(!answer.contains("evil"), "{odd}: what was sent is echoed");
        assert!(rig.engine.record(id).await.unwrap().unwrap().is_pending(), "{odd}");
    }
}

#[tokio::test]
async fn a_wrong_host_and_an_absolute_address_change_nothing() {
    let rig = Rig::new().await;
    for start in ["GET /approve/KWXPTA-482913", "GET http://evil.example/approve/KWXPTA-482913"] {
        let bytes = format!("{start} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        let answer = exchange(&rig, bytes.as_bytes()).await;
        assert_eq!(statuses(&answer), ["303"], "{answer}");
        let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        assert_eq!(location, "/sessions/login?return_to=%2Fapprove%2FKWXPTA-482913", "never to where a header points");
    }
}

#[tokio::test]
async fn what_is_too_long_or_no_request_at_all_ends_the_connection() {
    let rig = Rig::new().await;
    let long = "a".repeat(64 * 1024);
    for bytes in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(500)),
        format!("\u{16}\u{3}\u{1}{long}"),
        "GET /\u{1b}[2J HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "POST * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        let answer = exchange(&rig, bytes.as_bytes()).await;
        assert!(statuses(&answer).iter().all(|status| status.starts_with('4')), "{:.60}: {answer}", bytes);
        assert!(!answer.contains('\u{1b}'), "nothing is echoed as it came");
    }
}
