//! One event as it travels: rendered when the first stream wants it, then the same bytes for all.

use std::sync::{Arc, OnceLock};

use askama::Template as _;
use axum::body::Bytes;
use identree_core::challenge::ChallengeRecord;
use identree_core::id::UserName;
use identree_core::time::Timestamp;
use serde::Serialize;

use crate::session::Ended;
use crate::web::page::{Recent, Waiting};
use crate::web::text::Language;
use crate::web::view::{Side, state_word};

/// What streams go through.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// A question has a new state.
    Question(Arc<QuestionEvent>),
    /// A session was ended.
    Ended(Ended),
}

const LANGUAGES: usize = Language::ALL.len();

/// A new state of a question.
#[derive(Debug)]
pub(super) struct QuestionEvent {
    id: String,
    record: Arc<ChallengeRecord>,
    requester: [OnceLock<Bytes>; LANGUAGES],
    approver: [OnceLock<Bytes>; LANGUAGES],
}

#[derive(Serialize)]
struct Data<'a> {
    id: String,
    revision: u64,
    state: &'a str,
    item: &'a str,
}

impl QuestionEvent {
    /// With the event's id.
    pub(super) fn new(id: String, record: Arc<ChallengeRecord>) -> Self {
        Self { id, record, requester: Default::default(), approver: Default::default() }
    }

    /// Who asked.
    pub(super) fn requester(&self) -> &UserName {
        &self.record.question().requester
    }

    /// The event for this side. `now` counts for the first who asks.
    pub(super) fn bytes(&self, side: Side, language: Language, now: Timestamp) -> Bytes {
        let rendered = match side {
            Side::Requester => &self.requester,
            Side::Approver => &self.approver,
        };
        rendered[language as usize].get_or_init(|| self.render(side, language, now)).clone()
    }

    fn render(&self, side: Side, language: Language, now: Timestamp) -> Bytes {
        let (record, text) = (&*self.record, language.text());
        let (name, item) = if record.is_pending() {
            let name = if record.revision() == 1 { "challenge_created" } else { "challenge_updated" };
            (name, Waiting::new(record, side, now, text).render())
        } else {
            ("challenge_resolved", Recent::new(record, side, now, text).render())
        };
        let data = item.map_err(|error| error.to_string()).and_then(|item| {
            let id = record.question().id.to_string();
            let data = Data { id, revision: record.revision(), state: state_word(record), item: &item };
            serde_json::to_string(&data).map_err(|error| error.to_string())
        });
        match data {
            Ok(data) => frame(&self.id, name, &data),
            Err(error) => {
                tracing::error!(error, "cannot render an event");
                frame(&self.id, "reset", "{}")
            }
        }
    }
}

/// An event as it stands in the stream. `data` is JSON, so it has no line breaks.
pub(super) fn frame(id: &str, name: &str, data: &str) -> Bytes {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into()
}
