//! Sample data: valid, reproducible, and different for every number.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{AuditEvent, EventKind};
use crate::canon::sha256;
use crate::challenge::record::NotGranted;
use crate::challenge::{CastVote, ChallengeRecord, Question, Summary, UserCode};
use crate::id::{ChallengeId, ChallengeKind, EventId, HostName, Nonce, Target, UserName};
use crate::policy::{Requirement, Revision};
use crate::rng::{self, Entropy, SeededEntropy};
use crate::store::{Batch, Change};
use crate::time::Timestamp;

/// When sample number 0 was opened: 2026-01-01T00:00:00Z, where [`crate::time::ManualClock`] starts too.
pub const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A user name.
///
/// # Panics
/// If the text is not one.
pub fn user(name: &str) -> UserName {
    UserName::parse(name).expect("a valid user name")
}

/// A host.
///
/// # Panics
/// If the text is not a host name.
pub fn host(name: &str) -> Target {
    Target::Host(HostName::parse(name).expect("a valid host name"))
}

/// The question number `n`, asked by `ann` on `web-1.example`, opened `n` milliseconds after [`START`].
pub fn question(n: u64) -> Question {
    question_of(n, "ann")
}

/// The question number `n`, asked by somebody.
///
/// # Panics
/// If `requester` is not a user name.
pub fn question_of(n: u64, requester: &str) -> Question {
    let entropy = SeededEntropy::new(n);
    let nonce = Nonce::from_bytes(rng::bytes(&entropy));
    let target = host("web-1.example");
    let created_at = START + Duration::from_millis(n);
    let action = format!("systemctl restart 'unit {n}' # \"quoted\" \\ ü \u{202e}");
    Question {
        id: ChallengeId::derive(&target, &nonce),
        code: UserCode::from_entropy(&entropy),
        nonce,
        kind: ChallengeKind::parse("sudo").expect("a valid kind"),
        requester: user(requester),
        target,
        target_groups: vec!["web".to_owned()],
        run_as: None,
        command: Some(action.clone()),
        command_is_exact: false,
        payload_sha256: sha256(action.as_bytes()),
        summary: Summary { action, reason: Some("because".to_owned()), details: Vec::new() },
        requirement: Some(Requirement::default()),
        policy_revision: Revision("sample".into()),
        created_at,
        expires_at: created_at + Duration::from_secs(120),
    }
}

/// The question number `n` as it is stored when it was just opened.
pub fn pending(n: u64) -> Arc<ChallengeRecord> {
    Arc::new(ChallengeRecord::pending(question(n)))
}

/// What opens question number `n`, with the event that tells of it.
pub fn opening(n: u64) -> Batch {
    let record = pending(n);
    let event = event_about(n, EventKind::ChallengeCreated, &record);
    Batch::of(Change::Open(record), event)
}

/// The same question, granted by one approval at `at`.
///
/// # Panics
/// If it is settled already.
pub fn approved(record: &ChallengeRecord, by: &str, at: Timestamp) -> Arc<ChallengeRecord> {
    let vote = CastVote { by: user(by), at, reason: None };
    Arc::new(record.clone().approve(vote, 1).expect("a question that waits"))
}

/// The same question with one approval of two at `at`; it goes on waiting.
///
/// # Panics
/// If it is settled already.
pub fn partly_approved(record: &ChallengeRecord, by: &str, at: Timestamp) -> Arc<ChallengeRecord> {
    let vote = CastVote { by: user(by), at, reason: None };
    Arc::new(record.clone().approve(vote, 2).expect("a question that waits"))
}

/// The same question, expired at `at`.
///
/// # Panics
/// If it is settled already.
pub fn expired(record: &ChallengeRecord, at: Timestamp) -> Arc<ChallengeRecord> {
    Arc::new(record.clone().end(at, NotGranted::Expired).expect("a question that waits"))
}

/// Event number `n`; it tells its number in the detail `n`.
pub fn event(n: u64, kind: EventKind) -> AuditEvent {
    let mut id = [0; 16];
    SeededEntropy::new(n ^ 0xe0e0_e0e0_e0e0_e0e0).fill(&mut id);
    AuditEvent::new(EventId::from_bytes(id), START + Duration::from_millis(n), kind).with("n", n.to_string())
}

/// Event number `n` about a question.
pub fn event_about(n: u64, kind: EventKind, record: &ChallengeRecord) -> AuditEvent {
    let mut event = event(n, kind);
    event.challenge = Some(record.question().id);
    event.subject = Some(record.question().requester.clone());
    event.target = Some(record.question().target.clone());
    event
}
