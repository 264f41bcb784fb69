//! A name for every request, in its answer and in the log. The log holds method, path and status; never a query, a header or
//! a body, nor the code of a question, which holds the number that an approver types.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use identree_core::rng::bytes;
use identree_core::text::{hex, visible};
use tracing::Instrument as _;

use super::client_ip::ClientAddress;
use crate::parts::Parts;

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer: for `axum::middleware::from_fn_with_state`. A proxy's id is kept if it is a plain one.
pub async fn trace(State(parts): State<Parts>, request: Request, next: Next) -> Response {
    let plain = |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    let id = sent.map_or_else(|| hex(&bytes::<8>(&*parts.entropy)), str::to_owned);
    // Untrusted text on one line, unless it is one of our routes that ends in a question's code.
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let path = route.filter(|route| route.contains("{code}")).map_or_else(|| visible(request.uri().path()), Into::into);
    let client = request.extensions().get::<ClientAddress>().map(|client| tracing::field::display(client.0));
    let span = tracing::info_span!("request", id, method = %request.method(), path = &*path, client);
    let began = parts.now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let duration_ms = u64::try_from(parts.now().since(began).as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), duration_ms, "answered"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
