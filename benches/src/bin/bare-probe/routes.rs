//! Ask, approve, wait, follow: each as short as it can be and still answer the same.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_core::Stream;
use hmac::{Hmac, KeyInit as _, Mac as _};
use identree_benches::load::SignedIn;
use identree_core::text::hex;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::sync::{broadcast, watch};

use super::store::{Row, Store};

/// Everything there is.
pub(super) struct Probe {
    store: Store,
    /// By cookie: the token of the forms.
    sessions: HashMap<String, String>,
    questions: Mutex<HashMap<String, watch::Sender<bool>>>,
    opened: broadcast::Sender<Arc<str>>,
}

impl Probe {
    pub(super) fn new<'a>(store: Store, people: impl Iterator<Item = &'a SignedIn>) -> Self {
        Self {
            store,
            sessions: people.map(|person| (person.cookie.clone(), person.csrf.clone())).collect(),
            questions: Mutex::default(),
            opened: broadcast::Sender::new(1024),
        }
    }

    /// Approves whatever waits, without the store.
    pub(super) fn settle(&self) {
        for question in self.questions.lock().unwrap_or_else(PoisonError::into_inner).values() {
            question.send_replace(true);
        }
    }

    fn watch(&self, id: &str) -> Option<watch::Receiver<bool>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).get(id).map(watch::Sender::subscribe)
    }

    fn session(&self, headers: &HeaderMap) -> Option<&str> {
        let cookie = headers.get(header::COOKIE)?.to_str().ok()?;
        self.sessions.get(cookie).map(String::as_str)
    }
}

pub(super) fn router(probe: Arc<Probe>) -> Router {
    Router::new()
        .route("/api/challenge", post(ask))
        .route("/api/challenge/{id}", get(wait))
        .route("/api/challenges/approve", post(approve))
        .route("/api/events", get(events))
        .with_state(probe)
}

#[derive(Deserialize)]
struct Question<'a> {
    nonce: &'a str,
    username: &'a str,
    argv: Vec<&'a str>,
}

#[derive(Serialize)]
struct Reply<'a> {
    v: u8,
    challenge_id: &'a str,
    status: &'static str,
    expires_in: u32,
    user_code: Option<&'a str>,
    verification_url: Option<String>,
    current_approvals: u32,
    required_approvals: u32,
    answer: Option<String>,
}

impl<'a> Reply<'a> {
    fn pending(id: &'a str) -> Self {
        Self {
            v: 1,
            challenge_id: id,
            status: "pending",
            expires_in: 120,
            user_code: Some(&id[..6]),
            verification_url: Some(format!("http://127.0.0.1:8090/approve/{}", &id[..6])),
            current_approvals: 0,
            required_approvals: 1,
            answer: None,
        }
    }

    /// With a MAC where the real server has a signature.
    fn approved(id: &'a str) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(b"a secret of the probe").map_or_else(
            |_| String::new(),
            |mut mac| {
                mac.update(id.as_bytes());
                mac.update(b"approved");
                hex(&mac.finalize().into_bytes())
            },
        );
        Self {
            status: "approved",
            expires_in: 0,
            user_code: None,
            verification_url: None,
            current_approvals: 1,
            answer: Some(mac),
            ..Self::pending(id)
        }
    }
}

async fn ask(State(probe): State<Arc<Probe>>, body: Bytes) -> Result<Response, StatusCode> {
    let question: Question<'_> = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let id = question.nonce.get(32..).ok_or(StatusCode::BAD_REQUEST)?.to_owned();
    let record = format!(
        "{{\"id\":\"{id}\",\"requester\":\"{}\",\"command\":\"{}\",\"state\":\"pending\"}}",
        question.username,
        question.argv.join(" ")
    );
    let event = format!("{{\"kind\":\"challenge_created\",\"challenge\":\"{id}\",\"by\":\"{}\"}}", question.username);
    probe.store.commit(Row { id: id.clone(), record, event, new: true }).await?;
    probe.questions.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), watch::Sender::new(false));
    let _ = probe.opened.send(id.as_str().into()); // nobody follows
    Ok((StatusCode::CREATED, Json(Reply::pending(&id))).into_response())
}

async fn wait(State(probe): State<Arc<Probe>>, Path(id): Path<String>) -> Result<Response, StatusCode> {
    let mut approved = probe.watch(&id).ok_or(StatusCode::NOT_FOUND)?;
    let settled = tokio::time::timeout(Duration::from_secs(25), approved.wait_for(|approved| *approved)).await.is_ok();
    let reply = if settled { Reply::approved(&id) } else { Reply::pending(&id) };
    Ok(Json(reply).into_response())
}

#[derive(Deserialize)]
struct Vote {
    csrf_token: String,
    challenge_id: String,
}

async fn approve(
    State(probe): State<Arc<Probe>>,
    headers: HeaderMap,
    Form(vote): Form<Vote>,
) -> Result<Redirect, StatusCode> {
    if probe.session(&headers) != Some(vote.csrf_token.as_str()) {
        return Err(StatusCode::FORBIDDEN);
    }
    let id = vote.challenge_id;
    if probe.watch(&id).is_none_or(|approved| *approved.borrow()) {
        return Err(StatusCode::CONFLICT);
    }
    let record = format!("{{\"id\":\"{id}\",\"state\":\"approved\"}}");
    let event = format!("{{\"kind\":\"challenge_approved\",\"challenge\":\"{id}\"}}");
    probe.store.commit(Row { id: id.clone(), record, event, new: false }).await?;
    if let Some(question) = probe.questions.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
        question.send_replace(true);
    }
    Ok(Redirect::to(&format!("/approve/{id}")))
}

async fn events(State(probe): State<Arc<Probe>>, headers: HeaderMap) -> Result<Response, StatusCode> {
    probe.session(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(Sse::new(Opened::of(probe.opened.subscribe())).into_response())
}

/// The next question, and where later ones come from.
type Next = (Option<Arc<str>>, broadcast::Receiver<Arc<str>>);

/// The questions opened from now on.
struct Opened(std::pin::Pin<Box<dyn Future<Output = Next> + Send>>);

impl Opened {
    fn of(receiver: broadcast::Receiver<Arc<str>>) -> Self {
        Self(Box::pin(next(receiver)))
    }
}

async fn next(mut receiver: broadcast::Receiver<Arc<str>>) -> Next {
    let id = receiver.recv().await.ok();
    (id, receiver)
}

impl Stream for Opened {
    type Item = Result<Event, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.as_mut().poll(context).map(|(id, receiver)| {
            self.0 = Box::pin(next(receiver));
            id.map(|id| Ok(Event::default().event("challenge_created").data(&*id)))
        })
    }
}
