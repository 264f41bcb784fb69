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

#[tokio::test]
async fn pages_answer_in_the_language_of_the_browser_or_of_the_person() {
    let rig = Rig::new().await;
    let opened = rig.ask(1).await;
    let (cookie, csrf) = rig.session("ann").await;
    let question = format!("/approve/{}", opened.challenge_id);
    for path in ["/", &question, "/nowhere", "/callback?code=x&state=y"] {
        let get = |cookie: &str| {
            let request =
                Request::get(path).header(header::COOKIE, cookie).header(header::ACCEPT_LANGUAGE, "de-DE, en;q=0.5");
            rig.send(request.body(Body::empty()).unwrap())
        };
        let german = get(&cookie).await;
        assert!(german.text().contains("<html lang=\"de\">"), "{path}");
        assert!(!german.text().contains("Sign "), "{path}: {}", german.text());
        assert!(german.header(header::VARY).contains("Accept-Language"), "{path}");
        assert_eq!(german.header(header::CACHE_CONTROL), "no-store", "{path}");
        let chosen = get(&format!("{cookie}; identree_language=en")).await;
        assert!(chosen.text().contains("<html lang=\"en\">"), "{path}");
        assert_eq!(german.status, chosen.status, "{path}");
    }
    let refused = Request::post("/api/challenges/approve")
        .header(header::COOKIE, &cookie)
        .header(header::ACCEPT_LANGUAGE, "de")
        .body(Body::from(format!("csrf_token={csrf}")));
    let refused = rig.send(refused.unwrap()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text().contains("Nicht von hier"), "{}", refused.text());
}

#[tokio::test]
async fn who_chooses_a_language_keeps_it_and_stays_where_they_were() {
    let rig = Rig::new().await;
    let choose = |language: &str, from: &str, origin: &str| {
        let request = Request::post("/language")
            .header(header::ORIGIN, origin)
            .header(header::REFERER, from)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        rig.send(request.body(Body::from(format!("language={language}"))).unwrap())
    };
    for (from, back) in [
        ("http://127.0.0.1:8090/approve/KWXPTA-482913?x=y", "/approve/KWXPTA-482913"),
        ("http://127.0.0.1:8090/api/challenges/approve", "/"),
        ("https://evil.example//approve/", "/"),
        ("nonsense", "/"),
    ] {
        let answer = choose("de", from, crate::ORIGIN).await;
        assert_eq!((answer.status, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, back), "{from}");
        assert!(
            answer.header(header::SET_COOKIE).starts_with("identree_language=de; Path=/; Max-Age=31536000; HttpOnly")
        );
    }
    assert_eq!(choose("fr", "", crate::ORIGIN).await.status, StatusCode::BAD_REQUEST);
    let foreign = choose("de", "", "https://evil.example").await;
    assert_eq!((foreign.status, foreign.header(header::SET_COOKIE)), (StatusCode::FORBIDDEN, ""));
}
