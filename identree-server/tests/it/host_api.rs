//! `/api/challenge`: what a host may, and every way it is refused.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use identree_core::actor::{Actor, Strength};
use identree_core::audit::EventKind;
use identree_core::engine::Vote;
use identree_core::grant::{Answer as SignedFacts, Decision};
use identree_core::id::HostName;
use identree_core::time::Clock as _;
use identree_core::wire::v1::{self, Reply, Status};

use crate::{AUTHORITY, Host, Rig, name, question};

fn ann(rig: &Rig) -> Actor {
    Actor::vouched("test", name("ann"), rig.clock.now(), Strength::SignedIn)
}

fn approve() -> Vote {
    Vote::Approve { reason: None, number: None }
}

#[tokio::test]
async fn a_question_is_opened_waited_for_and_answered_with_a_signature() {
    let rig = Rig::new().await;
    let opened = rig.ask(1).await;
    assert_eq!((opened.status, opened.expires_in), (Status::Pending, 120));
    let code = opened.user_code.clone().unwrap();
    assert_eq!(opened.verification_url.unwrap(), format!("http://127.0.0.1:8090/approve/{}", code.as_str()));
    assert_eq!((opened.current_approvals, opened.required_approvals), (0, 1));

    let target = format!("/api/challenge/{}?wait=25", opened.challenge_id);
    let waiting = rig.send(rig.host.call(&rig.clock, "GET", &target));
    let ann = ann(&rig);
    let voting = rig.engine.vote(opened.challenge_id, &ann, approve());
    let (answer, voted) = tokio::join!(waiting, voting);
    voted.unwrap();
    let reply: Reply = answer.json();
    assert_eq!(reply.status, Status::Approved);
    let (_, facts) = SignedFacts::decode(&reply.answer.unwrap().bytes).unwrap();
    assert_eq!((facts.decision, facts.requester), (Decision::Granted, name("ann")));
}

#[tokio::test]
async fn a_wait_ends_with_pending_after_its_time_and_when_the_server_stops() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let wait = || rig.send(rig.host.call(&rig.clock, "GET", &format!("/api/challenge/{id}?wait=25")));
    let (answer, ()) = tokio::join!(wait(), async {
        tokio::task::yield_now().await; // the wait is registered with its deadline before the clock moves
        rig.clock.advance(Duration::from_secs(25));
    });
    assert_eq!(answer.json::<Reply>().status, Status::Pending);
    let (answer, ()) = tokio::join!(wait(), async { rig.engine.drain() });
    assert_eq!(answer.json::<Reply>().status, Status::Pending);
}

#[tokio::test]
async fn the_same_nonce_is_the_same_question_and_never_another() {
    let rig = Rig::new().await;
    let first = rig.ask(1).await;
    let again = rig.ask(1).await;
    assert_eq!((first.challenge_id, first.user_code), (again.challenge_id, again.user_code));
    let created = |event: &&identree_core::audit::AuditEvent| event.kind == EventKind::ChallengeCreated;
    assert_eq!(rig.journal().await.iter().filter(created).count(), 1);

    let other = question(1).replace("whoami", "reboot");
    let answer = rig.send(rig.host.post(&rig.clock, &other)).await;
    assert_eq!((answer.status, &*answer.problem()), (StatusCode::CONFLICT, "nonce-reused"));
}

#[tokio::test]
async fn cancelling_is_final_and_repeatable() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    for _ in 0..2 {
        let answer = rig.send(rig.host.call(&rig.clock, "DELETE", &format!("/api/challenge/{id}"))).await;
        assert_eq!((answer.status, answer.json::<Reply>().status), (StatusCode::OK, Status::Cancelled));
    }
    let cancelled = |event: &&identree_core::audit::AuditEvent| event.kind == EventKind::ChallengeCancelled;
    assert_eq!(rig.journal().await.iter().filter(cancelled).count(), 1);
}

#[tokio::test]
async fn a_host_reaches_its_own_questions_only() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let web2 = HostName::parse("web2").unwrap();
    let secret = rig.hosts.add(&web2, None, None, None).await.unwrap();
    let other = Host::with(web2, secret);
    for (method, suffix) in [("GET", ""), ("GET", "?wait=25"), ("DELETE", "")] {
        let answer = rig.send(other.call(&rig.clock, method, &format!("/api/challenge/{id}{suffix}"))).await;
        assert_eq!((answer.status, &*answer.problem()), (StatusCode::NOT_FOUND, "not-found"));
    }
    assert!(rig.engine.record(id).await.unwrap().unwrap().is_pending());
}

#[tokio::test]
async fn a_body_that_never_ends_holds_no_connection() {
    let rig = Rig::new().await;
    let endless = Full::<Bytes>::from("{").with_trailers(std::future::pending());
    let request = rig.host.post(&rig.clock, "{").map(|_| Body::new(endless));
    let (answer, ()) = tokio::join!(rig.send(request), async {
        tokio::task::yield_now().await; // the body is waited for with its deadline before the clock moves
        rig.clock.advance(Duration::from_secs(10));
    });
    assert_eq!((answer.status, &*answer.problem()), (StatusCode::REQUEST_TIMEOUT, "too-slow"));
}

#[tokio::test]
async fn only_listed_users_may_ask_on_a_restricted_host() {
    let rig = Rig::new().await;
    let web2 = HostName::parse("web2").unwrap();
    let secret = rig.hosts.add(&web2, Some(vec![name("bob")]), None, None).await.unwrap();
    let host = Host::with(web2, secret);
    let answer = rig.send(host.post(&rig.clock, &question(1))).await;
    assert_eq!((answer.status, &*answer.problem()), (StatusCode::FORBIDDEN, "user-not-allowed"));
    let answer = rig.send(host.post(&rig.clock, &question(1).replace("ann", "bob"))).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_secret_works_until_it_is_rotated_or_its_host_removed() {
    let rig = Rig::new().await;
    rig.ask(1).await;
    let secret = rig.hosts.rotate(&rig.host.name, None).await.unwrap();
    let refused = rig.send(rig.host.post(&rig.clock, &question(2))).await;
    assert_eq!(refused.problem(), "unauthorized");
    let rotated = Host::with(rig.host.name.clone(), secret);
    assert_eq!(rig.send(rotated.post(&rig.clock, &question(2))).await.status, StatusCode::CREATED);
    rig.hosts.remove(&rig.host.name, None).await.unwrap();
    let removed = rig.send(rotated.post(&rig.clock, &question(3))).await;
    assert_eq!(removed.body, refused.body, "one text for a wrong secret and an unknown host");
}

/// Everything that is wrong with a request, with its own status and type; none changes anything.
#[tokio::test]
async fn bad_input_has_its_own_answer_and_changes_nothing() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let before = rig.journal().await;
    let (host, now) = (&rig.host, rig.clock.now().as_secs());
    let post = |body: &str| host.post(&rig.clock, body);
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut body: serde_json::Value = serde_json::from_str(&question(2)).unwrap();
        change(&mut body);
        post(&body.to_string())
    };
    let set = |field: &'static str, value: serde_json::Value| with(&move |body| body[field] = value.clone());
    let without = |field: &'static str| with(&move |body| drop(body.as_object_mut().unwrap().remove(field)));
    let header = |mut request: Request<Body>, name: header::HeaderName, value: Option<String>| {
        request.headers_mut().remove(&name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let authorization = |change: fn(&str) -> String| {
        let request = post(&question(2));
        let value = change(request.headers()[header::AUTHORIZATION].to_str().unwrap());
        header(request, header::AUTHORIZATION, Some(value))
    };
    let stranger = Host { name: HostName::parse("stranger").unwrap(), ..host.clone() };
    let at =
        |secs: i64, authority: &str| host.signed(("POST", v1::CHALLENGES, authority), secs, question(2).as_bytes());
    let swapped = {
        let mut request = post(&question(2));
        *request.body_mut() = Body::from(question(3));
        request
    };
    let unauthorized = StatusCode::UNAUTHORIZED;
    let bad = StatusCode::BAD_REQUEST;
    let cases: Vec<(&str, Request<Body>, StatusCode, &str)> = vec![
        ("no credential", header(post("{}"), header::AUTHORIZATION, None), unauthorized, "unauthorized"),
        ("another scheme", authorization(|_| "Bearer x".into()), unauthorized, "unauthorized"),
        ("unknown host", stranger.post(&rig.clock, &question(2)), unauthorized, "unauthorized"),
        (
            "bad MAC",
            authorization(|text| text.replace("mac=\"", "mac=\"00").replacen("00", "", 0)),
            unauthorized,
            "unauthorized",
        ),
        ("another body", swapped, unauthorized, "unauthorized"),
        ("for another server", at(now, "evil.example"), unauthorized, "unauthorized"),
        ("stale, and for another server", at(now - 91, "evil.example"), unauthorized, "unauthorized"),
        ("stale", at(now - 91, AUTHORITY), unauthorized, "stale-request"),
        ("from the future", at(now + 91, AUTHORITY), unauthorized, "stale-request"),
        ("too large", post(&" ".repeat(v1::MAX_BODY_BYTES + 1)), StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        (
            "no type",
            header(post("{}"), header::CONTENT_TYPE, None),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json-type",
        ),
        (
            "a form",
            header(post("{}"), header::CONTENT_TYPE, Some("text/plain".into())),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json-type",
        ),
        ("empty", post(""), bad, "not-json"),
        ("not JSON", post("{"), bad, "not-json"),
        ("no object", post("[]"), bad, "invalid-request"),
        ("another version", set("v", 2.into()), bad, "unsupported-version"),
        ("unknown field", set("colour", "red".into()), bad, "unknown-field"),
        ("missing field", without("username"), bad, "missing-field"),
        ("no command", set("argv", serde_json::json!([])), bad, "invalid-request"),
        ("over-long name", set("username", "a".repeat(129).into()), bad, "too-long"),
        ("over-long command", set("argv", serde_json::json!(["a".repeat(200_000)])), bad, "too-long"),
        ("over-long reason", set("reason", "a".repeat(2001).into()), bad, "too-long"),
        ("control character in a name", set("username", "an\u{1b}n".into()), bad, "forbidden-character"),
        ("invisible character in a name", set("run_as_user", "ro\u{200b}ot".into()), bad, "forbidden-character"),
        ("control character in the reason", set("reason", "x\u{7}".into()), bad, "forbidden-character"),
        ("control character in the terminal", set("tty", "/dev/pts/1\n".into()), bad, "forbidden-character"),
        ("bad nonce", set("nonce", "AB".into()), bad, "invalid-request"),
        ("number for a name", set("username", 7.into()), bad, "invalid-request"),
        (
            "waits too long",
            host.call(&rig.clock, "GET", &format!("/api/challenge/{id}?wait=26")),
            bad,
            "invalid-request",
        ),
        (
            "waits backwards",
            host.call(&rig.clock, "GET", &format!("/api/challenge/{id}?wait=-1")),
            bad,
            "invalid-request",
        ),
        ("another query", host.call(&rig.clock, "GET", &format!("/api/challenge/{id}?poll=1")), bad, "invalid-request"),
        (
            "no such question",
            host.call(&rig.clock, "GET", "/api/challenge/00000000000000000000000000000000"),
            StatusCode::NOT_FOUND,
            "not-found",
        ),
        ("no id", host.call(&rig.clock, "DELETE", "/api/challenge/..%2f"), StatusCode::NOT_FOUND, "not-found"),
        (
            "another method",
            host.call(&rig.clock, "PUT", "/api/challenge"),
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
        ),
    ];
    let mut seen = std::collections::BTreeMap::new();
    for (what, request, status, kind) in cases {
        let answer = rig.send(request).await;
        assert_eq!((answer.status, &*answer.problem()), (status, kind), "{what}: {}", answer.text());
        assert!(!answer.text().contains('\u{1b}'), "{what}: nothing from outside is echoed as it came");
        if kind == "unauthorized" {
            assert_eq!(
                *seen.entry(kind).or_insert_with(|| answer.body.clone()),
                answer.body,
                "{what}: one text for all"
            );
        }
    }
    let journal = rig.journal().await;
    assert_eq!(journal[..before.len()], before);
    assert!(journal[before.len()..].iter().all(|event| event.kind == EventKind::AuthenticationFailed));
    assert_eq!(rig.engine.visible(&ann(&rig)).len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_how_much() {
    let rig = Rig::new().await;
    let request =
        rig.host.signed(("POST", v1::CHALLENGES, AUTHORITY), rig.clock.now().as_secs() - 3600, question(1).as_bytes());
    let answer = rig.send(request).await;
    let problem: v1::Problem = answer.json();
    assert!(problem.detail.unwrap().contains("3600 s behind"), "{}", answer.text());
    assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
}

#[tokio::test]
async fn every_authority_of_this_server_is_its_own() {
    let rig = Rig::new().await;
    let request =
        rig.host.signed(("POST", v1::CHALLENGES, "localhost:8443"), rig.clock.now().as_secs(), question(1).as_bytes());
    assert_eq!(rig.send(request).await.status, StatusCode::CREATED);
}
