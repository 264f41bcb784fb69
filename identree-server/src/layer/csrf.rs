//! Requests that change something must come from our own pages: Fetch metadata, Origin, and the session's token.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Limited};
use identree_core::audit::EventKind;
use identree_core::time::Clock;

use super::sign_in::SignedIn;
use crate::refusals::Refusal;
use crate::web::Problem;

/// The largest form: a reason and a few short fields.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// A form takes milliseconds; nobody may hold a connection with one.
const FORM_WITHIN: Duration = Duration::from_secs(10);

/// What the layer needs.
#[derive(Debug, Clone)]
pub struct Csrf {
    /// The origins of our own pages (`https://id.example.org`).
    pub origins: Arc<[String]>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The layer: for `axum::middleware::from_fn_with_state`, inside `sign_in`.
pub async fn csrf(State(layer): State<Arc<Csrf>>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    if !layer.same_origin(request.headers()) {
        let person = request.extensions().get::<SignedIn>();
        return refused(Problem::foreign_form(), "origin", person);
    }
    let Some(signed_in) = request.extensions().get::<SignedIn>().cloned() else {
        return refused(Problem::signed_out(), "session", None);
    };
    let (parts, body) = request.into_parts();
    let arrived = tokio::select! {
        biased;
        arrived = Limited::new(body, MAX_FORM_BYTES).collect() => arrived,
        // A timer is made only where the body is not there yet.
        () = async { layer.clock.sleep_until(layer.clock.now() + FORM_WITHIN).await } => return Problem::too_slow().into_response(),
    };
    let Ok(body) = arrived else { return Problem::too_large().into_response() };
    let body = body.to_bytes();
    let mut tokens = url::form_urlencoded::parse(&body).filter(|(key, _)| key == "csrf_token");
    let proven = matches!((tokens.next(), tokens.next()), (Some((_, token)), None) if signed_in.csrf.matches(&token));
    if !proven {
        return refused(Problem::stale_form(), "token", Some(&signed_in));
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

/// For a form that changes nothing but a cookie of whoever sends it: no token, but from our own pages all the same.
pub async fn same_origin(State(layer): State<Arc<Csrf>>, request: Request, next: Next) -> Response {
    if layer.same_origin(request.headers()) {
        next.run(request).await
    } else {
        refused(Problem::foreign_form(), "origin", request.extensions().get::<SignedIn>())
    }
}

/// The answer, and what is recorded of it.
fn refused(problem: Problem, why: &'static str, person: Option<&SignedIn>) -> Response {
    let mut response = problem.into_response();
    let mut refusal = Refusal::new(EventKind::FormRefused, why);
    if let Some(person) = person {
        refusal = refusal.by(person.actor.name());
    }
    refusal.leave(&mut response);
    response
}

impl Csrf {
    /// Browsers send at least one of both headers with a POST, and no page can forge either.
    fn same_origin(&self, headers: &HeaderMap) -> bool {
        // No browser sends either twice; of two, neither is believed.
        let text = |name: header::HeaderName| {
            let mut sent = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
            sent.next().map(|first| if sent.next().is_some() { "?" } else { first })
        };
        let site = text(header::HeaderName::from_static("sec-fetch-site"));
        let origin = text(header::ORIGIN);
        let site_ok = site.is_none_or(|site| site == "same-origin");
        let origin_ok = origin.is_none_or(|origin| self.origins.iter().any(|own| own == origin));
        site_ok && origin_ok && (site.is_some() || origin.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_post() {
        let clock = Arc::new(identree_core::time::ManualClock::default());
        let csrf = Csrf { origins: Arc::new(["https://id.example".to_owned()]), clock };
        let ok = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            csrf.same_origin(&headers)
        };
        assert!(ok(&[("origin", "https://id.example")]));
        assert!(ok(&[("sec-fetch-site", "same-origin")]));
        for pairs in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://id.example")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://id.example"), ("origin", "https://evil.example")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!ok(pairs), "{pairs:?}");
        }
    }
}
