//! German.

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
    "identree: WARNUNG: IDENTREE_INSECURE_HTTP ist gesetzt, diese Frage kann im Netz mitgelesen werden";

pub(super) const WHY: &str = "Warum?";
pub(super) const NUMBER_OR_WORDS: &str = "Zahl oder andere Worte";
/// What people usually say.
pub(super) const REASONS: [&str; 6] = [
    "Wartung",
    "Störung",
    "Einspielen einer neuen Version",
    "Fehlersuche",
    "Sicherheitsuntersuchung",
    "Änderung der Konfiguration",
];
pub(super) const PRESS_ENTER: &str = "  Nach der Genehmigung die Eingabetaste drücken: ";

pub(super) fn question(
    host: &HostName,
    question: Question<'_>,
    ticket: &Ticket,
    canvas: Option<Canvas>,
) -> Vec<String> {
    let mut lines = match question {
        Question::Sudo(facts) => vec![
            format!("identree: {} möchte auf {host} als {} ausführen:", facts.requester, run_as(&facts.run_as)),
            format!("    {}", shortened(&facts.command())),
        ],
        Question::Login(facts) => {
            let from = facts.remote.as_ref().map(|remote| format!(" von {} aus", visible(remote))).unwrap_or_default();
            vec![format!("identree: {} möchte sich{from} auf {host} anmelden", facts.requester)]
        }
    };
    if let (Some(url), Some(canvas)) = (&ticket.url, canvas) {
        lines.extend(qr::lines(url, canvas));
    }
    if let Some(code) = &ticket.code {
        lines.push(format!("  Code        {code}"));
    }
    if let Some(url) = &ticket.url {
        lines.push(format!("  Genehmigen  {}", visible(url)));
    }
    lines.push(format!("  Wartet bis zu {} auf die Antwort ...", span(ticket.time)));
    lines
}

fn shortened(text: &str) -> String {
    match super::shortened(text) {
        (text, 0) => text.to_owned(),
        (text, more) => format!("{text} ... ({more} weitere Zeichen)"),
    }
}

fn span(time: Duration) -> String {
    match super::span(time) {
        (minutes, true) => format!("{minutes} Minuten"),
        (1, false) => "1 Sekunde".to_owned(),
        (secs, false) => format!("{secs} Sekunden"),
    }
}

pub(super) fn verdict(verdict: &Verdict) -> String {
    const EXPIRED: &str = "niemand hat rechtzeitig geantwortet; um erneut zu fragen, den Befehl noch einmal ausführen";
    match verdict {
        Verdict::Granted(grant) => match grant.answer().extra("by") {
            Some(by) => format!("genehmigt von {}", visible(by)),
            None => "durch eine Regel erlaubt".into(),
        },
        Verdict::Refused(answer) => {
            let because = answer.extra("reason").map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
            let by = answer.extra("by").map(|by| format!(" von {}", visible(by))).unwrap_or_default();
            let rule =
                answer.extra("rule").map(|rule| format!(" durch die Regel „{}“", visible(rule))).unwrap_or_default();
            match answer.decision {
                Decision::Expired => EXPIRED.into(),
                Decision::Cancelled => format!("die Frage wurde{by} zurückgezogen{because}"),
                Decision::Refused => format!("verweigert{rule}{because}"),
                Decision::Denied | Decision::Granted => format!("abgelehnt{by}{because}"),
            }
        }
        Verdict::BrokenGlass => "mit dem Notfallpasswort geöffnet; sein Gebrauch ist festgehalten".into(),
        Verdict::LeftToPlugin => "das Plugin von sudo fragt".into(),
        Verdict::TimedOut => EXPIRED.into(),
        Verdict::RefusedBefore(_) => "bereits verweigert; um erneut zu fragen, den Befehl noch einmal ausführen".into(),
        Verdict::Unreachable(why) => {
            format!("der Server ist nicht erreichbar, darum wurde nichts erlaubt: {}", visible(why))
        }
        Verdict::NotAsked(why) => format!("nicht gefragt: {}", not_asked(*why)),
        Verdict::Unsafe(why) => format!("verweigert: {}", visible(why)),
        Verdict::Misconfigured(why) => {
            format!("nicht richtig eingerichtet, darum wurde nichts erlaubt: {}", visible(why))
        }
        Verdict::Cancelled(Interruption::HangUp) => "das Terminal ist weg; die Frage wurde zurückgezogen".into(),
        Verdict::Cancelled(Interruption::CallerGone | Interruption::Signal) => {
            "unterbrochen; die Frage wurde zurückgezogen".into()
        }
    }
}

pub(super) fn glass(says: Says) -> String {
    match says {
        Says::Prompt => {
            "Notfallpasswort dieses Rechners (sein Gebrauch wird festgehalten; Enter allein bricht ab): ".into()
        }
        Says::Wrong => "identree: das ist nicht das Notfallpasswort dieses Rechners".into(),
        Says::TooOften(wait) => format!("identree: zu viele Versuche; erneut möglich in {}", span(wait)),
    }
}

fn not_asked(why: NotAsked) -> String {
    let again = |secs: Option<u32>| {
        secs.map_or("gleich".to_owned(), |secs| format!("in {}", span(Duration::from_secs(secs.into()))))
    };
    match why {
        NotAsked::UserFull => {
            "es warten schon zu viele Ihrer Fragen; beantworten Sie sie, oder unterbrechen Sie die wartenden Befehle"
                .into()
        }
        NotAsked::HostFull => "es warten schon zu viele Fragen dieses Hosts; gleich noch einmal versuchen".into(),
        NotAsked::ServerFull => "auf dem Server warten schon zu viele Fragen; gleich noch einmal versuchen".into(),
        NotAsked::CoolDown(secs) => {
            format!("Ihre letzten Fragen hier wurden abgelehnt; {} noch einmal versuchen", again(secs))
        }
        NotAsked::NoReason => {
            "dieser Host will einen Grund wissen: die Frage danach beantworten, oder SUDO_REASON='...' vor den Befehl setzen".into()
        }
        NotAsked::TooFast(secs) => format!("dieser Host fragt zu oft; {} noch einmal versuchen", again(secs)),
    }
}
