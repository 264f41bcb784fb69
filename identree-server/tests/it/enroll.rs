//! `/api/enroll` and `/api/host/…`: how hosts come by their keys, and how nobody else does.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use identree_core::credential::{Credential, HostKey};
use identree_core::enrol::{EnrolReply, EnrolRequest, KEY_PATH, KEYS_PATH, KeyRequest, KeysReply, PATH, Token};
use identree_core::id::{HostName, Nonce};
use identree_core::time::Clock as _;
use identree_core::wire::v1::VERSION;
use identree_server::hosts::Revoke;

use crate::{AUTHORITY, Host, Rig, question};

const LIFE: Duration = Duration::from_secs(900);

fn key(seed: u8) -> HostKey {
    HostKey::from_seed(&[seed; 32])
}

fn post(request: &EnrolRequest) -> Request<Body> {
    let body = serde_json::to_vec(request).unwrap();
    Request::post(PATH).header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap()
}

fn asking(token: &Token, seed: u8) -> EnrolRequest {
    EnrolRequest::new(token, &key(seed), Nonce::from_bytes([seed; 32]))
}

#[tokio::test]
async fn a_host_enrols_with_its_token_and_asks_under_its_key() {
    let rig = Rig::new().await;
    let name = HostName::parse("db1").unwrap();
    let token = rig.hosts.add_invited(&name, None, None, LIFE, None).await.unwrap();
    let asked = asking(&token, 1);
    let answer = rig.send(post(&asked)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let enrolment = answer.json::<EnrolReply>().open(&token, &asked).unwrap();
    assert_eq!((&enrolment.host, enrolment.key), (&name, key(1).public()));
    assert_eq!(enrolment.keys[0].key, rig.engine.decision_key());
    let host = Host { name, credential: Credential::Key(key(1)) };
    assert_eq!(rig.send(host.post(&rig.clock, &question(2))).await.status, StatusCode::CREATED);
}

/// The answer was lost on the way: the host asks again, with the same key and the same token.
#[tokio::test]
async fn the_same_request_again_is_answered_alike_and_changes_nothing() {
    let rig = Rig::new().await;
    let token = rig.hosts.invite(&rig.host.name, LIFE, Revoke::WhenEnrolled, None).await.unwrap();
    let first = rig.send(post(&asking(&token, 1))).await;
    let journal = rig.journal().await.len();
    rig.clock.advance(LIFE);
    let again = rig.send(post(&asking(&token, 1))).await;
    assert_eq!((first.status, &first.body), (StatusCode::OK, &again.body));
    assert_eq!(rig.journal().await.len(), journal);
}

/// Root on one host holds its own key, its own token, and whatever it has seen on the network.
#[tokio::test]
async fn root_on_one_host_is_no_other_host() {
    let rig = Rig::new().await;
    let (own, other) = (rig.enrolled("web1", 1).await, rig.enrolled("web2", 2).await);
    let opened = rig.send(other.post(&rig.clock, &question(2))).await;
    let id = opened.json::<identree_core::wire::v1::Reply>().challenge_id;
    let seen = other.post(&rig.clock, &question(2));
    let impersonating = Host { name: other.name.clone(), ..own.clone() };
    let unauthorized = |answer: &crate::Answer| assert_eq!(answer.problem(), "unauthorized");
    unauthorized(&rig.send(impersonating.post(&rig.clock, &question(3))).await);
    // A request of web2 under its own signature, in the name of web1.
    let mut renamed = other.post(&rig.clock, &question(3));
    let text = renamed.headers()[header::AUTHORIZATION].to_str().unwrap().replace("web2", "web1");
    renamed.headers_mut().insert(header::AUTHORIZATION, text.parse().unwrap());
    unauthorized(&rig.send(renamed).await);
    // What web2 sent, sent again: the same question, no second one; another body under it is nothing.
    let journal = rig.journal().await.len();
    assert!(rig.send(seen).await.status.is_success());
    assert_eq!(rig.journal().await.len(), journal);
    let mut swapped = other.post(&rig.clock, &question(3));
    *swapped.body_mut() = Body::from(question(4));
    unauthorized(&rig.send(swapped).await);
    // Its questions do not exist for web1, and no host decides: the pages know no host's credential.
    for method in ["GET", "DELETE"] {
        let answer = rig.send(own.call(&rig.clock, method, &format!("/api/challenge/{id}"))).await;
        assert_eq!(answer.problem(), "not-found");
    }
    let mut vote = own.signed(("POST", "/api/challenges/approve", AUTHORITY), rig.clock.now().as_secs(), b"");
    let kind = "application/x-www-form-urlencoded".parse().unwrap();
    vote.headers_mut().insert(header::CONTENT_TYPE, kind);
    assert!(rig.send(vote).await.status.is_client_error());
    assert!(rig.engine.record(id).await.unwrap().unwrap().is_pending());
}

#[tokio::test]
async fn a_host_replaces_its_key_itself_and_the_old_one_is_worth_nothing() {
    let rig = Rig::new().await;
    let old = rig.enrolled("web1", 1).await;
    let new = Host { credential: Credential::Key(key(2)), ..old.clone() };
    let request = |from: &Host, proof: [u8; 64]| {
        let body = KeyRequest { v: VERSION, key: key(2).public(), proof: proof.to_vec() };
        let body = serde_json::to_vec(&body).unwrap();
        from.signed(("POST", KEY_PATH, AUTHORITY), rig.clock.now().as_secs(), &body)
    };
    let stolen = key(3).succeed(&old.name, &key(1).public());
    assert_eq!(rig.send(request(&old, stolen)).await.problem(), "no-possession");
    let proof = key(2).succeed(&old.name, &key(1).public());
    assert_eq!(rig.send(request(&old, proof)).await.status, StatusCode::OK);
    assert_eq!(rig.send(request(&old, proof)).await.problem(), "unauthorized");
    assert_eq!(rig.send(old.post(&rig.clock, &question(2))).await.problem(), "unauthorized");
    let known = rig.send(new.call(&rig.clock, "GET", KEYS_PATH)).await;
    assert_eq!(known.json::<KeysReply>(), KeysReply { v: VERSION, statements: Vec::new() });
    // The answer was lost: under the new key the same request changes nothing.
    let journal = rig.journal().await.len();
    assert_eq!(rig.send(request(&new, proof)).await.status, StatusCode::OK);
    assert_eq!(rig.journal().await.len(), journal);
}

/// A stranger learns neither which hosts there are nor which tokens; guessing has its own slow rate.
#[tokio::test]
async fn strangers_are_told_one_thing_and_not_often() {
    let rig = Rig::new().await;
    let known = rig.hosts.invite(&rig.host.name, LIFE, Revoke::WhenEnrolled, None).await.unwrap();
    let guess = |host: &str, token: &Token| EnrolRequest {
        host: HostName::parse(host).unwrap(),
        mac: "0".repeat(64),
        ..asking(token, 1)
    };
    let first = rig.send(post(&guess("web1", &known))).await;
    let second = rig.send(post(&guess("stranger", &known))).await;
    assert_eq!((first.status, first.problem()), (StatusCode::FORBIDDEN, "enrolment-refused".to_owned()));
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    let mut last = first;
    for _ in 0..31 {
        last = rig.send_from("203.0.113.7", "", post(&guess("web1", &known))).await;
    }
    assert_eq!((last.status, &*last.problem()), (StatusCode::TOO_MANY_REQUESTS, "rate-limited"));
    // Another address, and hosts that prove themselves, are not held up.
    let other = rig.send_from("203.0.113.8", "", post(&asking(&known, 1))).await;
    assert_eq!(other.status, StatusCode::OK);
}
