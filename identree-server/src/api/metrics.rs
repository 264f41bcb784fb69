//! `GET /metrics`: what Prometheus scrapes, for whoever has the token.

use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use identree_core::Engine;
use identree_core::audit::{AuditLog, EventKind, LogStanding};
use identree_core::canon::sha256;
use identree_core::secret::Secret;
use identree_core::store::StoreError;

use super::Problem;
use crate::hosts::Hosts;
use crate::layer::client_ip::ClientAddress;
use crate::layer::rate_limit::RateLimits;
use crate::listen::Admission;
use crate::refusals::Refusal;
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
    pub token: MetricsToken,
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

/// `IDENTREE_METRICS_TOKEN`, as its hash: compared in a time that tells neither its length nor where another differs.
#[derive(Debug, Clone)]
pub struct MetricsToken(Secret<[u8; 32]>);

impl MetricsToken {
    /// Takes the token in.
    pub fn new(token: &Secret<String>) -> Self {
        Self(Secret::new(sha256(token.expose().as_bytes())))
    }

    /// Whether exactly one `Authorization: Bearer` (RFC 6750 §2.1) holds it. A token in the address counts for nothing:
    /// addresses end up in logs.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (shown.next(), shown.next()) else { return false };
        let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("bearer") && self.0.matches(&sha256(token.trim_start().as_bytes()))
    }
}

/// The route.
pub fn routes(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(metrics)
}

async fn scrape(State(own): State<Metrics>, client: Option<Extension<ClientAddress>>, headers: HeaderMap) -> Response {
    if !own.token.is_shown(&headers) {
        if let Err(why) = own.limits.count_failure(client.map(|Extension(client)| client)) {
            return Problem::too_fast(why).into_response();
        }
        let how = [(header::WWW_AUTHENTICATE, "Bearer")];
        let mut response = (StatusCode::UNAUTHORIZED, how, "the bearer token was not accepted\n").into_response();
        metrics::counter!("identree_auth_failures_total", "reason" => "metrics_token").increment(1);
        Refusal::new(EventKind::AuthenticationFailed, "metrics_token").leave(&mut response);
        return response;
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
