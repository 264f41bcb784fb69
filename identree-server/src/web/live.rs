//! How an open page learns that something changed: a request that is held until it has, or 25 s have passed.

use std::time::Duration;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use identree_core::engine::Engine;
use identree_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::page::fingerprint;
use super::view::state_word;
use super::{Web, find};
use crate::layer::sign_in::SignedIn;

/// The longest that a request is held; proxies commonly cut at 30 s or 60 s.
const HOLD: Duration = Duration::from_secs(25);

/// What the page has seen already.
#[derive(Debug, Deserialize)]
pub(super) struct Seen<T> {
    seen: Option<T>,
}

#[derive(Debug, Serialize)]
struct QuestionState {
    revision: u64,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct ListState {
    seen: String,
    waiting: usize,
}

/// `GET /approve/{code}/state?seen=REVISION`: where the question stands, as soon as it is not `seen` any more.
pub(super) async fn question_state(
    State(web): State<Arc<Web>>,
    Path(key): Path<String>,
    Query(Seen { seen }): Query<Seen<u64>>,
    person: Option<SignedIn>,
) -> Response {
    let Some(person) = person else { return signed_out() };
    let mut hold = Hold::new(&web.engine);
    loop {
        let record = match find(&web.engine, &key, &person.actor).await {
            Ok(Some(record)) => record,
            Ok(None) => return StatusCode::NOT_FOUND.into_response(),
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
        let changed = !record.is_pending() || seen != Some(record.revision());
        if changed || !hold.next_change().await {
            return json(&QuestionState { revision: record.revision(), state: state_word(&record) });
        }
    }
}

/// `GET /state?seen=FINGERPRINT`: the state of the viewer's list, as soon as it is not `seen` any more.
pub(super) async fn list_state(
    State(web): State<Arc<Web>>,
    Query(Seen { seen }): Query<Seen<String>>,
    person: Option<SignedIn>,
) -> Response {
    let Some(person) = person else { return signed_out() };
    let mut hold = Hold::new(&web.engine);
    loop {
        let waiting = web.engine.visible(&person.actor);
        let state = ListState { seen: fingerprint(&waiting), waiting: waiting.len() };
        if seen.as_deref() != Some(&state.seen) || !hold.next_change().await {
            return json(&state);
        }
    }
}

/// The patience of one held request. Looking again after each change anywhere is a matter of memory, not of the store, for
/// every question that waits.
struct Hold {
    engine: Engine,
    changes: watch::Receiver<u64>,
    deadline: Timestamp,
}

impl Hold {
    /// Starts before the first look, so that no change after it is missed.
    fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), changes: engine.changes(), deadline: engine.clock().now() + HOLD }
    }

    /// True when something has changed since the last look; false when the time is over or the server stops.
    async fn next_change(&mut self) -> bool {
        tokio::select! {
            biased;
            more = self.changes.changed() => more.is_ok(),
            () = self.engine.clock().sleep_until(self.deadline) => false,
            () = self.engine.draining() => false,
        }
    }
}

fn json(state: &impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(state)).into_response()
}

fn signed_out() -> Response {
    StatusCode::UNAUTHORIZED.into_response()
}
