//! Every sentence a person reads, in one place so that it can be translated.

use std::borrow::Cow;
use std::time::Duration;

use identree_core::challenge::SudoFacts;
use identree_core::grant::Decision;
use identree_core::id::HostName;
use identree_core::text::{command_line, visible};

use crate::flow::Ticket;
use crate::verdict::{Interruption, NotAsked, Verdict};

/// The longest command shown here; the page where it is approved shows all of it.
const MAX_COMMAND_CHARS: usize = 200;

/// Something to tell the person.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// Who asks for what, and where to approve it.
    Question(&'a HostName, &'a SudoFacts, &'a Ticket),
    /// How it ended.
    Verdict(&'a Verdict),
    /// Questions travel unprotected.
    Insecure,
}

impl Notice<'_> {
    /// The lines, in English. Whatever came from outside is made visible.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Question(host, facts, ticket) => question(host, facts, ticket),
            Self::Verdict(verdict) => self::verdict(verdict),
            Self::Insecure => vec![
                "identree: WARNING: IDENTREE_INSECURE_HTTP is set, this question can be read on the network".into(),
            ],
        }
    }
}

fn question(host: &HostName, facts: &SudoFacts, ticket: &Ticket) -> Vec<String> {
    let run_as = facts
        .run_as
        .group
        .as_ref()
        .map_or_else(|| facts.run_as.user.to_string(), |g| format!("{}:{g}", facts.run_as.user));
    let mut lines = vec![
        format!("identree: {} on {host} asks to run as {run_as}:", facts.requester),
        format!("    {}", shortened(&command_line(&facts.argv))),
    ];
    if let Some(code) = &ticket.code {
        lines.push(format!("  Code     {code}"));
    }
    if let Some(url) = &ticket.url {
        lines.push(format!("  Approve  {}", visible(url)));
    }
    lines.push(format!("  Waiting up to {} for the answer ...", span(ticket.time)));
    lines
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_COMMAND_CHARS) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{} ... ({} more characters)", &text[..at], text[at..].chars().count())),
    }
}

fn span(time: Duration) -> String {
    // To the nearest second: asking has taken a few milliseconds of the time already.
    match time.saturating_add(Duration::from_millis(500)).as_secs() {
        secs if secs >= 120 && secs % 60 == 0 => format!("{} minutes", secs / 60),
        secs => format!("{secs} seconds"),
    }
}

fn verdict(verdict: &Verdict) -> Vec<String> {
    let one = |text: String| vec![format!("identree: {text}")];
    match verdict {
        Verdict::Granted(grant) => match grant.answer().extra("by") {
            Some(by) => one(format!("approved by {}", visible(by))),
            None => one("approved by rule".into()),
        },
        Verdict::Refused(answer) => {
            let because = answer.extra("reason").map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
            let by = answer.extra("by").map(|by| format!(" by {}", visible(by))).unwrap_or_default();
            let rule = answer.extra("rule").map(|rule| format!(" by rule '{}'", visible(rule))).unwrap_or_default();
            one(match answer.decision {
                Decision::Expired => "nobody answered in time; run the command again to ask again".into(),
                Decision::Cancelled => format!("the question was taken back{by}{because}"),
                Decision::Refused => format!("refused{rule}{because}"),
                Decision::Denied | Decision::Granted => format!("denied{by}{because}"),
            })
        }
        Verdict::TimedOut => one("nobody answered in time; run the command again to ask again".into()),
        Verdict::RefusedBefore(_) => one("already refused; run the command again to ask again".into()),
        Verdict::Unreachable(why) => {
            one(format!("the server is unreachable, so nothing was allowed: {}", visible(why)))
        }
        Verdict::NotAsked(why) => one(format!("not asked: {}", not_asked(*why))),
        Verdict::Misconfigured(why) => one(format!("not set up correctly, so nothing was allowed: {}", visible(why))),
        Verdict::Cancelled(Interruption::HangUp) => one("the terminal is gone; the question was taken back".into()),
        Verdict::Cancelled(Interruption::CallerGone | Interruption::Signal) => {
            one("interrupted; the question was taken back".into())
        }
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
        NotAsked::TooFast(secs) => format!("this host asks too often; try again {}", again(secs)),
    }
}
