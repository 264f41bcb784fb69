//! The listener itself, over real sockets: who may hold a connection, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use axum::{Extension, Router};
use identree_core::wire::v1;
use identree_server::layer::client_ip::{ClientAddress, ClientIpLayer, TrustedProxies};
use identree_server::listen::{Admission, Limits, Listener, Standing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::{Rig, question};

/// Short enough to wait for, long enough for a busy machine where something must be in time.
const SHORT: Duration = Duration::from_millis(200);

/// A listener on loopback; it stops with the value.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    door: Admission,
    stop: watch::Sender<bool>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

pub(crate) async fn serve(router: Router) -> Served {
    serve_within(Limits::default(), router).await
}

async fn serve_within(limits: Limits, router: Router) -> Served {
    let listener = Listener::plain("127.0.0.1:0".parse().unwrap()).await.unwrap();
    listen(listener, router, limits)
}

fn listen(listener: Listener, router: Router, limits: Limits) -> Served {
    let door = Admission::new(limits);
    let (address, (stop, stopped)) = (listener.address().unwrap(), watch::channel(false));
    drop(tokio::spawn(listener.behind(door.clone()).serve(router, stopped)));
    Served { address, door, stop }
}

/// One connection.
struct Line(TcpStream);

impl Line {
    async fn to(served: &Served) -> Self {
        Self(TcpStream::connect(served.address).await.unwrap())
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Whatever comes until the server closes.
    async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes).await; // a connection that was reset has ended too
        String::from_utf8(bytes).unwrap()
    }

    /// Asks for `/` and reads the answer's head; the connection stays.
    async fn ask(&mut self, path: &str) -> String {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        self.head().await
    }

    async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            let mut some = [0; 1024];
            let count = self.0.read(&mut some).await.unwrap();
            assert!(count > 0, "it ended after {head:?}");
            head.push_str(std::str::from_utf8(&some[..count]).unwrap());
        }
        head
    }
}

/// `/` answers, `/prove` proves somebody, `/wait` rests for good.
fn rooms() -> Router {
    Router::new()
        .route("/", get(|| async { "" }))
        .route("/prove", get(|Extension(standing): Extension<Standing>| async move { standing.prove() }))
        .route("/wait", get(std::future::pending::<()>))
}

/// Waits until the door counts so many.
async fn until_open(served: &Served, count: usize) {
    while served.door.open() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_knows_its_client_and_only_a_trusted_proxy_may_name_another() {
    let shown =
        || get(|Extension(ClientAddress(address)): Extension<ClientAddress>| async move { address.to_string() });
    for (proxies, expected) in [(&["127.0.0.0/8"][..], "192.0.2.7"), (&[], "127.0.0.1")] {
        let proxies = TrustedProxies::parse(proxies.iter().copied()).unwrap();
        let router = Router::new().route("/", shown()).layer(ClientIpLayer { proxies });
        let served = serve_within(Limits::default(), router).await;
        let mut line = Line::to(&served).await;
        line.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.1\r\n").await;
        line.say("X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 203.0.113.2\r\nForwarded: for=203.0.113.3\r\n\r\n").await;
        let answer = line.rest().await;
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_and_a_connection_that_rests_end_in_time() {
    let served = serve_within(Limits { head: SHORT, ..Limits::default() }, rooms()).await;
    let (silent, mut slow, mut resting) = (Line::to(&served).await, Line::to(&served).await, Line::to(&served).await);
    assert!(resting.ask("/").await.starts_with("HTTP/1.1 200"));
    slow.say("GET / HTTP/1.1\r\nHost: x\r\n").await;
    let trickle = async {
        // Each header is in time; the head as a whole is not.
        let mut byte = [0];
        while tokio::time::timeout(SHORT / 4, slow.0.read(&mut byte)).await.is_err() {
            let _ = slow.0.write_all(b"X: y\r\n").await; // Err: it has just ended
        }
    };
    let (silent, (), resting) = tokio::join!(silent.rest(), trickle, resting.rest());
    assert!(!silent.contains("200") && !resting.contains("200"), "{silent}{resting}");
    until_open(&served, 0).await;
}

#[tokio::test]
async fn a_head_larger_than_any_of_ours_is_refused() {
    let served = serve_within(Limits::default(), rooms()).await;
    let mut line = Line::to(&served).await;
    let _ = line.0.write_all(format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(40_000)).as_bytes()).await;
    let answer = line.rest().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    until_open(&served, 0).await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends_in_time() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let listener = Listener::tls("127.0.0.1:0".parse().unwrap(), &cert, &key).await.unwrap();
    let served = listen(listener, rooms(), Limits { handshake: SHORT, ..Limits::default() });
    assert_eq!(Line::to(&served).await.rest().await, "");
    until_open(&served, 0).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let large = Bytes::from(vec![b'x'; 64 << 20]); // more than the sockets of both sides hold
    let router = Router::new().route("/", get(move || async move { large }));
    let served = serve_within(Limits { write: SHORT, ..Limits::default() }, router).await;
    let mut line = Line::to(&served).await;
    line.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until_open(&served, 1).await;
    until_open(&served, 0).await;
    assert!(line.rest().await.len() < 64 << 20);
}

#[tokio::test]
async fn when_full_new_ones_are_turned_away_and_those_inside_are_kept() {
    let served = serve_within(Limits { connections: 3, ..Limits::default() }, rooms()).await;
    let (mut one, mut two, mut waiting) = (Line::to(&served).await, Line::to(&served).await, Line::to(&served).await);
    one.ask("/").await;
    two.ask("/").await;
    waiting.say("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until_open(&served, 3).await;
    for _ in 0..20 {
        let answer = Line::to(&served).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Connection: close"), "{answer}");
    }
    assert!(one.ask("/").await.starts_with("HTTP/1.1 200"));
    drop(two);
    until_open(&served, 2).await;
    assert!(Line::to(&served).await.ask("/").await.starts_with("HTTP/1.1 200"));
    let mut byte = [0];
    assert!(waiting.0.try_read(&mut byte).is_err(), "it rests, and has not ended");
}

#[tokio::test]
async fn an_address_holds_few_connections_until_they_prove_somebody() {
    let served = serve_within(Limits { unproven_per_address: 2, ..Limits::default() }, rooms()).await;
    let (mut one, mut two) = (Line::to(&served).await, Line::to(&served).await);
    one.ask("/").await;
    two.ask("/").await;
    assert!(Line::to(&served).await.rest().await.starts_with("HTTP/1.1 503"));
    one.ask("/prove").await;
    assert!(Line::to(&served).await.ask("/").await.starts_with("HTTP/1.1 200"));

    let exempt = TrustedProxies::default().and_loopback();
    let served = serve_within(Limits { unproven_per_address: 2, exempt, ..Limits::default() }, rooms()).await;
    let mut lines = Vec::new();
    for _ in 0..10 {
        let mut line = Line::to(&served).await;
        assert!(line.ask("/").await.starts_with("HTTP/1.1 200"));
        lines.push(line);
    }
}

#[tokio::test]
async fn hosts_and_sessions_prove_their_connections() {
    let rig = Rig::new().await;
    let served = serve_within(Limits { unproven_per_address: 1, ..Limits::default() }, rig.router.clone()).await;
    let mut lines = Vec::new();
    for nonce in 0..5 {
        let (mut host, body) = (Line::to(&served).await, question(nonce));
        let request = rig.host.post(&rig.clock, &body);
        let authorization = request.headers()[header::AUTHORIZATION].to_str().unwrap();
        host.say(&format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: {authorization}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            v1::CHALLENGES,
            body.len()
        ))
        .await;
        assert!(host.head().await.starts_with("HTTP/1.1 201"));
        let mut person = Line::to(&served).await;
        let cookie = rig.session("ann").await.0;
        person.say(&format!("GET /state HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n")).await;
        assert!(person.head().await.starts_with("HTTP/1.1 200"));
        lines.extend([host, person]);
    }
    let mut stranger = Line::to(&served).await;
    assert!(stranger.ask("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(Line::to(&served).await.rest().await.starts_with("HTTP/1.1 503"), "a second one without proof");
}
