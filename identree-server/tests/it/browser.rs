//! Pages and sessions: nothing is decided by a GET, by another site, or by a session that has ended.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use identree_core::audit::EventKind;
use identree_core::id::ChallengeId;

use crate::{Answer, ORIGIN, Rig};

struct Form<'a> {
    cookie: &'a str,
    csrf: &'a str,
    origin: Option<&'a str>,
    site: Option<&'a str>,
}

async fn post(rig: &Rig, path: &str, form: &Form<'_>, fields: &str) -> Answer {
    let mut request = Request::post(path)
        .header(header::COOKIE, form.cookie)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(origin) = form.origin {
        request = request.header(header::ORIGIN, origin);
    }
    if let Some(site) = form.site {
        request = request.header("sec-fetch-site", site);
    }
    let body = format!("csrf_token={}&{fields}", form.csrf);
    rig.send(request.body(Body::from(body)).unwrap()).await
}

async fn pending(rig: &Rig, id: ChallengeId) -> bool {
    rig.engine.record(id).await.unwrap().unwrap().is_pending()
}

#[tokio::test]
async fn a_signed_in_person_approves_with_one_post() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let (cookie, csrf) = rig.session("ann").await;
    let form = Form { cookie: &cookie, csrf: &csrf, origin: Some(ORIGIN), site: Some("same-origin") };
    let answer = post(&rig, "/api/challenges/approve", &form, &format!("challenge_id={id}")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert!(!pending(&rig, id).await);
}

#[tokio::test]
async fn a_get_never_decides() {
    let rig = Rig::new().await;
    let opened = rig.ask(1).await;
    let (cookie, csrf) = rig.session("ann").await;
    let code = opened.user_code.unwrap();
    let id = opened.challenge_id;
    for path in [
        format!("/approve/{}", code.as_str()),
        format!("/approve/{}?approve=1&csrf_token={csrf}", code.as_str()),
        format!("/api/challenges/approve?challenge_id={id}&csrf_token={csrf}"),
        format!("/api/challenges/reject?challenge_id={id}&csrf_token={csrf}"),
        "/signout".to_owned(),
    ] {
        rig.get(&path, Some(&cookie)).await;
        assert!(pending(&rig, id).await, "{path}");
    }
    assert_eq!(rig.get("/", Some(&cookie)).await.status, StatusCode::OK);
    assert!(rig.get("/", Some(&cookie)).await.text().contains("ann"), "still signed in");
}

#[tokio::test]
async fn forms_of_others_change_nothing() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let (cookie, csrf) = rig.session("ann").await;
    let (other_cookie, other_csrf) = rig.session("ann").await;
    assert_ne!((&cookie, &csrf), (&other_cookie, &other_csrf), "each session has its own");
    let own = Form { cookie: &cookie, csrf: &csrf, origin: Some(ORIGIN), site: None };
    let refused = [
        ("another site", Form { origin: Some("https://evil.example"), ..own }, StatusCode::FORBIDDEN),
        ("a hidden origin", Form { origin: Some("null"), ..own }, StatusCode::FORBIDDEN),
        ("a cross-site fetch", Form { site: Some("cross-site"), ..own }, StatusCode::FORBIDDEN),
        ("neither header", Form { origin: None, ..own }, StatusCode::FORBIDDEN),
        ("no token", Form { csrf: "", ..own }, StatusCode::FORBIDDEN),
        ("another session's token", Form { csrf: &other_csrf, ..own }, StatusCode::FORBIDDEN),
        ("no session", Form { cookie: "a=b", ..own }, StatusCode::UNAUTHORIZED),
        ("an invented session", Form { cookie: "identree_session=00", ..own }, StatusCode::UNAUTHORIZED),
    ];
    for (what, form, status) in refused {
        for path in ["/api/challenges/approve", "/api/challenges/reject", "/signout"] {
            let answer = post(&rig, path, &form, &format!("challenge_id={id}")).await;
            assert_eq!(answer.status, status, "{what} {path}: {}", answer.text());
        }
    }
    assert!(pending(&rig, id).await);
    assert!(rig.journal().await.iter().all(|event| event.kind != EventKind::SignedOut));
}

#[tokio::test]
async fn a_stolen_cookie_is_worth_nothing_after_sign_out() {
    let rig = Rig::new().await;
    let id = rig.ask(1).await.challenge_id;
    let (cookie, csrf) = rig.session("ann").await;
    let form = Form { cookie: &cookie, csrf: &csrf, origin: Some(ORIGIN), site: None };
    let out = post(&rig, "/signout", &form, "").await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert!(out.header(header::SET_COOKIE).contains("Max-Age=0"));
    let answer = post(&rig, "/api/challenges/approve", &form, &format!("challenge_id={id}")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(pending(&rig, id).await);
    let ended = rig.journal().await.into_iter().find(|event| event.kind == EventKind::SignedOut).unwrap();
    assert_eq!(ended.actor.unwrap().as_str(), "ann");
}

#[tokio::test]
async fn sessions_end_after_half_an_hour_of_silence_and_after_eight_hours_at_most() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    let alive = async || rig.get("/approve/KWXPTA-482913", Some(&cookie)).await.status == StatusCode::NOT_FOUND;
    for _ in 0..16 {
        rig.clock.advance(Duration::from_secs(29 * 60));
        assert!(alive().await);
    }
    rig.clock.advance(Duration::from_secs(29 * 60)); // 8 h 13 min since sign-in, though never idle
    assert!(!alive().await);

    let (cookie, _) = rig.session("ann").await;
    rig.clock.advance(Duration::from_secs(30 * 60));
    let answer = rig.get("/approve/KWXPTA-482913", Some(&cookie)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header(header::LOCATION), "/sessions/login?return_to=%2Fapprove%2FKWXPTA-482913");
}

#[tokio::test]
async fn a_question_of_somebody_else_does_not_exist() {
    let rig = Rig::new().await;
    let opened = rig.ask(1).await;
    let (cookie, csrf) = rig.session("bob").await;
    let code = opened.user_code.unwrap();
    let strange = rig.get("/approve/KWXPTA-482913", Some(&cookie)).await;
    let answer = rig.get(&format!("/approve/{}", code.as_str()), Some(&cookie)).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::NOT_FOUND, &strange.body));
    let form = Form { cookie: &cookie, csrf: &csrf, origin: Some(ORIGIN), site: None };
    post(&rig, "/api/challenges/approve", &form, &format!("challenge_id={}", opened.challenge_id)).await;
    assert!(pending(&rig, opened.challenge_id).await);
}

#[tokio::test]
async fn every_page_tells_the_browser_what_it_may() {
    let rig = Rig::new().await;
    for path in ["/", "/nowhere", "/approve/KWXPTA-482913", "/sessions/login"] {
        let answer = rig.get(path, None).await;
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        for part in ["default-src 'self'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
        assert!(answer.headers.contains_key("x-request-id"));
    }
}
