//! One noisy or hostile client locks nobody else out, and everybody is told which limit it is.

use std::time::Duration;

use axum::http::{StatusCode, header};
use identree_core::actor::{Actor, Strength};
use identree_core::engine::{Caps, CoolDown, Vote};
use identree_core::id::HostName;
use identree_core::time::Clock as _;
use identree_core::wire::v1;

use crate::{Answer, Host, Rig, name, question};

const CAPS: Caps = Caps {
    per_requester: 2,
    per_target: 3,
    in_all: 4,
    cool_down: CoolDown { after: 3, within: Duration::from_secs(600), pause: Duration::from_secs(60) },
};

/// Status, problem and `Retry-After`, which must agree with the body.
fn limited(answer: &Answer) -> (u16, String, u32) {
    let wait: u32 = answer.header(header::RETRY_AFTER).parse().unwrap();
    assert_eq!(answer.json::<v1::Problem>().retry_after, Some(wait));
    (answer.status.as_u16(), answer.problem(), wait)
}

async fn ask(rig: &Rig, host: &Host, user: &str, nonce: u8) -> Answer {
    rig.send(host.post(&rig.clock, &question(nonce).replace("ann", user))).await
}

async fn another(rig: &Rig, host: &str) -> Host {
    let host = HostName::parse(host).unwrap();
    Host { secret: rig.hosts.add(&host, None, None, None).await.unwrap(), name: host }
}

#[tokio::test]
async fn each_cap_has_its_own_answer_and_a_question_asked_before_is_still_answered() {
    let rig = Rig::with_caps(CAPS).await;
    let (web1, web2) = (rig.host.clone(), another(&rig, "web2").await);
    for nonce in 0..2 {
        assert_eq!(ask(&rig, &web1, "ann", nonce).await.status, StatusCode::CREATED);
    }
    let events = rig.journal().await.len();
    assert_eq!(limited(&ask(&rig, &web1, "ann", 2).await), (429, "too-many-for-user".to_owned(), 10));
    assert_eq!(limited(&ask(&rig, &web2, "ann", 2).await), (429, "too-many-for-user".to_owned(), 10));
    assert_eq!(rig.journal().await.len(), events, "a flood writes nothing");
    assert_eq!(ask(&rig, &web1, "ann", 0).await.status, StatusCode::CREATED);

    assert_eq!(ask(&rig, &web1, "bob", 3).await.status, StatusCode::CREATED);
    assert_eq!(limited(&ask(&rig, &web1, "cid", 4).await), (429, "too-many-for-host".to_owned(), 10));
    assert_eq!(ask(&rig, &web2, "cid", 4).await.status, StatusCode::CREATED, "another host is not held back");
    assert_eq!(limited(&ask(&rig, &web2, "dan", 5).await), (503, "too-many".to_owned(), 10));
}

#[tokio::test]
async fn who_was_denied_three_times_is_told_how_long_to_wait() {
    let rig = Rig::new().await;
    for nonce in 0..3 {
        let id = rig.ask(nonce).await.challenge_id;
        let ann = Actor::vouched("test", name("ann"), rig.clock.now(), Strength::SignedIn);
        rig.engine.vote(id, &ann, Vote::Deny { reason: None }).await.unwrap();
    }
    rig.clock.advance(Duration::from_millis(17_500));
    let web1 = rig.host.clone();
    assert_eq!(limited(&ask(&rig, &web1, "ann", 3).await), (429, "cool-down".to_owned(), 43));
    assert_eq!(ask(&rig, &web1, "bob", 4).await.status, StatusCode::CREATED, "others ask on");
    rig.clock.advance(Duration::from_millis(42_500));
    assert_eq!(ask(&rig, &web1, "ann", 3).await.status, StatusCode::CREATED);
}
