//! A name for every request, in its answer and in every line of the log that is about it; and an answer for those that end
//! in a panic. The log holds method, path and status; never a query, a header or
//! a body, nor the code of a question, which holds the number that an approver types.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use identree_core::rng::bytes;
use identree_core::text::{hex, visible};
use identree_core::wire::v1;
use tracing::Instrument as _;

use super::client_ip::ClientAddress;
use crate::api::Problem;
use crate::parts::Parts;
use crate::telemetry::{HttpMeters, Stopwatch};

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the layer needs.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Randomness, for ids.
    pub parts: Parts,
    /// Where answers are counted, if they are.
    pub http: Option<Arc<HttpMeters>>,
}

/// The layer: for `axum::middleware::from_fn_with_state`. A proxy's id is kept if it is a plain one.
pub async fn trace(State(Trace { parts, http }): State<Trace>, request: Request, next: Next) -> Response {
    let plain = |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    let id = sent.map_or_else(|| hex(&bytes::<8>(&*parts.entropy)), str::to_owned);
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map(MatchedPath::as_str);
    let path = shown(request.uri().path(), route);
    let client = request.extensions().get::<ClientAddress>().map(|client| tracing::field::display(client.0));
    // Of the highest level, so that its lines have it whatever the filter lets through. Layers within add who it is.
    let who = tracing::field::Empty;
    let method = request.method().clone();
    let span = tracing::error_span!("request", id, %method, path = &*path, client, host = who, person = who);
    let watch = Stopwatch::start();
    let machine = path.strip_prefix(v1::CHALLENGES).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut response = match caught(next.run(request).instrument(span.clone())).await {
        Some(response) => response,
        None => {
            span.in_scope(|| tracing::error!("the request ended in a panic and is answered with 500"));
            if let Some(http) = &http {
                http.panicked();
            }
            failed(machine, &id)
        }
    };
    let seconds = watch.seconds();
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), duration_ms = seconds * 1e3, "answered"));
    if let Some(http) = http {
        http.answered(&method, route, response.status(), seconds);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The path, made safe to show. Of a question's page it is the route. In what is no route six digits may be the number of a
/// question whose address was mistyped.
fn shown<'a>(path: &'a str, route: Option<&'a str>) -> Cow<'a, str> {
    match route {
        Some(route) if route.contains("{code}") => route.into(),
        Some(_) => visible(path),
        None => masked(&visible(path)).into(),
    }
}

/// The text without runs of six or more digits.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &part[..part.len() - rest.len()];
        out.push_str(if digits.len() < 6 { digits } else { "…" });
        out.push_str(rest);
    }
    out
}

/// What the future gives; `None` if it panics, which harms no other request: what they share is behind locks that a panic
/// leaves as they are after each whole change.
async fn caught<T>(request: impl Future<Output = T>) -> Option<T> {
    let mut request = pin!(request);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| request.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// The answer after a panic, with where to look.
fn failed(machine: bool, id: &str) -> Response {
    let text = format!("The server failed on this. Its log says more under {id}.\n");
    if machine {
        return Problem::internal().with_detail(text.trim_end()).into_response();
    }
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}
