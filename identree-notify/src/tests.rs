//! What all sinks are tested with.

use identree_core::audit::{AuditEvent, Entry, EventKind, EventSeq, SealedEvent};
use identree_core::testkit::fakes;
use identree_core::testkit::suite::sink::Arrived;
use serde_json::Value;

/// The event number `seq` as the log would give it.
pub(crate) fn sealed(seq: u64, event: &AuditEvent) -> SealedEvent {
    Entry::of(event, [seq.to_le_bytes()[0]; 16]).unwrap().sealed(EventSeq(seq)).unwrap()
}

/// Events of this many questions, from a place on.
pub(crate) fn some(from: u64, count: u64) -> Vec<SealedEvent> {
    let event = |seq| fakes::event_about(seq, EventKind::ChallengeCreated, &fakes::pending(seq));
    (from..from + count).map(|seq| sealed(seq, &event(seq))).collect()
}

/// What arrived as lines of JSON.
pub(crate) fn arrived(text: &str) -> Vec<Arrived> {
    text.lines()
        .map(|line| Arrived { seq: EventSeq(parsed(line)["seq"].as_u64().unwrap()), text: line.to_owned() })
        .collect()
}

/// A line of JSON.
pub(crate) fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// What a test needs and this machine has not: a failure in CI, a word elsewhere.
#[expect(
    clippy::disallowed_methods,
    reason = "whether a missing peer is a failure is a matter of how the tests are run"
)]
pub(crate) fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing");
    println!("skipped: {what} is missing");
}

mod lines {
    use identree_core::id::{Target, TargetName};

    use super::*;
    use crate::line;

    fn text(event: &SealedEvent) -> String {
        let mut out = Vec::new();
        line::write(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_in_their_order() {
        let mut event = fakes::event_about(3, EventKind::ChallengeDenied, &fakes::pending(3))
            .with("reason", "not <now> & never")
            .with("address", "192.0.2.7")
            .with("rule", "production");
        event.details.retain(|name, _| ["reason", "address", "rule"].contains(&name.as_str()));
        (event.actor, event.via) = (Some(fakes::user("ada")), Some("web".to_owned()));
        let event = sealed(3, &event);
        assert_eq!(
            text(&event),
            format!(
                "{{\"seq\":3,\"timestamp\":\"{}\",\"event\":\"challenge_denied\",\"username\":\"ann\",\"hostname\":\"web-1.example\",\
                 \"actor\":\"ada\",\"reason\":\"not <now> & never\",\"remote_addr\":\"192.0.2.7\",\"source\":\"identree\",\"version\":\"{}\",\
                 \"id\":\"{}\",\"challenge\":\"{}\",\"via\":\"web\",\"details\":{{\"rule\":\"production\"}},\"hash\":\"{}\",\
                 \"salt\":\"03030303030303030303030303030303\"}}",
                event.event.at,
                env!("CARGO_PKG_VERSION"),
                event.event.id,
                event.event.challenge.unwrap(),
                identree_core::text::hex(&event.leaf_hash),
            )
        );
    }

    #[test]
    fn the_leaf_can_be_made_anew_from_a_line() {
        let event = sealed(
            9,
            &fakes::event_about(9, EventKind::ChallengeDenied, &fakes::pending(9)).with("reason", "no\u{7f}\u{202e}"),
        );
        let line = parsed(&text(&event));
        let field = |name: &str| line[name].as_str().map(str::to_owned);
        let mut again = AuditEvent::new(field("id").unwrap().parse().unwrap(), event.event.at, event.event.kind);
        assert_eq!(field("timestamp").unwrap(), event.event.at.to_string());
        again.challenge = field("challenge").map(|id| id.parse().unwrap());
        again.subject = field("username").filter(|name| !name.is_empty()).map(|name| fakes::user(&name));
        again.target = field("hostname").map(|name| fakes::host(&name));
        again.actor = field("actor").map(|name| fakes::user(&name));
        again.via = field("via");
        if let Some(details) = line["details"].as_object() {
            again
                .details
                .extend(details.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
        }
        again.details.extend(field("reason").map(|reason| ("reason".to_owned(), reason)));
        again.details.extend(field("remote_addr").map(|address| ("address".to_owned(), address)));
        let mut salt = [0; 16];
        assert!(identree_core::text::unhex(line["salt"].as_str().unwrap(), &mut salt));
        let leaf = Entry::of(&again, salt).unwrap();
        assert_eq!(identree_core::text::hex(&leaf.leaf_hash()), line["hash"]);
    }

    #[test]
    fn nothing_hides_in_a_line_and_a_named_thing_is_no_host() {
        let odd = "a\u{202e}b\u{7f}\u{9b}c\u{e0001}ä\n\"\\\u{1b}";
        let mut event = fakes::event(1, EventKind::SignInFailed).with("text", odd);
        event.target = Some(Target::Named(TargetName::parse("shop/production").unwrap()));
        let line = text(&sealed(1, &event));
        assert!(line.contains(r#""a\u202eb\u007f\u009bc\udb40\udc01ä\n\"\\\u001b""#), "{line}");
        assert!(!line.chars().any(identree_core::text::is_hidden));
        let line = parsed(&line);
        assert_eq!(
            (&line["details"]["text"], &line["target"], &line["username"]),
            (&odd.into(), &"shop/production".into(), &"".into())
        );
        assert_eq!(line.get("hostname"), None);
    }

    #[test]
    fn a_shortened_line_says_so() {
        let event = fakes::event_about(1, EventKind::ChallengeDenied, &fakes::pending(1));
        let event = sealed(1, &event.with("reason", "x".repeat(9000)).with("address", "192.0.2.1"));
        let mut out = Vec::new();
        line::write_shortened(&event, &mut out);
        let line = parsed(std::str::from_utf8(&out).unwrap());
        assert_eq!((&line["shortened"], &line["username"], &line["seq"]), (&true.into(), &"ann".into(), &1.into()));
        assert!(
            ["reason", "remote_addr", "details", "via"].iter().all(|name| line.get(name).is_none()) && out.len() < 700
        );
    }
}
