//! Attacks that belong to no single route.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use identree_core::actor::{Actor, Strength};
use identree_core::directory::Person;
use identree_core::engine::Vote;
use identree_core::id::GroupName;
use identree_core::time::Timestamp;
use identree_server::routes::{Door, ROUTES};

use crate::{ORIGIN, Rig, name};

/// No cache, shared or the browser's own, keeps what one person or one host was told.
#[tokio::test]
async fn nothing_private_may_be_cached() {
    let rig = Rig::new().await;
    let opened = rig.ask(1).await;
    let code = opened.user_code.unwrap();
    for route in ROUTES.iter().filter(|route| route.door != Door::Open || route.path == "/") {
        let (cookie, csrf) = rig.session("ann").await;
        let path = route.path.replace("{code}", code.as_str()).replace("{id}", &opened.challenge_id.to_string());
        let request = if route.door == Door::Host {
            rig.host.call(&rig.clock, route.method, &path)
        } else {
            Request::builder()
                .method(route.method)
                .uri(&path)
                .header(header::COOKIE, &cookie)
                .header(header::ORIGIN, ORIGIN)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(format!("csrf_token={csrf}")))
                .unwrap()
        };
        let response = tower::ServiceExt::oneshot(rig.router.clone(), request).await.unwrap();
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store", "{route:?}");
    }
}

/// The five tries are the question's, not the page's, the session's or the administrator's.
#[tokio::test]
async fn an_administrators_session_cannot_guess_the_number() {
    let rig = Rig::new().await;
    for admin in ["ada", "grace"] {
        let groups = vec![GroupName::parse("admins").unwrap()];
        rig.people.committed(Person { name: name(admin), groups, groups_until: Timestamp::MAX, disabled: false });
    }
    let opened = rig.ask(1).await;
    let right = opened.user_code.unwrap().number().to_owned();
    let guess = async |admin: &str, number: &str| {
        let (cookie, csrf) = rig.session(admin).await;
        let body = format!("csrf_token={csrf}&challenge_id={}&number={number}", opened.challenge_id);
        let request = Request::post("/api/challenges/approve")
            .header(header::COOKIE, cookie)
            .header(header::ORIGIN, ORIGIN)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body));
        rig.send(request.unwrap()).await
    };
    let wrong: Vec<String> = (0..6).map(|at| format!("{at:06}")).filter(|number| *number != right).collect();
    for (at, number) in wrong.iter().take(4).enumerate() {
        let answer = guess(["ada", "grace"][at % 2], number).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!answer.text().contains(&right), "the page does not tell it");
    }
    guess("ada", &wrong[4]).await;
    let answer = guess("grace", &right).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "the right number comes too late");
    let record = rig.engine.record(opened.challenge_id).await.unwrap().unwrap();
    assert!(!record.is_pending() && record.votes().is_empty(), "{record:?}");
}

/// Whoever is signed in may try codes all day: a code that exists and one that does not are one answer.
#[tokio::test]
async fn a_strangers_right_guess_of_a_code_looks_like_a_wrong_one() {
    let rig = Rig::new().await;
    let opened = rig.ask(1).await;
    let code = opened.user_code.unwrap();
    let (cookie, _) = rig.session("eve").await;
    for suffix in ["", "/state"] {
        let right = rig.get(&format!("/approve/{}{suffix}", code.as_str()), Some(&cookie)).await;
        let by_id = rig.get(&format!("/approve/{}{suffix}", opened.challenge_id), Some(&cookie)).await;
        let wrong = rig.get(&format!("/approve/KWXPTA-482913{suffix}"), Some(&cookie)).await;
        let no_code = rig.get(&format!("/approve/nonsense{suffix}"), Some(&cookie)).await;
        for answer in [right, by_id, no_code] {
            assert_eq!((answer.status, &answer.body), (wrong.status, &wrong.body), "{suffix}");
            let names = |headers: &axum::http::HeaderMap| headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(&answer.headers), names(&wrong.headers), "{suffix}");
        }
    }
}

/// What people wrote is shown as text, on pages of others above all.
#[tokio::test]
async fn what_is_asked_cannot_write_html_into_an_approvers_page() {
    let rig = Rig::new().await;
    let nasty = "<script>alert(1)</script>\"'><img src=x onerror=y>{{7*7}}";
    let body = crate::question(1).replace("whoami", &nasty.replace('"', "\\\""));
    let body = body.replacen('{', &format!("{{\"reason\":{},", serde_json::to_string(nasty).unwrap()), 1);
    let opened: identree_core::wire::v1::Reply = rig.send(rig.host.post(&rig.clock, &body)).await.json();
    let (cookie, _) = rig.session("ann").await;
    let ann = Actor::vouched("test", name("ann"), Timestamp::default(), Strength::SignedIn);
    for settled in [false, true] {
        if settled {
            let why = Some(nasty.to_owned());
            rig.engine.vote(opened.challenge_id, &ann, Vote::Deny { reason: why }).await.unwrap();
        }
        for path in ["/".to_owned(), format!("/approve/{}", opened.challenge_id)] {
            let html = rig.get(&path, Some(&cookie)).await.text();
            assert!(html.contains("alert(1)"), "{path}: it is shown");
            for part in ["<script>alert", "<img src=x", "\"'><", ">49<"] {
                assert!(!html.contains(part), "{path}: {part}");
            }
        }
    }
}
