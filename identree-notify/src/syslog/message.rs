//! An event as a message of syslog (RFC 5424).

use identree_core::audit::SealedEvent;
use identree_core::text::visible;

use crate::line;

/// `authpriv` (RFC 5424 §6.2.1): messages about security and authorisation.
const FACILITY: u8 = 10;
/// The private enterprise number that is kept for documentation (RFC 5612): identree has none of its own.
const STRUCTURE: &str = "identree@32473";
/// RFC 5424 §6.4: the message is UTF-8.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// Makes messages.
#[derive(Debug)]
pub(super) struct Messages {
    /// HOSTNAME: the machine this runs on.
    host: String,
}

impl Messages {
    /// `host` is shown as far as the standard lets it: printable ASCII, 255 at most.
    pub(super) fn new(host: &str) -> Self {
        let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
        Self { host: if host.is_empty() { "-".to_owned() } else { host } }
    }

    /// Appends the message of an event.
    pub(super) fn write(&self, event: &SealedEvent, out: &mut Vec<u8>) {
        self.head(event, out);
        line::write(event, out);
    }

    /// The same within `most` bytes, with less in it where it must be.
    pub(super) fn write_within(&self, event: &SealedEvent, most: usize, out: &mut Vec<u8>) {
        let start = out.len();
        self.write(event, out);
        if out.len() - start > most {
            out.truncate(start);
            self.head(event, out);
            line::write_shortened(event, out);
        }
    }

    fn head(&self, event: &SealedEvent, out: &mut Vec<u8>) {
        let name = event.event.kind.as_str();
        let priority = FACILITY * 8 + severity(name);
        let (at, host) = (event.event.at, &self.host);
        // Names of events are ASCII; MSGID ends after 32.
        let id = name.get(..32).unwrap_or(name);
        out.extend_from_slice(format!("<{priority}>1 {at} {host} identree - {id} [{STRUCTURE}").as_bytes());
        let mut parameter = |name: &str, value: &str| {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape(value, out);
            out.push(b'"');
        };
        parameter("seq", &event.seq.0.to_string());
        parameter("id", &event.event.id.to_string());
        parameter("event", name);
        parameter("username", event.event.subject.as_ref().map_or("", |name| name.as_str()));
        if let Some(host) = line::hostname(event) {
            parameter("hostname", host);
        }
        if let Some(actor) = &event.event.actor {
            parameter("actor", actor.as_str());
        }
        out.extend_from_slice(b"] ");
        out.extend_from_slice(BOM);
    }
}

/// The value of a parameter (RFC 5424 §6.3.3): what would end it has a backslash before it.
fn escape(value: &str, out: &mut Vec<u8>) {
    for byte in visible(value).bytes() {
        if matches!(byte, b'"' | b'\\' | b']') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// How much it matters (RFC 5424 §6.2.1), by what the event is called: warning for what failed or broke the rules, notice for a no,
/// informational for the rest.
fn severity(event: &str) -> u8 {
    const WARNING: u8 = 4;
    const NOTICE: u8 = 5;
    const INFORMATIONAL: u8 = 6;
    let ends = |with: &[&str]| with.iter().any(|with| event.ends_with(with));
    if ends(&["_failed", "_limited", "_counted", "_override", "_erased"]) || event.contains("break_glass") {
        WARNING
    } else if ends(&["_refused", "_denied", "_expired"]) {
        NOTICE
    } else {
        INFORMATIONAL
    }
}

#[cfg(test)]
mod tests {
    use identree_core::audit::EventKind;
    use identree_core::testkit::fakes;

    use super::*;
    use crate::tests::sealed;

    fn text(event: &SealedEvent) -> String {
        let mut out = Vec::new();
        Messages::new("approve.example").write(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_is_as_the_standard_has_it() {
        let mut event = fakes::event_about(4, EventKind::ChallengeDenied, &fakes::pending(4)).with("reason", "no");
        event.actor = Some(fakes::user("ada"));
        let event = sealed(4, &event);
        let message = text(&event);
        let (head, json) = message.split_once('\u{feff}').unwrap();
        assert_eq!(
            head,
            format!(
                "<85>1 {} approve.example identree - challenge_denied [identree@32473 seq=\"4\" id=\"{}\" event=\"challenge_denied\" \
                 username=\"ann\" hostname=\"web-1.example\" actor=\"ada\"] ",
                event.event.at, event.event.id
            )
        );
        let mut line = Vec::new();
        line::write(&event, &mut line);
        assert_eq!(json.as_bytes(), line);
    }

    #[test]
    fn quotes_brackets_and_backslashes_end_nothing() {
        let mut out = Vec::new();
        escape("a\"]b\\c\u{202e}ä", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"a\"\]b\\c\\u{202e}ä"#);
    }

    #[test]
    fn each_kind_fits_and_noes_stand_out() {
        for kind in EventKind::ALL {
            let message = text(&sealed(1, &fakes::event(1, *kind)));
            let (priority, rest) = message.strip_prefix('<').unwrap().split_once(">1 ").unwrap();
            let priority: u8 = priority.parse().unwrap();
            assert!((84..=86).contains(&priority) && kind.as_str().len() <= 32, "{message}");
            assert!(rest.contains(&format!(" identree - {} [", kind.as_str())), "{rest}");
        }
        assert_eq!(["sign_in_failed", "vote_refused", "challenge_approved"].map(severity), [4, 5, 6]);
    }

    #[test]
    fn a_message_within_a_limit_keeps_what_says_which_it_is() {
        let event = fakes::event_about(1, EventKind::ChallengeDenied, &fakes::pending(1));
        let long = sealed(1, &event.clone().with("reason", "x".repeat(9000)));
        let mut out = b"before".to_vec();
        Messages::new("").write_within(&long, 2048, &mut out);
        let message = std::str::from_utf8(&out).unwrap().strip_prefix("before").unwrap();
        assert!(
            message.len() <= 2048 && message.contains("\"shortened\":true") && message.contains(" - identree - "),
            "{message}"
        );
        let mut short = Vec::new();
        Messages::new("").write_within(&sealed(1, &event), 2048, &mut short);
        assert!(!String::from_utf8(short).unwrap().contains("shortened"));
    }
}
