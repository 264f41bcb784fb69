//! How a question ended.

use askama::Template;
use identree_core::challenge::{ChallengeRecord, GrantedBy, Settled, State};
use identree_core::text::visible;
use identree_core::time::Timestamp;

use super::Frame;
use crate::web::text::{Text, fill};
use crate::web::view::{Moment, Piece, Viewer, ending, looking_back, pieces, state_name, state_word};

/// `GET /approve/{code}` once the question is settled.
#[derive(Debug, Template)]
#[template(path = "result.html")]
pub(crate) struct ResultPage {
    pub(crate) frame: Frame,
    state: &'static str,
    title: &'static str,
    ending: String,
    at: Moment,
    reasons: Vec<Reason>,
    headline: String,
    command: Vec<Piece>,
    notice: Option<&'static str>,
}

#[derive(Debug)]
struct Reason {
    label: String,
    text: String,
}

impl ResultPage {
    /// The page of a settled question; `notice` says why the viewer's own answer did not count, if it did not.
    pub(crate) fn new(
        frame: Frame,
        record: &ChallengeRecord,
        viewer: &Viewer,
        now: Timestamp,
        notice: Option<&'static str>,
    ) -> Self {
        let (question, text) = (record.question(), frame.text);
        Self {
            state: state_word(record),
            title: state_name(record, text),
            ending: ending(record, text),
            at: Moment::at(record.settled_at().unwrap_or(now), now),
            reasons: reasons(record, text),
            headline: looking_back(question, viewer.side(question), text),
            command: pieces(&question.summary.action),
            notice,
            frame,
        }
    }
}

fn reasons(record: &ChallengeRecord, text: &Text) -> Vec<Reason> {
    let by = |name: &str, reason: &str| Reason {
        label: fill(text.their_reason, &[("name", name)]),
        text: visible(reason).into_owned(),
    };
    let State::Settled { how, .. } = record.state() else { return Vec::new() };
    match how {
        Settled::Granted(GrantedBy::Votes(votes)) => {
            votes.iter().filter_map(|vote| Some(by(vote.by.as_str(), vote.reason.as_deref()?))).collect()
        }
        Settled::Denied { by: name, reason: Some(reason) } => vec![by(name.as_str(), reason)],
        Settled::Refused { text: why, .. } => {
            vec![Reason { label: text.why.to_owned(), text: known_why(why, text) }]
        }
        _ => Vec::new(),
    }
}

/// The engine's own reasons, which are recorded in English; a rule's are in its author's words.
fn known_why(why: &str, text: &Text) -> String {
    let known = match why {
        "no policy covers this" | "no policy is configured" => text.why_no_policy,
        "the requester's account is disabled" => text.why_shut_out,
        why if why.starts_with("a wrong number was typed ") => text.why_wrong_numbers,
        why => {
            let why = visible(why);
            let window = why.strip_prefix("allowed only ");
            return window.map_or_else(|| why.to_string(), |window| fill(text.why_window, &[("window", window)]));
        }
    };
    known.to_owned()
}
