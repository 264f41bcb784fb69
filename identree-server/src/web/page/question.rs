//! One waiting question, and what the viewer may answer.

use std::time::Duration;

use askama::Template;
use identree_core::challenge::{CastVote, ChallengeRecord, Label, Question};
use identree_core::engine::VoteRefusal;
use identree_core::text::visible;
use identree_core::time::Timestamp;

use super::{Frame, run};
use crate::web::text::{Text, fill};
use crate::web::view::{Moment, Piece, Viewer, ago, duration, headline, pieces};

/// `GET /approve/{code}` while the question waits.
#[derive(Debug, Template)]
#[template(path = "question.html")]
pub(crate) struct QuestionPage {
    pub(crate) frame: Frame,
    id: String,
    path: String,
    revision: u64,
    headline: String,
    command: Vec<Piece>,
    command_note: Option<&'static str>,
    has_hidden: bool,
    cautions: Vec<String>,
    reason: Option<String>,
    rows: Vec<Row>,
    asked: Moment,
    asked_ago: String,
    ends: Moment,
    ends_ms: i64,
    now_ms: i64,
    life_ms: i64,
    left: String,
    left_ms: i64,
    code: CodeView,
    votes: Vec<VoteView>,
    have: usize,
    need: u32,
    may_approve: bool,
    why_not: Option<&'static str>,
    /// Where to prove oneself anew, if that is what is missing.
    sign_in_again: Option<String>,
    missing: String,
    objection: Option<Objection>,
}

/// One fact about the question.
#[derive(Debug)]
struct Row {
    label: String,
    value: String,
}

/// The code as this viewer may see it.
#[derive(Debug)]
struct CodeView {
    letters: String,
    /// In two groups of three; none if the viewer must type them.
    digits: Option<(String, String)>,
    spelled: String,
    help: String,
    number_label: String,
    number_help: String,
    type_number: bool,
}

/// One approval so far.
#[derive(Debug)]
struct VoteView {
    text: String,
}

/// An answer that did not count, shown above the form with what was typed.
#[derive(Debug, Clone)]
pub(crate) struct Objection {
    text: String,
    about_number: bool,
    typed_reason: String,
}

impl Objection {
    /// Of a refused vote.
    pub(crate) fn new(refusal: &VoteRefusal, typed_reason: &str, text: &Text) -> Self {
        let about_number = matches!(refusal, VoteRefusal::WrongNumber);
        let text = match refusal {
            VoteRefusal::WrongNumber => text.wrong_number.to_owned(),
            VoteRefusal::AlreadyVoted => text.already_voted.to_owned(),
            VoteRefusal::AdminOnly => text.admin_only.to_owned(),
            VoteRefusal::NotYourOwn => text.not_your_own.to_owned(),
            VoteRefusal::StaleSignIn => text.stale_sign_in.to_owned(),
            VoteRefusal::Disabled => text.disabled.to_owned(),
            VoteRefusal::ReasonTooLong { max } => fill(text.reason_too_long, &[("max", &max.to_string())]),
            other => other.to_string(),
        };
        Self { text, about_number, typed_reason: typed_reason.to_owned() }
    }
}

impl QuestionPage {
    /// The page of a waiting question.
    pub(crate) fn new(
        frame: Frame,
        record: &ChallengeRecord,
        viewer: &Viewer,
        now: Timestamp,
        objection: Option<Objection>,
    ) -> Self {
        let (question, text) = (record.question(), frame.text);
        let command = pieces(&question.summary.action);
        let left = question.expires_at.since(now);
        let (cautions, rows) = facts(record, text);
        let (why_not, stale) = obstacle(record, viewer, now, text);
        let about_number = objection.as_ref().is_some_and(|objection| objection.about_number);
        Self {
            id: question.id.to_string(),
            path: viewer.path(question),
            revision: record.revision(),
            headline: headline(question, viewer.side(question), text),
            has_hidden: command.iter().any(|piece| piece.hidden),
            command,
            command_note: command_note(question, text),
            cautions,
            reason: question.summary.reason.as_deref().map(|reason| visible(reason).into_owned()),
            rows,
            asked: Moment::at(question.created_at, now),
            asked_ago: ago(question.created_at, now, text),
            ends: Moment::at(question.expires_at, now),
            ends_ms: question.expires_at.as_millis(),
            now_ms: now.as_millis(),
            life_ms: millis(question.expires_at.since(question.created_at)),
            left: fill(text.time_left, &[("time", &duration(left, text))]),
            left_ms: millis(left),
            code: code(record, viewer, about_number, text),
            votes: record.votes().iter().map(|vote| vote_view(vote, text)).collect(),
            have: record.votes().len(),
            need: record.needed(),
            may_approve: why_not.is_none(),
            why_not,
            sign_in_again: stale.then(|| sign_in_path(&viewer.path(question))),
            missing: missing(record, text),
            objection,
            frame,
        }
    }
}

fn sign_in_path(back: &str) -> String {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", back)
        .append_pair("fresh", "1")
        .finish();
    format!("/sessions/login?{query}")
}

fn missing(record: &ChallengeRecord, text: &Text) -> String {
    let have = u32::try_from(record.votes().len()).unwrap_or(u32::MAX);
    match record.needed().saturating_sub(have) {
        1 => text.missing_one.to_owned(),
        count => fill(text.missing_many, &[("count", &count.to_string())]),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How far the command is the one that will run.
fn command_note(question: &Question, text: &Text) -> Option<&'static str> {
    match question.kind.as_str() {
        "sudo" if run::is_bound(&question.summary) => Some(text.command_bound),
        "sudo" if !question.command_is_exact => Some(text.command_as_typed),
        _ => None,
    }
}

/// What to be careful about, and the rest.
fn facts(record: &ChallengeRecord, text: &Text) -> (Vec<String>, Vec<Row>) {
    let question = record.question();
    let row = |label: &str, value: &str| Row { label: label.to_owned(), value: visible(value).into_owned() };
    let target = if question.target.class() == "host" { text.host } else { text.target };
    let mut rows = vec![row(text.requester, question.requester.as_str()), row(target, question.target.name())];
    let mut cautions = Vec::new();
    for detail in &question.summary.details {
        let label = match &detail.label {
            Label::Caution => {
                cautions.push(visible(&detail.value).into_owned());
                continue;
            }
            Label::Flag(flag) => {
                cautions.push(visible(&run::caution(*flag, &detail.value, text)).into_owned());
                continue;
            }
            Label::RunAs => text.run_as,
            Label::Remote => text.remote,
            Label::Directory => text.directory,
            Label::Terminal => text.terminal,
            Label::Service => text.service,
            Label::Other(label) => &visible(label),
            // A label that this page has no word for is still shown.
            other => run::label(other, text).unwrap_or(text.caution),
        };
        rows.push(row(label, &detail.value));
    }
    if let Some(rule) = question.requirement.as_ref().and_then(|requirement| requirement.rule.as_ref()) {
        rows.push(row(text.rule, rule.as_str()));
    }
    (cautions, rows)
}

/// Why the viewer cannot approve, as far as can be told before the vote, and whether signing in again helps.
fn obstacle(
    record: &ChallengeRecord,
    viewer: &Viewer,
    now: Timestamp,
    text: &'static Text,
) -> (Option<&'static str>, bool) {
    if record.votes().iter().any(|vote| vote.by == viewer.name) {
        return (Some(text.you_approved), false);
    }
    let Some(requirement) = &record.question().requirement else {
        return (None, false);
    };
    if requirement.require_admin && !viewer.admin {
        return (Some(text.admin_only), false);
    }
    if viewer.asked(record.question()) && !requirement.requester_may_approve {
        return (Some(text.not_your_own), false);
    }
    if requirement.fresh_within_secs.is_some_and(|secs| now.since(viewer.proven_at).as_secs() >= secs) {
        return (Some(text.stale_sign_in), true);
    }
    (None, false)
}

fn code(record: &ChallengeRecord, viewer: &Viewer, number_wanted: bool, text: &Text) -> CodeView {
    let question = record.question();
    let (letters, number) = (&question.code.as_str()[..6], question.code.number());
    // A policy that has become stricter may want a number that this page has shown before; it is typed all the same.
    let hide = viewer.types_number(question);
    let spell = |text: &str| text.chars().map(String::from).collect::<Vec<_>>().join(" ");
    let values = [("requester", question.requester.as_str()), ("letters", letters)];
    let spelled = if hide {
        format!("{}, {}", spell(letters), text.number_hidden)
    } else {
        format!("{}, {}", spell(letters), spell(number))
    };
    CodeView {
        letters: letters.to_owned(),
        digits: (!hide).then(|| (number[..3].to_owned(), number[3..].to_owned())),
        spelled,
        help: fill(if viewer.asked(question) { text.code_compare_own } else { text.code_compare }, &values),
        number_label: fill(text.number, &values),
        number_help: fill(text.number_help, &values),
        type_number: hide || number_wanted,
    }
}

fn vote_view(vote: &CastVote, text: &Text) -> VoteView {
    let approved = fill(text.approved_by, &[("name", vote.by.as_str())]);
    let text = match &vote.reason {
        Some(reason) => fill(text.vote_reason, &[("vote", &approved), ("reason", &visible(reason))]),
        None => approved,
    };
    VoteView { text }
}
