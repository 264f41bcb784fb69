//! Somebody sets the server's clock by an hour, while questions wait and people are signed in (decision 13).

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use identree_core::grant::{Answer as SignedFacts, Decision};
use identree_core::rng::SeededEntropy;
use identree_core::store::Store;
use identree_core::time::{Clock as _, ManualClock, Timestamp};
use identree_core::wire::v1::{self, CHALLENGES, Reply, Status};
use identree_server::parts::Parts;
use identree_server::session::Sessions;

use crate::{AUTHORITY, Rig, question};

const HOUR: Duration = Duration::from_secs(3600);

/// Who is not, is sent to sign in instead of being told that there is no such question.
async fn is_signed_in(rig: &Rig, cookie: &str) -> bool {
    rig.get("/approve/KWXPTA-482913", Some(cookie)).await.status == StatusCode::NOT_FOUND
}

#[tokio::test]
async fn a_step_back_prolongs_nothing_and_hosts_go_by_the_clock_as_it_is_now() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    let id = rig.ask(1).await.challenge_id;
    let target = format!("{CHALLENGES}/{id}?wait=25");
    rig.clock.set_wall_back(HOUR);

    // A host whose clock is right is served at once; one that is still where the server was is told by how much.
    let right = |method, target, body: &str| {
        rig.host.signed((method, target, AUTHORITY), rig.clock.wall().as_secs(), body.as_bytes())
    };
    let answer = rig.send(right("POST", CHALLENGES, &question(2))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let after: Reply = answer.json();
    assert_eq!(after.expires_in, 120);
    let answer = rig.send(rig.host.post(&rig.clock, &question(3))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.json::<v1::Problem>().detail.unwrap().contains("3600 s ahead of"), "{}", answer.text());

    // Who waits is told when the two minutes are over.
    let waiting = rig.send(right("GET", &target, ""));
    let (answer, ()) = tokio::join!(waiting, async {
        tokio::task::yield_now().await;
        rig.clock.advance(Duration::from_secs(120));
    });
    let reply: Reply = answer.json();
    assert_eq!(reply.status, Status::Expired, "{}", answer.text());
    let (_, facts) = SignedFacts::decode(&reply.answer.unwrap().bytes).unwrap();
    assert_eq!(facts.decision, Decision::Expired);
    let ended = rig.engine.wait_for_record(after.challenge_id, Timestamp::MAX).await.unwrap();
    assert!(!ended.is_pending(), "the other question's time is over too");

    assert!(is_signed_in(&rig, &cookie).await, "for half an hour, as before");
    rig.clock.advance(Duration::from_secs(30 * 60));
    assert!(!is_signed_in(&rig, &cookie).await, "and not for longer");
}

#[tokio::test]
async fn a_step_forward_ends_what_it_passes_and_grants_nothing() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    let id = rig.ask(1).await.challenge_id;
    let waiting = rig.send(rig.host.call(&rig.clock, "GET", &format!("{CHALLENGES}/{id}?wait=25")));
    let (answer, ()) = tokio::join!(waiting, async {
        tokio::task::yield_now().await;
        rig.clock.advance(HOUR);
    });
    assert_eq!(answer.json::<Reply>().status, Status::Expired);
    assert!(!is_signed_in(&rig, &cookie).await);
    assert_eq!(rig.ask(2).await.status, Status::Pending, "a host with the right clock asks on");
}

#[tokio::test]
async fn a_session_of_a_clock_that_has_gone_back_since_is_over_after_a_restart() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    let token = cookie.strip_prefix("identree_session=").unwrap();
    let restarted_at = |back: Duration| {
        let parts = Parts {
            store: Arc::clone(&rig.store) as Arc<dyn Store>,
            clock: Arc::new(ManualClock::new(rig.clock.now() - back)),
            entropy: Arc::new(SeededEntropy::new(9)),
        };
        Sessions::new(parts)
    };
    assert!(restarted_at(Duration::ZERO).find(token).await.unwrap().is_some());
    assert!(
        restarted_at(Duration::from_secs(2)).find(token).await.unwrap().is_some(),
        "a small correction ends nothing"
    );
    assert!(restarted_at(HOUR).find(token).await.unwrap().is_none());
}
