//! The pages for people: signing in, the list, one question, its result. Server-rendered and complete without JavaScript;
//! a small script keeps them up to date.
//!
//! [`routes`] are merged by the server inside its layers, which have settled who is there ([`SignedIn`]) and that a form is
//! the person's own (`csrf_token`). Nothing is decided by a GET.

mod asset;
pub mod events;
pub mod language;
mod live;
mod page;
mod problem;
mod text;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use identree_core::actor::Actor;
use identree_core::challenge::{ChallengeRecord, UserCode};
use identree_core::engine::{Engine, EngineError, Refusal, Verdict, Vote, VoteRefusal};
use identree_core::id::ChallengeId;
use serde::Deserialize;

use self::events::Events;
use self::page::{Frame, HostsPage, ListPage, Objection, QuestionPage, ResultPage, WelcomePage, show};
pub(crate) use self::problem::Detail;
pub use self::problem::Problem;
pub use self::text::Language;
use self::view::Viewer;
use crate::hosts::Hosts;
use crate::layer::sign_in::{NotSignedIn, SignedIn};
use crate::login::Provider;

/// How many settled questions the list shows.
const RECENT: u32 = 20;

/// What the pages need.
#[derive(Debug, Clone)]
pub struct Web {
    /// Where questions come from and votes go.
    pub engine: Engine,
    /// Whether anybody can sign in now.
    pub provider: Arc<Provider>,
    /// What open lists are told.
    pub events: Events,
    /// The hosts and how they stand.
    pub hosts: Hosts,
}

/// The routes of the pages.
pub fn routes(web: Web) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/state", get(live::list_state))
        .route("/api/events", get(events::events))
        .route("/hosts", get(hosts))
        .route("/approve/{code}", get(question))
        .route("/approve/{code}/state", get(live::question_state))
        .route("/api/challenges/approve", post(approve))
        .route("/api/challenges/reject", post(reject))
        .route("/assets/{name}", get(asset::asset))
        .with_state(Arc::new(web))
}

/// Whatever is not there.
pub async fn not_found() -> Problem {
    Problem::not_found()
}

async fn home(
    State(web): State<Arc<Web>>,
    person: Option<SignedIn>,
    language: Language,
    headers: HeaderMap,
) -> Response {
    let Some(person) = person else {
        let page = WelcomePage { frame: Frame::anonymous(language), degraded: !web.provider.is_known() };
        return show(StatusCode::OK, &page);
    };
    if let Some(renewal) = renewal(&web, &person.actor, "/", &headers) {
        return renewal;
    }
    let engine = &web.engine;
    let viewer = Viewer::of(engine, &person.actor);
    // Before the questions are read, so that no change after it is missed.
    let events = web.events.address(&events::view(person.csrf.as_str(), viewer.admin));
    let waiting = engine.visible(&person.actor);
    match engine.recent(&person.actor, RECENT).await {
        Ok(recent) => {
            let frame = Frame::of(&viewer, person.csrf.as_str(), language);
            show(StatusCode::OK, &ListPage::new(frame, &waiting, &recent, &viewer, events, engine.clock().now()))
        }
        Err(error) => cannot(&error),
    }
}

/// How every host stands; for administrators, and for nobody else is there such a page.
async fn hosts(State(web): State<Arc<Web>>, visit: Visit, headers: HeaderMap) -> Response {
    let person = &visit.person;
    let viewer = Viewer::of(&web.engine, &person.actor);
    if !viewer.admin {
        let renewal = renewal(&web, &person.actor, "/hosts", &headers);
        return renewal.unwrap_or_else(|| Problem::not_found().into_response());
    }
    match web.hosts.heartbeats().statuses().await {
        Ok(statuses) => {
            let frame = Frame::of(&viewer, person.csrf.as_str(), visit.language);
            show(StatusCode::OK, &HostsPage::new(frame, statuses, web.engine.clock().now()))
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot serve the page of hosts");
            Problem::unavailable().into_response()
        }
    }
}

/// An administrator whose groups are too old to be believed signs in anew, usually without noticing, and returns to the
/// page; otherwise questions would be missing without a word. Only where a person goes, never for what a script fetches.
fn renewal(web: &Web, person: &Actor, path: &str, headers: &HeaderMap) -> Option<Response> {
    let goes = headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
    (goes && web.engine.is_aged_out_admin(person) && web.provider.is_known())
        .then(|| NotSignedIn::back_to(path).into_response())
}

/// The question under an address, which holds its code or its id, if the person may see it.
async fn find(engine: &Engine, key: &str, viewer: &Actor) -> Result<Option<Arc<ChallengeRecord>>, EngineError> {
    if let Ok(id) = ChallengeId::parse(key) {
        return engine.question(id, viewer).await;
    }
    match UserCode::parse(key) {
        Ok(code) => engine.question_by_code(&code, viewer).await,
        Err(_) => Ok(None),
    }
}

async fn question(State(web): State<Arc<Web>>, Path(key): Path<String>, visit: Visit, headers: HeaderMap) -> Response {
    let person = &visit.person;
    let record = match find(&web.engine, &key, &person.actor).await {
        Ok(Some(record)) => record,
        Ok(None) => {
            let renewal = renewal(&web, &person.actor, &format!("/approve/{key}"), &headers);
            return renewal.unwrap_or_else(|| Problem::not_found().into_response());
        }
        Err(error) => return cannot(&error),
    };
    let viewer = Viewer::of(&web.engine, &person.actor);
    if viewer.types_number(record.question()) && ChallengeId::parse(&key).is_err() {
        return Redirect::to(&viewer.path(record.question())).into_response();
    }
    page(&web, &visit, &record, None)
}

/// Who comes, and in which language they are answered.
#[derive(Debug)]
struct Visit {
    person: SignedIn,
    language: Language,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, NotSignedIn> {
        let person = SignedIn::from_request_parts(parts, state).await?;
        let language = parts.extensions.get().copied().unwrap_or_default();
        Ok(Self { person, language })
    }
}

/// The question or its result, with what became of a vote that did not count.
fn page(web: &Web, visit: &Visit, record: &ChallengeRecord, refused: Option<(&VoteRefusal, &str)>) -> Response {
    let person = &visit.person;
    let viewer = Viewer::of(&web.engine, &person.actor);
    let now = web.engine.clock().now();
    let frame = Frame::of(&viewer, person.csrf.as_str(), visit.language);
    let text = frame.text;
    if record.is_pending() {
        let status = if refused.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let objection = refused.map(|(refusal, typed)| Objection::new(refusal, typed, text));
        show(status, &QuestionPage::new(frame, record, &viewer, now, objection))
    } else {
        let status = if refused.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
        let notice = refused.map(|_| text.too_late);
        show(status, &ResultPage::new(frame, record, &viewer, now, notice))
    }
}

/// What both buttons send. The csrf layer has checked `csrf_token`.
#[derive(Debug, Deserialize)]
struct Answer {
    challenge_id: ChallengeId,
    reason: Option<String>,
    deny_reason: Option<String>,
    number: Option<String>,
}

async fn approve(State(web): State<Arc<Web>>, visit: Visit, form: Result<Form<Answer>, FormRejection>) -> Response {
    let Ok(Form(answer)) = form else { return Problem::bad_form().into_response() };
    // People type the six digits in two groups, as they are shown.
    let number = answer.number.map(|number| number.split_whitespace().collect());
    let vote = Vote::Approve { reason: answer.reason.as_deref().map(one_line), number };
    cast(&web, &visit, answer.challenge_id, vote).await
}

async fn reject(State(web): State<Arc<Web>>, visit: Visit, form: Result<Form<Answer>, FormRejection>) -> Response {
    let Ok(Form(answer)) = form else { return Problem::bad_form().into_response() };
    let vote = Vote::Deny { reason: answer.deny_reason.or(answer.reason).as_deref().map(one_line) };
    cast(&web, &visit, answer.challenge_id, vote).await
}

/// A reason is shown on the requester's terminal too: line breaks become spaces.
fn one_line(reason: &str) -> String {
    reason.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

async fn cast(web: &Web, visit: &Visit, id: ChallengeId, vote: Vote) -> Response {
    let person = &visit.person;
    let (Vote::Approve { reason, .. } | Vote::Deny { reason }) = &vote;
    let typed = reason.clone().unwrap_or_default();
    let verdict = match web.engine.vote(id, &person.actor, vote).await {
        Ok(verdict) => verdict,
        Err(error) => return cannot(&error),
    };
    let record = match web.engine.question(id, &person.actor).await {
        Ok(Some(record)) => record,
        Ok(None) => return Problem::not_found().into_response(),
        Err(error) => return cannot(&error),
    };
    match &verdict {
        Verdict::Refused(Refusal::Vote(refusal)) => page(web, visit, &record, Some((refusal, &typed))),
        _ => {
            let viewer = Viewer::of(&web.engine, &person.actor);
            Redirect::to(&viewer.path(record.question())).into_response()
        }
    }
}

fn cannot(error: &EngineError) -> Response {
    if let EngineError::ClockOff(_) = error {
        return Problem::unavailable().into_response(); // logged when it was seen first
    }
    tracing::error!(error = %error, cause = ?std::error::Error::source(error), "cannot serve a page");
    Problem::unavailable().into_response()
}

/// What the fuzz targets see.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use axum::body::Body;
    use axum::extract::{Form, FromRequest as _, Request};
    use axum::http::header;

    use super::{Answer, one_line};

    /// The question, the reason and the number that a form holds, as they go to the engine.
    pub fn form(body: &[u8]) -> Option<(String, Option<String>, Option<String>)> {
        let kind = (header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = Request::post("/").header(kind.0, kind.1).body(Body::from(body.to_vec())).ok()?;
        let mut read = pin!(Form::<Answer>::from_request(request, &()));
        // A body in memory is there at once.
        let Poll::Ready(Ok(Form(answer))) = read.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return None;
        };
        let number = answer.number.map(|number| number.split_whitespace().collect());
        Some((answer.challenge_id.to_string(), answer.reason.as_deref().map(one_line), number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_whatever_ends_its_lines() {
        assert_eq!(one_line(" a\r\n\r\n b\rc\n"), "a b c");
        assert_eq!(one_line("\r"), "");
    }
}
