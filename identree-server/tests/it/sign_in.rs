//! Signing in against a scripted provider: what is accepted, and every way it is not. (The certified provider is driven by
//! the browser tests.)

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use crate::Rig;

#[tokio::test]
async fn without_a_provider_sign_in_says_so_and_sets_no_cookie() {
    let rig = Rig::new().await;
    let answer = rig.get("/sessions/login?return_to=/", None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn a_callback_that_nobody_began_is_refused() {
    let rig = Rig::new().await;
    let cookie = format!("identree_signin={}", "0".repeat(64));
    for (path, cookie) in [
        ("/callback", None),
        ("/callback?code=x&state=y", None),
        ("/callback?code=x&state=y", Some(&*cookie)),
        ("/callback?error=access_denied", Some(&*cookie)),
    ] {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let answer = rig.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
}
