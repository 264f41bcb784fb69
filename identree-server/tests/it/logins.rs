//! A login's question: opened by a host, read by its approver, matched by rules.

use axum::http::{Request, StatusCode, header};
use identree_core::wire::v1::{Reply, Status};

use crate::{Rig, question};

/// The body of an ssh login of ann.
fn login(nonce: u8) -> String {
    let sudo: serde_json::Value = serde_json::from_str(&question(nonce)).unwrap();
    let body = serde_json::json!({
        "v": 1, "kind": "ssh-login", "nonce": sudo["nonce"], "service": "sshd", "username": "ann", "remote": "203.0.113.7",
    });
    body.to_string()
}

#[tokio::test]
async fn an_approver_reads_who_comes_from_where_in_both_languages() {
    let rig = Rig::new().await;
    let reply: Reply = rig.send(rig.host.post(&rig.clock, &login(1))).await.json();
    let (cookie, _) = rig.session("ann").await;
    let page = format!("/approve/{}", reply.user_code.unwrap().as_str());
    for (language, headline, from) in
        [("en", "Log in to web1 as ann?", "From"), ("de", "Als ann auf web1 anmelden?", "Von")]
    {
        let request = Request::get(&page).header(header::COOKIE, &cookie).header(header::ACCEPT_LANGUAGE, language);
        let shown = rig.send(request.body(axum::body::Body::empty()).unwrap()).await.text();
        assert!(shown.contains(headline) && shown.contains("ssh ann@web1"), "{shown}");
        assert!(shown.contains("203.0.113.7") && shown.contains(from), "{shown}");
    }
}

#[tokio::test]
async fn rules_tell_logins_from_sudo() {
    let rules = r#"
        [[policies]]
        name = "no-ssh"
        match_kinds = ["ssh-login"]
        action = "refuse"
        [[policies]]
        name = "default"
        action = "allow"
    "#;
    let rig = Rig::ruled(rules).await;
    let login: Reply = rig.send(rig.host.post(&rig.clock, &login(1))).await.json();
    assert_eq!(login.status, Status::Refused);
    assert_eq!(rig.ask(2).await.status, Status::Approved);
}

#[tokio::test]
async fn what_is_no_login_is_refused() {
    let rig = Rig::new().await;
    for (body, problem) in [
        (login(1).replace("ssh-login", "deploy"), "invalid-request"),
        (login(1).replace("\"remote\"", "\"argv\""), "unknown-field"),
        (login(1).replace("203.0.113.7", "203\\u202e.7"), "forbidden-character"),
        (login(1).replace("203.0.113.7", &"x".repeat(300)), "too-long"),
        (login(1).replace("\"ssh-login\"", "null"), "unknown-field"),
    ] {
        let answer = rig.send(rig.host.post(&rig.clock, &body)).await;
        assert!(answer.status.is_client_error() && answer.status != StatusCode::NOT_FOUND, "{body}");
        assert_eq!(answer.problem(), problem, "{body}");
    }
}
