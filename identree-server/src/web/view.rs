//! What pages show: records and times turned into texts. Pure, so that tests say what a person sees.

use std::time::Duration;

use identree_core::actor::Actor;
use identree_core::challenge::{ChallengeRecord, GrantedBy, LoginKind, Question, Settled, State};
use identree_core::engine::Engine;
use identree_core::id::UserName;
use identree_core::text::{is_hidden, visible};
use identree_core::time::Timestamp;

use super::text::{Text, fill};

/// Who looks, and what counts for what they may be offered. The engine decides again at the vote.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    /// Who.
    pub(super) name: UserName,
    /// Whether they are an administrator now.
    pub(super) admin: bool,
    /// When they proved themselves at the identity provider.
    pub(super) proven_at: Timestamp,
}

impl Viewer {
    /// The person behind a browser session.
    pub(super) fn of(engine: &Engine, actor: &Actor) -> Self {
        Self { name: actor.name().clone(), admin: engine.is_admin(actor), proven_at: actor.at() }
    }

    /// Whether they asked the question themselves.
    pub(super) fn asked(&self, question: &Question) -> bool {
        question.requester == self.name
    }

    /// As which of the two they look at the question.
    pub(super) fn side(&self, question: &Question) -> Side {
        if self.asked(question) { Side::Requester } else { Side::Approver }
    }

    /// Whether the digits of the code stay hidden from them, because they must type them.
    pub(super) fn types_number(&self, question: &Question) -> bool {
        self.side(question).types_number(question)
    }

    /// Where they see the question. The address never tells digits that they must type.
    pub(super) fn path(&self, question: &Question) -> String {
        self.side(question).path(question)
    }
}

/// From which side somebody looks at a question: all that lists differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// They asked.
    Requester,
    /// Somebody else asked.
    Approver,
}

impl Side {
    /// Whether the digits of the code stay hidden on this side, because they must be typed there.
    fn types_number(self, question: &Question) -> bool {
        self == Self::Approver && question.requirement.as_ref().is_some_and(|requirement| requirement.number_match)
    }

    /// Where the question is seen. The address never tells digits that must be typed.
    pub(super) fn path(self, question: &Question) -> String {
        if self.types_number(question) {
            format!("/approve/{}", question.id)
        } else {
            format!("/approve/{}", question.code)
        }
    }
}

/// A stretch of text from outside; `hidden` ones are written-out characters that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The text to show.
    pub(super) text: String,
    /// Whether it stands for a character that cannot be seen.
    pub(super) hidden: bool,
}

/// Splits a text from outside so that written-out characters can be marked. The text may have been made visible before:
/// then its `\n`, `\xNN` and `\u{…}` are found by their form.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let text = visible(text);
    let mut out: Vec<Piece> = Vec::new();
    let mut rest: &str = &text;
    while !rest.is_empty() {
        let (length, hidden) = match escape(rest) {
            Some(length) => (length, true),
            // A doubled backslash is one backslash, not the start of an escape.
            None if rest.starts_with("\\\\") => (2, false),
            None => (rest.chars().next().map_or(0, char::len_utf8), false),
        };
        let (piece, after) = rest.split_at(length);
        match out.last_mut() {
            Some(last) if !last.hidden && !hidden => last.text.push_str(piece),
            _ => out.push(Piece { text: piece.to_owned(), hidden }),
        }
        rest = after;
    }
    out
}

/// The length of the written-out hidden character that the text begins with.
fn escape(text: &str) -> Option<usize> {
    let after = text.strip_prefix('\\')?;
    if after.starts_with(['n', 'r', 't']) {
        return Some(2);
    }
    if let Some(hex) = after.strip_prefix('x') {
        return hex.get(..2).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())).map(|_| 4);
    }
    let (hex, _) = after.strip_prefix("u{")?.split_once('}')?;
    let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
    is_hidden(c).then_some(hex.len() + 4)
}

/// A moment: for machines, and for people whose browser does not turn it into local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// RFC 3339.
    pub(super) iso: String,
    /// In UTC, to the second on the same day, else to the minute with the date.
    pub(super) text: String,
}

impl Moment {
    /// Of a time, as seen now.
    pub(super) fn at(time: Timestamp, now: Timestamp) -> Self {
        let iso = time.to_string();
        let today = now.to_string();
        let text = match (iso.get(..10), iso.get(11..19), iso.get(11..16)) {
            (date, Some(clock), _) if date == today.get(..10) => format!("{clock} UTC"),
            (Some(date), _, Some(clock)) => format!("{date} {clock} UTC"),
            _ => iso.clone(),
        };
        Self { iso, text }
    }
}

/// A duration as people say it.
pub(super) fn duration(duration: Duration, text: &Text) -> String {
    let secs = duration.as_secs();
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    let values = [("h", h.to_string()), ("m", m.to_string()), ("s", s.to_string())];
    let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
    let form = match (h, m, s) {
        (1.., _, _) => text.hours_minutes,
        (_, 10.., _) | (_, 1.., 0) => text.minutes,
        (_, 1.., _) => text.minutes_seconds,
        _ => text.seconds,
    };
    fill(form, &values)
}

/// How long ago something was.
pub(super) fn ago(time: Timestamp, now: Timestamp, text: &Text) -> String {
    let since = now.since(time);
    if since.as_secs() < 1 {
        text.just_now.to_owned()
    } else {
        fill(text.asked_ago, &[("time", &duration(since, text))])
    }
}

/// Where a question stands, as one word: the class in the style sheet and the word in the state answers.
pub(super) const fn state_word(record: &ChallengeRecord) -> &'static str {
    match record.state() {
        State::Pending { .. } => "pending",
        State::Settled { how: Settled::Granted(_), .. } => "approved",
        State::Settled { how: Settled::Denied { .. }, .. } => "denied",
        State::Settled { how: Settled::Expired, .. } => "expired",
        State::Settled { how: Settled::Cancelled { .. }, .. } => "cancelled",
        State::Settled { how: Settled::Refused { .. }, .. } => "refused",
    }
}

/// The same word for people.
pub(super) const fn state_name(record: &ChallengeRecord, text: &Text) -> &'static str {
    match record.state() {
        State::Pending { .. } => text.pending,
        State::Settled { how: Settled::Granted(_), .. } => text.approved,
        State::Settled { how: Settled::Denied { .. }, .. } => text.denied,
        State::Settled { how: Settled::Expired, .. } => text.expired,
        State::Settled { how: Settled::Cancelled { .. }, .. } => text.cancelled,
        State::Settled { how: Settled::Refused { .. }, .. } => text.refused,
    }
}

/// One sentence about how a question ended; empty while it waits.
pub(super) fn ending(record: &ChallengeRecord, text: &Text) -> String {
    let State::Settled { how, .. } = record.state() else { return String::new() };
    match how {
        Settled::Granted(GrantedBy::Votes(votes)) => {
            let names = votes.iter().map(|vote| vote.by.as_str()).collect::<Vec<_>>().join(", ");
            fill(text.approved_text, &[("names", &names)])
        }
        Settled::Granted(GrantedBy::Rule(rule)) => fill(text.allowed_text, &[("rule", rule.as_str())]),
        Settled::Denied { by, .. } => fill(text.denied_text, &[("name", by.as_str())]),
        Settled::Expired => text.expired_text.to_owned(),
        Settled::Cancelled { by } => fill(text.cancelled_text, &[("name", by.as_str())]),
        Settled::Refused { rule: Some(rule), .. } => fill(text.refused_by_rule, &[("rule", rule.as_str())]),
        Settled::Refused { rule: None, .. } => text.refused_text.to_owned(),
    }
}

/// What is asked, as one sentence.
pub(super) fn headline(question: &Question, side: Side, text: &Text) -> String {
    let forms = match form(question) {
        Form::Sudo => [text.asks_sudo, text.asks_sudo_own],
        Form::Login => [text.asks_login, text.asks_login_own],
        Form::Other => [text.asks_other, text.asks_other_own],
    };
    say(question, side, forms)
}

/// What was asked, in front of the command.
pub(super) fn looking_back(question: &Question, side: Side, text: &Text) -> String {
    let forms = match form(question) {
        Form::Sudo => [text.asked_sudo, text.asked_sudo_own],
        Form::Login => [text.asked_login, text.asked_login_own],
        Form::Other => [text.asked_other, text.asked_other_own],
    };
    say(question, side, forms)
}

/// For which kinds there is a sentence of their own.
enum Form {
    Sudo,
    Login,
    Other,
}

fn form(question: &Question) -> Form {
    let login = [LoginKind::SshLogin, LoginKind::Login].iter().any(|kind| question.kind.as_str() == kind.as_str());
    match &question.run_as {
        Some(_) => Form::Sudo,
        None if login => Form::Login,
        None => Form::Other,
    }
}

fn say(question: &Question, side: Side, [others, own]: [&str; 2]) -> String {
    let run_as = question.run_as.as_ref().map(|run_as| run_as.user.as_str()).unwrap_or_default();
    let form = if side == Side::Requester { own } else { others };
    let values = [
        ("requester", question.requester.as_str()),
        ("run_as", run_as),
        ("target", question.target.name()),
        ("kind", question.kind.as_str()),
    ];
    fill(form, &values)
}

#[cfg(test)]
mod tests {
    use super::super::text::Language;
    use super::*;

    #[test]
    fn written_out_characters_are_told_from_the_rest() {
        let shown = |text: &str| {
            let mark = |piece: Piece| if piece.hidden { format!("[{}]", piece.text) } else { piece.text };
            pieces(text).into_iter().map(mark).collect::<String>()
        };
        assert_eq!(shown("a\u{202e}b\u{200b}\u{200b}c"), "a[\\u{202e}]b[\\u{200b}][\\u{200b}]c");
        assert_eq!(shown("$'a\\nb\\x1bc\\\\nd'"), "$'a[\\n]b[\\x1b]c\\\\nd'");
        assert_eq!(shown("C:\\users \\u{41} ü"), "C:\\users \\u{41} ü");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn durations_are_said_briefly() {
        let say = |secs| duration(Duration::from_secs(secs), Language::English.text());
        assert_eq!(
            [0, 59, 60, 61, 599, 601, 3600, 7265].map(say),
            ["0 s", "59 s", "1 min", "1 min 1 s", "9 min 59 s", "10 min", "1 h 0 min", "2 h 1 min"]
        );
    }

    #[test]
    fn moments_carry_the_date_only_on_other_days() {
        let now = Timestamp::from_secs(1_767_225_600);
        assert_eq!(Moment::at(now + Duration::from_secs(61), now).text, "00:01:01 UTC");
        assert_eq!(Moment::at(now - Duration::from_secs(61), now).text, "2025-12-31 23:58 UTC");
    }
}
