//! `GET /log/…`: the sealed log as C2SP tlog-tiles, for auditors and witnesses that have the token. Never personal data.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use identree_core::audit::copy::{Place, piece};
use identree_core::store::{Store, StoreError};

use super::BearerToken;
use crate::layer::client_ip::ClientAddress;
use crate::layer::rate_limit::RateLimits;
use crate::log_key;

/// A whole tile never changes; a partial one neither, at its own address.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// A checkpoint is followed by the next.
const NEVER: HeaderValue = HeaderValue::from_static("no-store");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What the routes need. A server without a token has no such routes.
#[derive(Clone)]
pub struct LogApi {
    /// Where the log is.
    pub store: Arc<dyn Store>,
    /// What an auditor must show.
    pub token: BearerToken,
    /// How often one address may show a wrong token.
    pub limits: RateLimits,
}

impl std::fmt::Debug for LogApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogApi").finish_non_exhaustive()
    }
}

/// The routes.
pub fn routes(api: LogApi) -> Router {
    Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/key", get(key))
        .route("/log/tile/{*path}", get(tile))
        .with_state(api)
}

type Client = Option<Extension<ClientAddress>>;

impl LogApi {
    /// Answers whoever shows the token.
    async fn answer(
        &self,
        (client, headers): (Client, HeaderMap),
        answer: impl Future<Output = Result<Response, StoreError>>,
    ) -> Response {
        let client = client.map(|Extension(client)| client);
        if let Some(refusal) = self.token.refuses(&headers, (&self.limits, client), "audit_read_token") {
            return refusal;
        }
        answer.await.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "the log cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the log cannot be read; try again\n").into_response()
        })
    }
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, NEVER)], "the log has no such file\n").into_response()
}

fn told(kind: HeaderValue, cache: HeaderValue, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], bytes).into_response()
}

async fn checkpoint(State(api): State<LogApi>, client: Client, headers: HeaderMap) -> Response {
    let answer = async {
        let newest = api.store.last_checkpoint().await?;
        Ok(newest.map_or_else(missing, |newest| told(TEXT, NEVER, newest.note.into_bytes())))
    };
    api.answer((client, headers), answer).await
}

async fn key(State(api): State<LogApi>, client: Client, headers: HeaderMap) -> Response {
    let answer = async {
        let key = log_key::recorded(&*api.store).await.ok().flatten();
        Ok(key.map_or_else(missing, |key| told(TEXT, NEVER, format!("{key}\n").into_bytes())))
    };
    api.answer((client, headers), answer).await
}

async fn tile(State(api): State<LogApi>, client: Client, headers: HeaderMap, Path(path): Path<String>) -> Response {
    let answer = async {
        let Some(place) = Place::parse(&format!("tile/{path}")) else { return Ok(missing()) };
        // Nothing that is under no checkpoint: it could not be verified yet.
        let size = api.store.last_checkpoint().await?.map_or(0, |newest| newest.size);
        Ok(piece(&*api.store, place, size).await?.map_or_else(missing, |bytes| told(BYTES, FOR_EVER, bytes)))
    };
    api.answer((client, headers), answer).await
}
