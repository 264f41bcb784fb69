//! Requests that change something must come from our own pages: Fetch metadata, Origin, and the session's token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};

use super::sign_in::SignedIn;

/// The largest form: a reason and a few short fields.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// What the layer needs.
#[derive(Debug, Clone)]
pub struct Csrf {
    /// The origins of our own pages (`https://id.example.org`).
    pub origins: Arc<[String]>,
}

/// The layer: for `axum::middleware::from_fn_with_state`, inside `sign_in`.
pub async fn csrf(State(layer): State<Csrf>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let refuse = |text| crate::web::problem(StatusCode::FORBIDDEN, "Not done", text);
    if !layer.same_origin(request.headers()) {
        return refuse("This did not come from a page of this server. Nothing was changed.");
    }
    let Some(signed_in) = request.extensions().get::<SignedIn>().cloned() else {
        return crate::web::problem(
            StatusCode::UNAUTHORIZED,
            "Signed out",
            "You are not signed in any more. Nothing was changed.",
        );
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_FORM_BYTES).collect().await else {
        return crate::web::problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Not done",
            "The form is too large. Nothing was changed.",
        );
    };
    let body = body.to_bytes();
    let mut tokens = url::form_urlencoded::parse(&body).filter(|(key, _)| key == "csrf_token");
    let proven = matches!((tokens.next(), tokens.next()), (Some((_, token)), None) if signed_in.csrf.matches(&token));
    if !proven {
        return refuse("This form is of an earlier session. Reload the page and try again. Nothing was changed.");
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

impl Csrf {
    /// Browsers send at least one of both headers with a POST, and no page can forge either.
    fn same_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
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
        let csrf = Csrf { origins: Arc::new(["https://id.example".to_owned()]) };
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
        ] {
            assert!(!ok(pairs), "{pairs:?}");
        }
    }
}
