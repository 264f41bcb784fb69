//! English.

use std::time::Duration;

use identree_core::grant::Decision;
use identree_core::id::HostName;
use identree_core::text::visible;

use super::run_as;
use crate::flow::Ticket;
use crate::glass::Says;
use crate::qr::{self, Canvas};
use crate::question::Question;
use crate::verdict::{Interruption, NotAsked, Verdict};

pub(super) const INSECURE: &str =
    "identree: WARNING: IDENTREE_INSECURE_HTTP is set, this question can be read on the network";

pub(super) const WHY: &str = "Why?";
pub(super) const NUMBER_OR_WORDS: &str = "Number or other words";
/// What people usually say.
pub(super) const REASONS: [&str; 6] = [
    "routine maintenance",
    "incident response",
    "deployment",
    "debugging",
    "security investigation",
    "configuration change",
];
pub(super) const PRESS_ENTER: &str = "  Press Enter when it is approved: ";

pub(super) fn question(
    host: &HostName,
    question: Question<'_>,
    ticket: &Ticket,
    canvas: Option<Canvas>,
) -> Vec<String> {
    let mut lines = match question {
        Question::Sudo(facts) => vec![
            format!("identree: {} on {host} asks to run as {}:", facts.requester, run_as(&facts.run_as)),
            format!("    {}", shortened(&facts.command())),
        ],
        Question::Login(facts) => {
            let from = facts.remote.as_ref().map(|remote| format!(" from {}", visible(remote))).unwrap_or_default();
            vec![format!("identree: {} asks to log in to {host}{from}", facts.requester)]
        }
    };
    if let (Some(url), Some(canvas)) = (&ticket.url, canvas) {
        lines.extend(qr::lines(url, canvas));
    }
    if let Some(code) = &ticket.code {
        lines.push(format!("  Code     {code}"));
    }
    if let Some(url) = &ticket.url {
        lines.push(format!("  Approve  {}", visible(url)));
    }
    lines.push(format!("  Waiting up to {} for the answer ...", span(ticket.time)));
    lines
}

fn shortened(text: &str) -> String {
    match super::shortened(text) {
        (text, 0) => text.to_owned(),
        (text, more) => format!("{text} ... ({more} more characters)"),
    }
}

fn span(time: Duration) -> String {
    match super::span(time) {
        (minutes, true) => format!("{minutes} minutes"),
        (secs, false) => format!("{secs} seconds"),
    }
}

pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Granted(grant) => match grant.answer().extra("by") {
            Some(by) => format!("approved by {}", visible(by)),
            None => "approved by rule".into(),
        },
        Verdict::Refused(answer) => {
            let because = answer.extra("reason").map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
            let by = answer.extra("by").map(|by| format!(" by {}", visible(by))).unwrap_or_default();
            let rule = answer.extra("rule").map(|rule| format!(" by rule '{}'", visible(rule))).unwrap_or_default();
            match answer.decision {
                Decision::Expired => "nobody answered in time; run the command again to ask again".into(),
                Decision::Cancelled => format!("the question was taken back{by}{because}"),
                Decision::Refused => format!("refused{rule}{because}"),
                Decision::Denied | Decision::Granted => format!("denied{by}{because}"),
            }
        }
        Verdict::BrokenGlass => "opened with the break-glass password; its use is recorded".into(),
        Verdict::LeftToPlugin => "sudo's approval plugin asks".into(),
        Verdict::TimedOut => "nobody answered in time; run the command again to ask again".into(),
        Verdict::RefusedBefore(_) => "already refused; run the command again to ask again".into(),
        Verdict::Unreachable(why) => format!("the server is unreachable, so nothing was allowed: {}", visible(why)),
        Verdict::NotAsked(why) => format!("not asked: {}", not_asked(*why)),
        Verdict::Unsafe(why) => format!("refused: {}", visible(why)),
        Verdict::Misconfigured(why) => format!("not set up correctly, so nothing was allowed: {}", visible(why)),
        Verdict::Cancelled(Interruption::HangUp) => "the terminal is gone; the question was taken back".into(),
        Verdict::Cancelled(Interruption::CallerGone | Interruption::Signal) => {
            "interrupted; the question was taken back".into()
        }
    }
}

pub(super) fn glass(says: Says) -> String {
    match says {
        Says::Prompt => "Break-glass password of this host (its use is recorded; Enter alone gives up): ".into(),
        Says::Wrong => "identree: that is not the break-glass password of this host".into(),
        Says::TooOften(wait) => format!("identree: too many attempts; try again in {}", span(wait)),
    }
}

fn not_asked(why: NotAsked) -> String {
    let again = |secs: Option<u32>| {
        secs.map_or("in a moment".to_owned(), |secs| format!("in {}", span(Duration::from_secs(secs.into()))))
    };
    match why {
        NotAsked::UserFull => {
            "too many of your questions wait already; answer them, or interrupt the commands that wait".into()
        }
        NotAsked::HostFull => "too many questions of this host wait already; try again in a moment".into(),
        NotAsked::ServerFull => "too many questions wait at the server already; try again in a moment".into(),
        NotAsked::CoolDown(secs) => format!("your last questions here were denied; try again {}", again(secs)),
        NotAsked::NoReason => {
            "this host wants a reason: answer the prompt, or run the command with SUDO_REASON='...' in front".into()
        }
        NotAsked::TooFast(secs) => format!("this host asks too often; try again {}", again(secs)),
    }
}
