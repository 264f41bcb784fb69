//! Every sentence a person reads, one file per language.
//!
//! The language is the host's own (`IDENTREE_LANGUAGE`): under `pam_exec` nothing is known of the caller's, and it would be
//! the caller's to choose. Details of an error, and a rule's words, stay as they came.

mod english;
mod german;

use identree_core::challenge::RunAs;
use identree_core::id::HostName;

use crate::flow::Ticket;
use crate::glass::Says;
use crate::qr::Canvas;
use crate::question::Question;
use crate::verdict::Verdict;

/// The longest command shown here; the page where it is approved shows all of it.
const MAX_COMMAND_CHARS: usize = 200;

/// A language of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// German.
    German,
}

impl Language {
    /// From its tag.
    pub fn parse(tag: &str) -> Option<Self> {
        match tag {
            "en" => Some(Self::English),
            "de" => Some(Self::German),
            _ => None,
        }
    }
}

impl Language {
    /// The question for a reason.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::English => english::WHY,
            Self::German => german::WHY,
        }
    }

    /// The prompt under the usual reasons.
    pub(crate) const fn number_or_words(self) -> &'static str {
        match self {
            Self::English => english::NUMBER_OR_WORDS,
            Self::German => german::NUMBER_OR_WORDS,
        }
    }

    /// The usual reasons.
    pub(crate) const fn reasons(self) -> [&'static str; 6] {
        match self {
            Self::English => english::REASONS,
            Self::German => german::REASONS,
        }
    }

    /// The prompt under a question where nothing is seen without one.
    pub(crate) const fn press_enter(self) -> &'static str {
        match self {
            Self::English => english::PRESS_ENTER,
            Self::German => german::PRESS_ENTER,
        }
    }
}

/// Something to tell the person.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// Who asks for what, and where to approve it.
    Question(&'a HostName, Question<'a>, &'a Ticket, Option<Canvas>),
    /// How it ended.
    Verdict(&'a Verdict),
    /// Asking for the break-glass password.
    Glass(Says),
    /// Questions travel unprotected.
    Insecure,
}

impl Notice<'_> {
    /// Whether it is to be shown as an error.
    pub const fn tells_of_something_wrong(&self) -> bool {
        match self {
            Self::Question(..) => false,
            Self::Verdict(verdict) => !matches!(verdict, Verdict::Granted(_)),
            Self::Glass(says) => !matches!(says, Says::Prompt),
            Self::Insecure => true,
        }
    }

    /// The lines. Whatever came from outside is made visible.
    pub fn lines(&self, language: Language) -> Vec<String> {
        match (self, language) {
            (Self::Question(host, question, ticket, canvas), Language::English) => {
                english::question(host, *question, ticket, *canvas)
            }
            (Self::Question(host, question, ticket, canvas), Language::German) => {
                german::question(host, *question, ticket, *canvas)
            }
            (Self::Verdict(verdict), Language::English) => vec![format!("identree: {}", english::verdict(verdict))],
            (Self::Verdict(verdict), Language::German) => vec![format!("identree: {}", german::verdict(verdict))],
            (Self::Glass(says), Language::English) => vec![english::glass(*says)],
            (Self::Glass(says), Language::German) => vec![german::glass(*says)],
            (Self::Insecure, Language::English) => vec![english::INSECURE.to_owned()],
            (Self::Insecure, Language::German) => vec![german::INSECURE.to_owned()],
        }
    }
}

fn run_as(run_as: &RunAs) -> String {
    run_as.group.as_ref().map_or_else(|| run_as.user.to_string(), |group| format!("{}:{group}", run_as.user))
}

/// The text as it may stand here, and how many characters are left out.
fn shortened(text: &str) -> (&str, usize) {
    text.char_indices().nth(MAX_COMMAND_CHARS).map_or((text, 0), |(at, _)| (&text[..at], text[at..].chars().count()))
}

/// To the nearest second: asking has taken a few milliseconds of the time already. Minutes where they are whole.
fn span(time: std::time::Duration) -> (u64, bool) {
    match time.saturating_add(std::time::Duration::from_millis(500)).as_secs() {
        secs if secs >= 120 && secs % 60 == 0 => (secs / 60, true),
        secs => (secs, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Interruption;

    #[test]
    fn each_language_has_words_of_its_own() {
        let why = || "why".to_owned();
        for verdict in [
            Verdict::TimedOut,
            Verdict::BrokenGlass,
            Verdict::LeftToPlugin,
            Verdict::RefusedBefore(1),
            Verdict::Unreachable(why()),
            Verdict::Misconfigured(why()),
            Verdict::Unsafe(why()),
            Verdict::Cancelled(Interruption::HangUp),
            Verdict::Cancelled(Interruption::Signal),
        ] {
            let said = |language| Notice::Verdict(&verdict).lines(language).join("\n");
            let (english, german) = (said(Language::English), said(Language::German));
            assert_ne!(english, german, "{verdict:?}");
            assert_eq!(english.contains("why"), german.contains("why"), "{verdict:?}");
        }
    }
}
