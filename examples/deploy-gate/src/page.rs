//! The page where people decide: what waits, with two buttons each.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use identree_core::actor::{Actor, Strength};
use identree_core::id::{ChallengeId, UserName};
use identree_core::text::visible;
use identree_core::{Engine, Verdict, Vote};
use serde::Deserialize;

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Ballot {
    who: String,
    vote: Choice,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Approve,
    Deny,
}

/// `GET /`, `POST /questions/{id}`.
pub(crate) fn routes(engine: Engine) -> Router {
    Router::new().route("/", get(list)).route("/questions/{id}", post(vote)).with_state(engine)
}

/// **The word of whoever calls is taken for it.** A real program writes `vouched` only after it has checked who it is, takes
/// the time of that check, and guards its form against other sites. Searching for `vouched` lists all ways in.
fn believed(engine: &Engine, who: &str) -> Option<Actor> {
    let name = UserName::parse(who).ok()?;
    Some(Actor::vouched("example", name, engine.clock().now(), Strength::SignedIn))
}

/// What Ada may decide.
async fn list(State(engine): State<Engine>) -> Html<String> {
    let mut page = String::from("<!doctype html><meta charset=utf-8><title>Deploys</title><h1>What waits</h1>");
    let waiting = believed(&engine, "ada").map(|ada| engine.visible(&ada)).unwrap_or_default();
    for record in &waiting {
        let question = record.question();
        let _ = write!(
            page,
            "<form method=post action=/questions/{}><p>{} asks: {}</p><input type=hidden name=who value=ada>\
             <button name=vote value=approve>Approve as Ada</button> <button name=vote value=deny>Deny</button></form>",
            question.id,
            escaped(question.requester.as_str()),
            escaped(&question.summary.action),
        );
    }
    if waiting.is_empty() {
        page.push_str("<p>Nothing. Reload the page when somebody has asked.</p>");
    }
    Html(page)
}

pub(crate) async fn vote(State(engine): State<Engine>, Path(id): Path<String>, Form(ballot): Form<Ballot>) -> Response {
    let (Ok(id), Some(actor)) = (ChallengeId::parse(&id), believed(&engine, &ballot.who)) else {
        return (StatusCode::BAD_REQUEST, "that is no question or no name\n").into_response();
    };
    let vote = match ballot.vote {
        Choice::Approve => Vote::Approve { reason: None, number: None },
        Choice::Deny => Vote::Deny { reason: None },
    };
    match engine.vote(id, &actor, vote).await {
        Ok(Verdict::Refused(identree_core::Refusal::Vote(why))) => {
            (StatusCode::FORBIDDEN, format!("{why}\n")).into_response()
        }
        Ok(_) => Redirect::to("/").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// Text from outside as HTML text: hidden characters shown, markup taken literally.
fn escaped(text: &str) -> String {
    visible(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
