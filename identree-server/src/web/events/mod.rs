//! `GET /api/events`: what becomes of the questions that a person may see, as it happens (server-sent events, WHATWG HTML
//! 9.2).
//!
//! | event | when | data |
//! |---|---|---|
//! | `hello` | the stream begins | |
//! | `challenge_created`, `challenge_updated` | a question waits; has a vote more and still waits | id, revision, state, item |
//! | `challenge_resolved` | it was answered, taken back, settled by a rule, or its time is over | id, revision, state, item |
//! | `reset` | something was missed, or the person may see more or less than before: load the list anew | |
//! | `signed_out` | the session is over; the stream ends | |
//! | `alive` | nothing happened for 15 s | |
//!
//! `item` is the list's own HTML for this question, rendered at most once per language and side and shared by all
//! streams. One task (`hub`) follows the engine into a bounded `ring`; a stream is a position in it.

mod entry;
mod hub;
mod ring;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use identree_core::Engine;
use serde::Deserialize;

use self::hub::Hub;
use self::stream::EventStream;
use super::Web;
use super::text::Language;
use crate::layer::sign_in::SignedIn;
use crate::session::Sessions;

/// The most streams that one person holds open.
pub const MAX_STREAMS: u32 = 20;

/// Everything that streams share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    hub: Arc<Hub>,
    sessions: Sessions,
}

impl Events {
    /// Follows the engine from now on; ends with it. Call it inside a tokio runtime.
    pub fn start(engine: &Engine, sessions: Sessions) -> Self {
        let hub = Arc::new(Hub::new(engine));
        tokio::spawn(hub::run(Arc::downgrade(&hub), engine, &sessions));
        Self { hub, sessions }
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.hub.count()
    }

    /// Where the events of a list are that is read after this call. `view` names what the person may see ([`view`]).
    pub(super) fn address(&self, view: &str) -> String {
        format!("/api/events?after={}&view={view}", self.hub.position())
    }
}

/// Names whose list it is and whether it is an administrator's, and tells neither.
pub(super) fn view(csrf: &str, admin: bool) -> String {
    let bytes = format!("identree view v1 {csrf} {admin}");
    identree_core::text::hex(&identree_core::canon::sha256(bytes.as_bytes())[..8])
}

/// From where on, and what the page took the person for.
#[derive(Debug, Deserialize)]
pub(super) struct From {
    after: Option<String>,
    view: Option<String>,
}

/// `GET /api/events?after=ID&view=VIEW`; a browser that reconnects sends `Last-Event-ID` instead of `after`.
pub(super) async fn events(
    State(web): State<Arc<Web>>,
    Query(from): Query<From>,
    person: Option<SignedIn>,
    language: Language,
    headers: HeaderMap,
) -> Response {
    let Some(person) = person else { return StatusCode::UNAUTHORIZED.into_response() };
    let Some(place) = web.events.hub.place(person.actor.name()) else { return too_many() };
    let admin = web.engine.is_admin(&person.actor);
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?"));
    // A page that shows another person's list, or an administrator's to who is none any more, begins anew.
    let after = match &from.view {
        Some(seen) if *seen != view(person.csrf.as_str(), admin) => Some("?"),
        _ => last.or(from.after.as_deref()),
    };
    let stream = EventStream::new(&web, person, language, after, place);
    let chunks = futures_util::stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|bytes| (Ok::<_, Infallible>(bytes), stream))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx and its kin would keep events back until a buffer is full.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(chunks)).into_response()
}

fn too_many() -> Response {
    let text = "You have too many pages of this server open. Close some of them.\n";
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "30")], text).into_response()
}
