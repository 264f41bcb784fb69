//! Events as the log would give them.

use identree_core::audit::{AuditEvent, Entry, EventKind, EventSeq, SealedEvent};
use identree_core::testkit::fakes;
use serde_json::Value;

pub(crate) fn sealed(seq: u64, event: &AuditEvent) -> SealedEvent {
    Entry::of(event, [seq.to_le_bytes()[0]; 16]).unwrap().sealed(EventSeq(seq)).unwrap()
}

/// Events of this many questions, from a place on.
pub(crate) fn some(from: u64, count: u64) -> Vec<SealedEvent> {
    let event = |seq| fakes::event_about(seq, EventKind::ChallengeCreated, &fakes::pending(seq));
    (from..from + count).map(|seq| sealed(seq, &event(seq))).collect()
}

pub(crate) fn line(event: &SealedEvent) -> String {
    let mut line = Vec::new();
    identree_notify::line::write(event, &mut line);
    String::from_utf8(line).unwrap()
}

pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
