//! A name for every request, in its answer and in the log. The log holds method, path and status; never a query, a header or
//! a body, nor the code of a question, which holds the number that an approver types.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use identree_core::rng::bytes;
use identree_core::text::{hex, visible};
use tracing::Instrument as _;

use super::client_ip::ClientAddress;
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
    // Untrusted text on one line, unless it is one of our routes that ends in a question's code.
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map(MatchedPath::as_str);
    let path = route.filter(|route| route.contains("{code}")).map_or_else(|| visible(request.uri().path()), Into::into);
    let client = request.extensions().get::<ClientAddress>().map(|client| tracing::field::display(client.0));
    let span = tracing::info_span!("request", id, method = %request.method(), path = &*path, client);
    let (method, watch) = (request.method().clone(), Stopwatch::start());
    let mut response = next.run(request).instrument(span.clone()).await;
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
