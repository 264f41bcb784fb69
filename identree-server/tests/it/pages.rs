//! Open pages: what they are told, when, and what they do not keep alive.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use identree_core::actor::{Actor, Strength};
use identree_core::engine::Vote;
use serde_json::{Value, json};

use crate::{Answer, Rig, name};

async fn fetched(rig: &Rig, path: &str, cookie: &str) -> Answer {
    let request = Request::get(path).header(header::COOKIE, cookie).header("sec-fetch-mode", "cors");
    rig.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_held_request_is_answered_by_the_vote() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let (cookie, _) = rig.session("ann").await;
    let path = format!("/approve/{id}/state?seen=1");
    let ann = Actor::vouched("test", name("ann"), identree_core::time::Timestamp::default(), Strength::SignedIn);
    let approve = rig.engine.vote(id, &ann, Vote::Approve { reason: None, number: None });
    let (answer, verdict) = tokio::join!(fetched(&rig, &path, &cookie), approve);
    verdict.unwrap();
    assert_eq!(answer.json::<Value>(), json!({"revision": 2, "state": "approved"}));
}

#[tokio::test]
async fn a_held_request_is_answered_after_25_seconds_and_at_the_stop() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let (cookie, _) = rig.session("ann").await;
    let list: Value = fetched(&rig, "/state", &cookie).await.json();
    assert_eq!(list["waiting"], 1, "{list}");
    let seen = list["seen"].as_str().unwrap();
    for path in [format!("/approve/{id}/state?seen=1"), format!("/state?seen={seen}")] {
        let mut held = std::pin::pin!(fetched(&rig, &path, &cookie));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut held => break answer,
                () = tokio::task::yield_now() => rig.clock.advance(Duration::from_secs(25)),
            }
        };
        assert_eq!(answer.status, StatusCode::OK);
    }
    rig.engine.drain();
    assert_eq!(fetched(&rig, &format!("/approve/{id}/state?seen=1"), &cookie).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_open_page_keeps_no_session_alive() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    for _ in 0..2 {
        rig.clock.advance(Duration::from_secs(14 * 60));
        assert_eq!(fetched(&rig, "/state", &cookie).await.status, StatusCode::OK);
    }
    rig.clock.advance(Duration::from_secs(3 * 60));
    assert_eq!(fetched(&rig, "/state", &cookie).await.status, StatusCode::UNAUTHORIZED);
}
