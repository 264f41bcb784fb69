//! Every route that changes something leaves the event that it declares, with the request's id and the client's address.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use identree_core::audit::EventKind;
use identree_core::credential::{HostKey, HostSecret};
use identree_core::enrol::{EnrolRequest, KeyRequest};
use identree_core::id::{HostName, Nonce};
use identree_core::testkit::journal::{recorded, undeclared};
use identree_core::time::Clock as _;
use identree_core::wire::heartbeat::PATH as HEARTBEAT;
use identree_core::wire::v1;
use identree_server::layer::trace::REQUEST_ID;
use identree_server::routes::{Door, ROUTES, Route};

use crate::metrics::beside;
use crate::process::{added, send, serve};
use crate::sign_in::{Scripted, begin, claims, returning, signed};
use crate::{AUTHORITY, Answer, ORIGIN, Rig, heartbeat, question};

/// Where the requests come from.
const CLIENT: &str = "192.0.2.7";

/// A route does what it is for, once.
#[expect(clippy::panic, reason = "a new route is tried here too")]
async fn done(rig: &Rig, route: &Route, provider: &Scripted) -> Answer {
    let send = async |request| rig.send_from(CLIENT, "", request).await;
    let form = async |path: &'static str, more: String| {
        let (cookie, csrf) = rig.session("ann").await;
        let request = Request::post(path)
            .header(header::COOKIE, cookie)
            .header(header::ORIGIN, ORIGIN)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        send(request.body(Body::from(format!("csrf_token={csrf}{more}"))).unwrap()).await
    };
    let now = rig.clock.now().as_secs();
    match (route.method, route.path) {
        ("POST", "/api/challenge") => send(rig.host.post(&rig.clock, &question(1))).await,
        ("DELETE", "/api/challenge/{id}") => {
            let path = format!("{}/{}", v1::CHALLENGES, rig.ask(2).await.challenge_id);
            send(rig.host.call(&rig.clock, "DELETE", &path)).await
        }
        ("POST", path @ ("/api/challenges/approve" | "/api/challenges/reject")) => {
            let nonce = if path.ends_with("approve") { 3 } else { 4 };
            form(path, format!("&challenge_id={}", rig.ask(nonce).await.challenge_id)).await
        }
        ("POST", "/signout") => form("/signout", String::new()).await,
        ("POST", "/api/agent/heartbeat") => {
            let body = serde_json::to_vec(&heartbeat::good(rig)).unwrap();
            send(rig.host.signed(("POST", HEARTBEAT, AUTHORITY), now, &body)).await
        }
        ("POST", "/api/host/key") => {
            let (web3, new) = (rig.enrolled("web3", 5).await, HostKey::from_seed(&[6; 32]));
            let proof = new.succeed(&web3.name, &HostKey::from_seed(&[5; 32]).public()).to_vec();
            let body = serde_json::to_vec(&KeyRequest { v: 1, key: new.public(), proof }).unwrap();
            send(web3.signed(("POST", route.path, AUTHORITY), now, &body)).await
        }
        ("POST", "/api/enroll") => {
            let life = Duration::from_secs(900);
            let token = rig.hosts.add_invited(&HostName::parse("web4").unwrap(), None, None, life, None).await.unwrap();
            let request = EnrolRequest::new(&token, &HostKey::from_seed(&[7; 32]), Nonce::from_bytes([8; 32]));
            let request = Request::post(route.path)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(serde_json::to_vec(&request).unwrap()));
            send(request.unwrap()).await
        }
        ("GET", "/callback") => {
            let begun = begin(rig).await;
            provider.tells(&signed(1, &claims(provider, &begun)));
            send(returning(provider, &begun)).await
        }
        (method, path) => panic!("{method} {path} declares events: try it here"),
    }
}

#[tokio::test]
async fn each_route_that_changes_something_leaves_the_event_it_declares() {
    let provider = Scripted::start().await;
    let rig = Rig::with_issuer(&provider.issuer, None).await;
    for route in ROUTES.iter().filter(|route| !route.records.is_empty()) {
        let answer = done(&rig, route, &provider).await;
        assert!(answer.status.is_success() || answer.status.is_redirection(), "{route:?}: {}", answer.text());
        let request = answer.header(REQUEST_ID);
        let journal = rig.journal().await;
        let of_it: Vec<_> =
            journal.iter().filter(|event| event.details.get("request").is_some_and(|id| id == request)).collect();
        let kinds: Vec<EventKind> = of_it.iter().map(|event| event.kind).collect();
        assert!(kinds.contains(&route.records[0]), "{route:?}: {kinds:?}");
        assert!(kinds.iter().all(|kind| route.records.contains(kind)), "{route:?} does not declare all of {kinds:?}");
        for event in of_it {
            assert_eq!(event.details["address"], CLIENT, "{route:?}");
            assert!(event.via.is_some(), "{route:?}: {event:?}");
        }
    }
}

/// What posts or deletes declares its events, or is known to change nothing of the server's.
#[test]
fn each_route_that_may_change_something_declares_its_events() {
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        // A choice of language is a cookie of the sender and nothing else.
        let of_the_sender = route.door == Door::OwnPage;
        assert_eq!(route.records.is_empty(), of_the_sender, "{route:?}");
        assert!(
            route
                .records
                .iter()
                .all(|kind| kind.tells().details.contains(&"request") || *kind == EventKind::ChallengeExpired),
            "{route:?}"
        );
    }
}

#[test]
fn a_server_records_its_start_what_it_refused_and_its_stop() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    added(data, "web1");
    let wrong = HostSecret::parse(&"0".repeat(64)).unwrap();
    for _ in 0..2 {
        let mut server = serve(data);
        for nonce in 0..3 {
            assert_eq!(send(&server.address, &wrong, "POST", v1::CHALLENGES, &question(nonce)).0, 401);
        }
        server.terminate();
    }
    let events = beside(data, async |store| recorded(&store).await);
    assert_eq!(undeclared(&events), Vec::<String>::new());
    let of = |kind| events.iter().filter(move |event| event.kind == kind).map(|event| &event.details);
    let refused: u64 =
        of(EventKind::AuthenticationFailed).map(|details| details["count"].parse::<u64>().unwrap()).sum();
    assert_eq!(refused, 6, "also those of the last minute");
    let starts: Vec<_> =
        of(EventKind::ServerStarted).map(|details| (&details["replica"], &details["config"])).collect();
    let stops: Vec<_> = of(EventKind::ServerStopped).map(|details| &details["replica"]).collect();
    assert_eq!(starts.iter().map(|start| start.0).collect::<Vec<_>>(), stops);
    assert!(
        starts[0].0 != starts[1].0 && starts[0].1 == starts[1].1,
        "another server with the same settings: {starts:?}"
    );
    assert_eq!(of(EventKind::DatabaseMigrated).count(), 1);
    assert_eq!(events.last().unwrap().kind, EventKind::ServerStopped);
}
