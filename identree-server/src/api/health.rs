//! How the server is: the process, its store, its clock, its disk, its provider.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use identree_core::{Engine, EngineError};
use serde_json::{Value, json};

use crate::disk::{Disk, Room};
use crate::hosts::Hosts;
use crate::login::Provider;
use crate::versioned::Followed;

/// How long an event may wait to be sealed: far longer than a change of servers takes.
const SEAL_LAG: Duration = Duration::from_secs(60);

/// What the health answers look at.
#[derive(Debug, Clone)]
pub struct Health {
    /// The engine, with its store.
    pub engine: Engine,
    /// The identity provider.
    pub provider: Arc<Provider>,
    /// The hosts.
    pub hosts: Hosts,
    /// Where it writes.
    pub disk: Disk,
    /// The settings that are kept in the database.
    pub followed: Option<Followed>,
    /// Every check that the configuration has switched off, by name.
    pub insecure: Arc<[String]>,
}

/// `/livez`: the process answers. `/readyz`: it can decide. `/healthz`: the seeds' body, with what is degraded.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(report))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let down = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why);
    if health.engine.store().probe().await.is_err() {
        return down("the store does not answer\n");
    }
    match health.engine.check_clock().await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(EngineError::ClockOff(_)) => down("the clock is off the database's\n"),
        Err(_) => down("the store does not tell its time\n"),
    }
}

async fn report(State(health): State<Health>) -> impl IntoResponse {
    let (database, disk) = tokio::join!(health.engine.store().probe(), health.disk.room());
    let database = database.is_ok();
    let oidc = health.provider.is_known();
    let clock = health.engine.clock_off().is_none();
    let config = health.followed.as_ref().map(|followed| followed.refused().is_empty());
    let audit = audit(&health.engine).await;
    let (well, fully) = (database && clock && disk != Room::None, disk == Room::Enough);
    let (code, status) = match (well, fully && oidc && audit && config.unwrap_or(true)) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "ok"),
    };
    let word = |good: bool, bad: &'static str| if good { "ok" } else { bad };
    let mut body = json!({
        "status": status,
        "checks": {
            "audit": word(audit, "degraded"),
            "clock": word(clock, "unhealthy"),
            "database": word(database, "unhealthy"),
            "disk": match disk {
                Room::Enough => "ok",
                Room::Little => "degraded",
                Room::None => "unhealthy",
            },
            "oidc": word(oidc, "degraded"),
        },
    });
    if let Some(config) = config {
        body["checks"]["config"] = word(config, "degraded").into();
    }
    // Named for the operator, and no more: how many and which, `identree list-hosts` tells.
    if health.hosts.any_secret() {
        body["host_secrets"] = Value::from(true);
    }
    if !health.insecure.is_empty() {
        body["insecure"] = Value::from(health.insecure.to_vec());
    }
    (code, Json(body))
}

/// Whether events are sealed in time, and every sink takes them.
async fn audit(engine: &Engine) -> bool {
    let Some(log) = engine.log() else { return true };
    log.parked().next().is_none() && log.lag().await.is_ok_and(|lag| lag <= SEAL_LAG)
}
