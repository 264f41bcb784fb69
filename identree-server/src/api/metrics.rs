//! `GET /metrics`: what Prometheus scrapes, for whoever has the token.

use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use identree_core::Engine;
use identree_core::audit::{AuditLog, LogStanding};
use identree_core::store::StoreError;

use super::BearerToken;
use crate::hosts::Hosts;
use crate::layer::client_ip::ClientAddress;
use crate::layer::rate_limit::RateLimits;
use crate::listen::Admission;
use crate::telemetry::{Standing, Telemetry};
use crate::web::events::Events;

/// The text format of Prometheus.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the route needs. A server without a token has no such route.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The recorder.
    pub telemetry: Telemetry,
    /// What a scraper must show.
    pub token: BearerToken,
    /// Where questions wait.
    pub engine: Engine,
    /// How often one address may show a wrong token.
    pub limits: RateLimits,
    /// What the connections came through.
    pub door: Admission,
    /// The streams of pages.
    pub events: Events,
    /// The registry.
    pub hosts: Hosts,
}

/// The route.
pub fn routes(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(metrics)
}

async fn scrape(State(own): State<Metrics>, client: Option<Extension<ClientAddress>>, headers: HeaderMap) -> Response {
    let client = client.map(|Extension(client)| client);
    if let Some(refusal) = own.token.refuses(&headers, (&own.limits, client), "metrics_token") {
        return refusal;
    }
    // A store that does not answer leaves what was last known; `identree_store_errors_total` and the health tell of it.
    if let Some(Ok(log)) = standing_of(own.engine.log()).await {
        own.telemetry.log(&log);
    }
    let standing = Standing {
        load: own.engine.load(),
        connections: own.door.open(),
        streams: own.events.streams(),
        hosts: own.hosts.count(),
        clock_off: own.engine.clock_off().map_or(Duration::ZERO, |off| off.by),
    };
    let told = [(header::CONTENT_TYPE, FORMAT), (header::CACHE_CONTROL, "no-store")];
    (told, own.telemetry.render(standing)).into_response()
}

async fn standing_of(log: Option<&AuditLog>) -> Option<Result<LogStanding, StoreError>> {
    Some(log?.standing().await)
}
