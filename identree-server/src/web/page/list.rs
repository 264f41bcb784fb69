//! The first page: signing in, or the list of what waits and what was answered.

use std::sync::Arc;

use askama::Template;
use identree_core::canon::sha256;
use identree_core::challenge::ChallengeRecord;
use identree_core::text::{hex, visible};
use identree_core::time::Timestamp;

use super::Frame;
use crate::web::text::{Text, fill};
use crate::web::view::{Moment, Side, Viewer, duration, headline, state_name, state_word};

/// `GET /` for visitors who are not signed in.
#[derive(Debug, Template)]
#[template(path = "welcome.html")]
pub(crate) struct WelcomePage {
    pub(crate) frame: Frame,
    /// Whether the identity provider does not answer.
    pub(crate) degraded: bool,
}

/// `GET /` for signed-in people.
#[derive(Debug, Template)]
#[template(path = "list.html")]
pub(crate) struct ListPage {
    pub(crate) frame: Frame,
    seen: String,
    /// Where the list's events are, from this state on.
    events: String,
    now_ms: i64,
    waiting: Vec<Waiting>,
    recent: Vec<Recent>,
}

/// One question that waits, as the list shows it.
#[derive(Debug, Template)]
#[template(path = "waiting.html")]
pub(crate) struct Waiting {
    text: &'static Text,
    id: String,
    revision: u64,
    path: String,
    headline: String,
    action: String,
    own: bool,
    ends_ms: i64,
    left: String,
    have: usize,
    need: u32,
}

/// One question that was answered, as the list shows it.
#[derive(Debug, Template)]
#[template(path = "recent.html")]
pub(crate) struct Recent {
    id: String,
    path: String,
    state: &'static str,
    name: &'static str,
    action: String,
    about: String,
    at: Moment,
}

impl ListPage {
    /// The page of these questions.
    pub(crate) fn new(
        frame: Frame,
        waiting: &[Arc<ChallengeRecord>],
        recent: &[Arc<ChallengeRecord>],
        viewer: &Viewer,
        events: String,
        now: Timestamp,
    ) -> Self {
        let text = frame.text;
        Self {
            seen: fingerprint(waiting),
            events,
            now_ms: now.as_millis(),
            waiting: waiting
                .iter()
                .map(|record| Waiting::new(record, viewer.side(record.question()), now, text))
                .collect(),
            recent: recent
                .iter()
                .map(|record| Recent::new(record, viewer.side(record.question()), now, text))
                .collect(),
            frame,
        }
    }
}

/// Names one state of a list: changes exactly when something in it does, and tells nothing else.
pub(crate) fn fingerprint(waiting: &[Arc<ChallengeRecord>]) -> String {
    let mut bytes = Vec::with_capacity(waiting.len() * 24);
    for record in waiting {
        bytes.extend_from_slice(record.question().id.as_bytes());
        bytes.extend_from_slice(&record.revision().to_be_bytes());
    }
    hex(&sha256(&bytes)[..8])
}

/// The longest command in a list, in characters; the question's own page shows all of it.
const MAX_ACTION_CHARS: usize = 300;

/// A command on a few lines, made visible.
fn brief(action: &str) -> String {
    let action = visible(action);
    match action.char_indices().nth(MAX_ACTION_CHARS) {
        None => action.into_owned(),
        Some((end, _)) => format!("{}…", &action[..end]),
    }
}

impl Waiting {
    /// As seen from this side.
    pub(crate) fn new(record: &ChallengeRecord, side: Side, now: Timestamp, text: &'static Text) -> Self {
        let question = record.question();
        let left = duration(question.expires_at.since(now), text);
        Self {
            text,
            id: question.id.to_string(),
            revision: record.revision(),
            path: side.path(question),
            headline: headline(question, side, text),
            action: brief(&question.summary.action),
            own: side == Side::Requester,
            ends_ms: question.expires_at.as_millis(),
            left: fill(text.time_left, &[("time", &left)]),
            have: record.votes().len(),
            need: record.needed(),
        }
    }
}

impl Recent {
    /// As seen from this side.
    pub(crate) fn new(record: &ChallengeRecord, side: Side, now: Timestamp, text: &'static Text) -> Self {
        let question = record.question();
        let about = match side {
            Side::Requester => question.target.to_string(),
            Side::Approver => format!("{} · {}", question.requester, question.target),
        };
        Self {
            id: question.id.to_string(),
            path: side.path(question),
            state: state_word(record),
            name: state_name(record, text),
            action: brief(&question.summary.action),
            about,
            at: Moment::at(record.settled_at().unwrap_or(now), now),
        }
    }
}
