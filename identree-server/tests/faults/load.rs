//! Hosts that ask and people who answer, as fast as the server lets them, until it is gone; and whether what they were told is
//! what the store holds.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::challenge::{ChallengeRecord, Settled, State};
use identree_core::id::ChallengeId;
use identree_core::rng::{SeededEntropy, bytes};
use identree_core::wire::v1::{Reply, Status};

use crate::host::Host;
use crate::person::Person;

/// A person who is signed in, and what their forms carry.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) name: &'static str,
    pub(crate) person: Person,
    pub(crate) token: String,
}

/// What was done to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Approve,
    Deny,
    Cancel,
    Leave,
}

/// What is known of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was answered.
    Answered,
    /// The connection died first: either.
    Unknown,
    /// It was never sent.
    Unsent,
}

/// One question and everything its host and its person were told.
pub(crate) struct Asked {
    pub(crate) host: Host,
    pub(crate) user: &'static str,
    pub(crate) nonce: [u8; 32],
    pub(crate) created: Fate,
    act: Act,
    acted: Fate,
    waiter: Option<JoinHandle<Option<Reply>>>,
}

impl Asked {
    pub(crate) fn id(&self) -> ChallengeId {
        self.host.id(&self.nonce)
    }
}

/// Asks and answers until the server is gone or `most` questions were asked; each answered write goes through `progress`.
pub(crate) fn work(host: &Host, mut who: Signed, seed: u64, most: usize, progress: &Sender<()>) -> Vec<Asked> {
    let random = SeededEntropy::new(seed);
    let mut all = Vec::new();
    while all.len() < most {
        let [kind, hold] = bytes::<2>(&random);
        let act = match kind % 8 {
            0..=2 => Act::Approve,
            3..=4 => Act::Deny,
            5..=6 => Act::Cancel,
            _ => Act::Leave,
        };
        let nonce = bytes::<32>(&random);
        let mut asked = Asked {
            host: host.clone(),
            user: who.name,
            nonce,
            created: Fate::Unknown,
            act,
            acted: Fate::Unsent,
            waiter: None,
        };
        let Ok(answer) = host.ask(who.name, &nonce) else {
            all.push(asked);
            return all;
        };
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.reply().challenge_id, asked.id());
        asked.created = Fate::Answered;
        let _ = progress.send(()); // Err: enough was counted
        if hold % 2 == 0 {
            let (host, id) = (host.clone(), asked.id());
            asked.waiter = Some(std::thread::spawn(move || host.wait(id, 25).ok().map(|answer| answer.reply())));
        }
        let id = asked.id().to_string();
        let fields = [("csrf_token", &*who.token), ("challenge_id", &*id)];
        let done = match act {
            Act::Approve => who.person.try_post("/api/challenges/approve", &fields).map(|status| (303, status)),
            Act::Deny => who.person.try_post("/api/challenges/reject", &fields).map(|status| (303, status)),
            Act::Cancel => host.cancel(asked.id()).map(|answer| (200, answer.status)),
            Act::Leave => {
                all.push(asked);
                continue;
            }
        };
        asked.acted = if done.is_ok() { Fate::Answered } else { Fate::Unknown };
        all.push(asked);
        let Ok((expected, status)) = done else { return all };
        assert_eq!(status, expected, "{act:?}, {} is still signed in", who.name);
        let _ = progress.send(());
    }
    all
}

/// Asserts that the store holds what was answered, and that nobody was told anything else. Returns what may be there or not.
pub(crate) fn compare(
    asked: &mut Asked,
    record: Option<&ChallengeRecord>,
    events: &HashMap<ChallengeId, Vec<EventKind>>,
) {
    let id = asked.id();
    let kinds = events.get(&id).map_or(&[][..], Vec::as_slice);
    let told = asked.waiter.take().and_then(|waiter| waiter.join().unwrap());
    let Some(record) = record else {
        assert_eq!(asked.created, Fate::Unknown, "{id} was answered and is lost");
        assert!(kinds.is_empty() && told.is_none(), "{id}: {kinds:?} of a question that is not there");
        return;
    };
    let status = consistent(record, kinds);
    match (asked.acted, status) {
        (Fate::Answered, status) => assert_eq!(status, outcome(asked.act), "{id}: {:?} was answered", asked.act),
        (Fate::Unknown, status) => assert!([Status::Pending, outcome(asked.act)].contains(&status), "{id}: {status:?}"),
        (Fate::Unsent, status) => assert_eq!(status, Status::Pending, "{id}"),
    }
    if let Some(told) = told.filter(|told| told.status != Status::Pending) {
        assert_eq!(told.status, status, "{id}: the waiter was told what the store does not hold");
        assert_eq!(asked.host.proves_yes(asked.user, &asked.nonce, &told), status == Status::Approved, "{id}");
    }
}

/// Asserts that state, revision and journal tell the same story; gives the state.
pub(crate) fn consistent(record: &ChallengeRecord, kinds: &[EventKind]) -> Status {
    let id = record.question().id;
    let (status, last) = match record.state() {
        State::Pending { .. } => (Status::Pending, None),
        State::Settled { how, .. } => match how {
            Settled::Granted(_) => (Status::Approved, Some(EventKind::ChallengeApproved)),
            Settled::Denied { .. } => (Status::Denied, Some(EventKind::ChallengeDenied)),
            Settled::Expired => (Status::Expired, Some(EventKind::ChallengeExpired)),
            Settled::Cancelled { .. } => (Status::Cancelled, Some(EventKind::ChallengeCancelled)),
            Settled::Refused { .. } => (Status::Refused, Some(EventKind::ChallengeRefused)),
        },
    };
    let story: Vec<_> = [EventKind::ChallengeCreated].into_iter().chain(last).collect();
    assert_eq!(kinds, story, "{id} is {status:?}");
    assert_eq!(record.revision(), story.len() as u64, "{id}: one revision per event");
    status
}

const fn outcome(act: Act) -> Status {
    match act {
        Act::Approve => Status::Approved,
        Act::Deny => Status::Denied,
        Act::Cancel => Status::Cancelled,
        Act::Leave => Status::Pending,
    }
}

/// The kinds of events per question, in order; those about no question are left out.
pub(crate) fn by_question(events: &[AuditEvent]) -> HashMap<ChallengeId, Vec<EventKind>> {
    let mut by_question: HashMap<_, Vec<_>> = HashMap::new();
    for event in events {
        if let Some(id) = event.challenge {
            by_question.entry(id).or_default().push(event.kind);
        }
    }
    by_question
}
