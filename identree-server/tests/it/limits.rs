//! One noisy or hostile client locks nobody else out, and everybody is told which limit it is.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use identree_core::actor::{Actor, Strength};
use identree_core::audit::EventKind;
use identree_core::engine::{Caps, CoolDown, Vote};
use identree_core::id::HostName;
use identree_core::rng::SeededEntropy;
use identree_core::time::Clock as _;
use identree_core::wire::v1;
use identree_server::layer::rate_limit::{Rate, Rates};

use crate::{Answer, Host, MOST_WAITS, ORIGIN, PROXY, Rig, name, question};

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
    Host::with(host.clone(), rig.hosts.add(&host, None, None, None).await.unwrap())
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
    let written = rig.journal().await.split_off(events);
    let limited_on: Vec<_> =
        written.iter().map(|event| (event.kind, event.target.clone().unwrap().to_string())).collect();
    let (kind, web) = (EventKind::RateLimited, |n: u8| format!("web{n}"));
    assert_eq!(limited_on, [(kind, web(1)), (kind, web(2))], "a flood writes one event a minute");
    assert!(written.iter().all(|event| event.details["limit"] == "user" && event.subject == Some(name("ann"))));
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

fn pace(text: &str) -> Option<Rate> {
    Rate::parse(text).unwrap()
}

/// Slow enough to see: one more each second after the burst.
async fn paced() -> Rig {
    let rates = Rates {
        per_host: pace("60 burst 5"),
        per_user: pace("60 burst 6"),
        per_browser: pace("60 burst 4"),
        per_address: pace("60 burst 7"),
    };
    Rig::with("http://127.0.0.1:9", None, Caps::default(), rates).await
}

/// How many of `n` such requests are let through.
async fn let_through(n: usize, mut send: impl AsyncFnMut() -> Answer) -> usize {
    let mut through = 0;
    for _ in 0..n {
        through += usize::from(send().await.status != StatusCode::TOO_MANY_REQUESTS);
    }
    through
}

#[tokio::test]
async fn wrong_secrets_behind_one_address_never_block_right_ones() {
    let rig = paced().await;
    let web1 = rig.host.clone();
    let wrong = Host { credential: another(&rig, "web2").await.credential, ..web1.clone() };
    let storm = async || rig.send_from("192.0.2.9", "", wrong.post(&rig.clock, &question(1))).await;
    assert_eq!(let_through(50, storm).await, 7);
    assert_eq!(limited(&storm().await), (429, "rate-limited".to_owned(), 1));
    let answer = rig.send_from("192.0.2.9", "", web1.post(&rig.clock, &question(1))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "the right one from the same address");
    let answer = rig.send_from("192.0.2.10", "", wrong.post(&rig.clock, &question(1))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "elsewhere the wrong one is told what is wrong");
    let get = || Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(rig.send_from("192.0.2.9", "", get()).await.status, StatusCode::OK, "and people come in");
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(storm().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_noisy_host_slows_itself_alone() {
    let rig = paced().await;
    let (noisy, quiet) = (rig.host.clone(), another(&rig, "web2").await);
    let from = |host: &Host| rig.send_from("192.0.2.9", "", host.post(&rig.clock, &question(1)));
    assert_eq!(let_through(50, async || from(&noisy).await).await, 5);
    let refused = from(&noisy).await;
    assert_eq!(limited(&refused), (429, "rate-limited".to_owned(), 1));
    assert_eq!(refused.header(header::CONNECTION), "close", "who is refused keeps no connection by asking on");
    assert_eq!(let_through(5, async || from(&quiet).await).await, 5, "from the same address");
    rig.clock.advance(Duration::from_secs(2));
    assert_eq!(let_through(50, async || from(&noisy).await).await, 2);
}

#[tokio::test]
async fn a_person_over_the_limit_is_told_and_another_at_the_same_address_is_not() {
    let rig = paced().await;
    let (ann, bob) = (rig.session("ann").await.0, rig.session("bob").await.0);
    let of = |cookie: &str| {
        let request = Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        rig.send_from("192.0.2.9", "", request)
    };
    assert_eq!(let_through(50, async || of(&ann).await).await, 6);
    let told = of(&ann).await;
    assert!(told.text().contains("Too many requests"), "{}", told.text());
    assert_eq!(told.header(header::RETRY_AFTER), "1");
    assert_eq!(of(&bob).await.status, StatusCode::OK);
    let elsewhere = Request::get("/").header(header::COOKIE, &ann).body(Body::empty()).unwrap();
    let answer = rig.send_from("192.0.2.10", "", elsewhere).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "a person is the same person everywhere");
}

#[tokio::test]
async fn who_has_begun_to_sign_in_is_not_locked_out_by_a_neighbour() {
    let rig = paced().await;
    let entropy = SeededEntropy::new(1);
    let begun = format!("identree_signin={}", rig.browsers.cookie(&entropy));
    let visit = |cookie: &str| {
        let request = Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        rig.send_from("192.0.2.9", "", request)
    };
    // Cookies that nobody was given are worth nothing, however many there are.
    let mut n = 0;
    let invented = async || {
        n += 1;
        visit(&format!("identree_signin={n:064x}")).await
    };
    assert_eq!(let_through(50, invented).await, 7);
    assert_eq!(visit("").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(let_through(50, async || visit(&begun).await).await, 4, "one that this server gave is");
    let other = format!("identree_signin={}", rig.browsers.cookie(&entropy));
    assert_eq!(visit(&other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_address_is_the_client_s_own_only_as_a_trusted_proxy_tells_it() {
    let rig = paced().await;
    let visit = async |peer: &str, forwarded: String| {
        rig.send_from(peer, &forwarded, Request::get("/").body(Body::empty()).unwrap()).await
    };
    let mut n = 0;
    let mut forged = async || {
        n += 1;
        visit("192.0.2.9", format!("198.51.100.{n}")).await
    };
    assert_eq!(let_through(50, &mut forged).await, 7, "who is no proxy stays one client");
    for client in 1..50 {
        let answer = visit(PROXY, format!("203.0.113.77, 198.51.100.{client}")).await;
        assert_eq!(answer.status, StatusCode::OK, "clients of a proxy are told apart");
    }
    let mut n = 0;
    let within = async || {
        n += 1;
        visit(PROXY, format!("2001:db8:1:2::{n:x}")).await
    };
    assert_eq!(let_through(50, within).await, 7, "a /64 is one client");
    assert_eq!(visit(PROXY, "2001:db8:1:3::1".to_owned()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_host_holds_so_many_requests_and_no_more() {
    let rig = Rig::new().await;
    let web2 = another(&rig, "web2").await;
    let id = rig.ask(1).await.challenge_id;
    let other: v1::Reply = ask(&rig, &web2, "bob", 2).await.json();
    let wait = |host: &Host, id| rig.send(host.call(&rig.clock, "GET", &format!("/api/challenge/{id}?wait=25")));
    let mut held: Vec<_> = (0..MOST_WAITS).map(|_| Box::pin(wait(&rig.host, id))).collect();
    for one in &mut held {
        assert!(futures_now(one).is_none(), "it rests");
    }
    assert_eq!(limited(&wait(&rig.host, id).await), (429, "too-many-waits".to_owned(), 2));
    assert!(futures_now(&mut Box::pin(wait(&web2, other.challenge_id))).is_none(), "another host rests on");
    held.pop(); // whoever hangs up makes room
    assert!(futures_now(&mut Box::pin(wait(&rig.host, id))).is_none());
}

/// The result, if it is there at once.
fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_form_that_never_ends_holds_no_connection() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    let endless = Full::<Bytes>::from("csrf_token=").with_trailers(std::future::pending());
    let request = Request::post("/signout").header(header::COOKIE, cookie).header(header::ORIGIN, ORIGIN);
    let request = request.body(Body::new(endless)).unwrap();
    let (answer, ()) = tokio::join!(rig.send(request), async {
        tokio::task::yield_now().await; // the form is waited for with its deadline before the clock moves
        rig.clock.advance(Duration::from_secs(10));
    });
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    assert!(answer.text().contains("That took too long"), "{}", answer.text());
}
