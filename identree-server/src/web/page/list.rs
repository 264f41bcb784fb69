//! The first page: signing in, or the list of what waits and what was answered.

use std::sync::Arc;

use askama::Template;
use identree_core::canon::sha256;
use identree_core::challenge::ChallengeRecord;
use identree_core::text::{hex, visible};
use identree_core::time::Timestamp;

use super::Frame;
use crate::web::text::{Text, fill};
use crate::web::view::{Moment, Viewer, duration, headline, state_name, state_word};

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
    now_ms: i64,
    waiting: Vec<Waiting>,
    recent: Vec<Recent>,
}

#[derive(Debug)]
struct Waiting {
    path: String,
    headline: String,
    action: String,
    own: bool,
    ends_ms: i64,
    left: String,
    have: usize,
    need: u32,
}

#[derive(Debug)]
struct Recent {
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
        now: Timestamp,
    ) -> Self {
        let text = frame.text;
        Self {
            seen: fingerprint(waiting),
            now_ms: now.as_millis(),
            waiting: waiting.iter().map(|record| waiting_item(record, viewer, now, text)).collect(),
            recent: recent.iter().map(|record| recent_item(record, viewer, now, text)).collect(),
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

fn waiting_item(record: &ChallengeRecord, viewer: &Viewer, now: Timestamp, text: &Text) -> Waiting {
    let question = record.question();
    let left = duration(question.expires_at.since(now), text);
    Waiting {
        path: viewer.path(question),
        headline: headline(question, viewer, text),
        action: visible(&question.summary.action).into_owned(),
        own: viewer.asked(question),
        ends_ms: question.expires_at.as_millis(),
        left: fill(text.time_left, &[("time", &left)]),
        have: record.votes().len(),
        need: record.needed(),
    }
}

fn recent_item(record: &ChallengeRecord, viewer: &Viewer, now: Timestamp, text: &Text) -> Recent {
    let question = record.question();
    let about = if viewer.asked(question) {
        question.target.to_string()
    } else {
        format!("{} · {}", question.requester, question.target)
    };
    Recent {
        path: viewer.path(question),
        state: state_word(record),
        name: state_name(record, text),
        action: visible(&question.summary.action).into_owned(),
        about,
        at: Moment::at(record.settled_at().unwrap_or(now), now),
    }
}
