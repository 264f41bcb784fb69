//! Counting what is committed: events when they are durable, so that the metrics are the numbers of the journal.

use std::sync::Arc;

use async_trait::async_trait;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::challenge::{ChallengeRecord, UserCode};
use identree_core::id::ChallengeId;
use identree_core::store::{
    Batch, ChallengeFilter, Challenges, Change, Collection, Document, DocumentKey, Documents, Journal, Nudge, Page,
    Paged, Store, StoreError, Unsealed,
};
use identree_core::time::Timestamp;
use metrics::{Counter, Histogram, counter, histogram};

use super::catalogue::{STORE_CALLS, STORE_ERRORS, VOTE_REFUSALS};
use super::{Stopwatch, Telemetry};

/// A store that counts what the one inside does.
#[derive(Clone)]
pub struct CountedStore {
    inner: Arc<dyn Store>,
    meters: Arc<Meters>,
}

struct Meters {
    created: Counter,
    approved: Counter,
    auto_approved: Counter,
    denied: Counter,
    refused: Counter,
    expired: Counter,
    cancelled: Counter,
    lasted: Histogram,
    votes_refused: Vec<Counter>,
    signed_in: Counter,
    not_signed_in: Counter,
    events: Vec<Counter>,
    commits: Counter,
    commit_seconds: Histogram,
    /// By call, then by error, in the order of the catalogue.
    errors: Vec<Vec<Counter>>,
}

#[derive(Clone, Copy)]
enum Call {
    Read,
    Commit,
    Sweep,
    Probe,
}

/// What a batch adds once it is committed.
struct Tally {
    opened: u64,
    /// Kind, why a vote did not count, and how many times it happened, where those alike are one event.
    events: Vec<(EventKind, Option<&'static str>, u64)>,
    lasted: Vec<f64>,
}

impl CountedStore {
    /// Counts in this recorder.
    pub fn new(inner: Arc<dyn Store>, telemetry: &Telemetry) -> Self {
        Self { inner, meters: Arc::new(telemetry.register(Meters::new)) }
    }

    fn seen<T>(&self, call: Call, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            let which = match error {
                StoreError::Conflict => 0,
                StoreError::Corrupt { .. } => 2,
                _ => 1,
            };
            self.meters.errors[call as usize][which].increment(1);
        }
        result
    }
}

impl Meters {
    fn new() -> Self {
        let errors = |call: &&'static str| {
            let error =
                |error: &&'static str| counter!("identree_store_errors_total", "call" => *call, "error" => *error);
            STORE_ERRORS.iter().map(error).collect()
        };
        let refusal = |reason: &&'static str| counter!("identree_votes_refused_total", "reason" => *reason);
        let event = |kind: &EventKind| counter!("identree_journal_events_total", "kind" => kind.as_str());
        Self {
            created: counter!("identree_challenges_created_total"),
            approved: counter!("identree_challenges_approved_total"),
            auto_approved: counter!("identree_challenges_auto_approved_total"),
            denied: counter!("identree_challenges_denied_total", "reason" => "user_rejected"),
            refused: counter!("identree_challenges_denied_total", "reason" => "policy"),
            expired: counter!("identree_challenges_expired_total"),
            cancelled: counter!("identree_challenges_cancelled_total"),
            lasted: histogram!("identree_challenge_duration_seconds"),
            votes_refused: VOTE_REFUSALS.iter().map(refusal).collect(),
            signed_in: counter!("identree_sign_ins_total", "result" => "ok"),
            not_signed_in: counter!("identree_sign_ins_total", "result" => "failed"),
            events: EventKind::ALL.iter().map(event).collect(),
            commits: counter!("identree_store_commits_total"),
            commit_seconds: histogram!("identree_store_commit_duration_seconds"),
            errors: STORE_CALLS.iter().map(errors).collect(),
        }
    }

    fn add(&self, tally: Tally) {
        self.created.increment(tally.opened);
        for (kind, why, times) in tally.events {
            if let Some(at) = EventKind::ALL.iter().position(|known| *known == kind) {
                self.events[at].increment(1);
            }
            let counter = match kind {
                EventKind::ChallengeApproved => &self.approved,
                EventKind::ChallengeAllowed => &self.auto_approved,
                EventKind::ChallengeDenied => &self.denied,
                EventKind::ChallengeRefused => &self.refused,
                EventKind::ChallengeExpired => &self.expired,
                EventKind::ChallengeCancelled => &self.cancelled,
                EventKind::SignedIn => &self.signed_in,
                EventKind::SignInFailed => &self.not_signed_in,
                EventKind::VoteRefused => {
                    let at = VOTE_REFUSALS.iter().position(|known| Some(*known) == why);
                    &self.votes_refused[at.unwrap_or(VOTE_REFUSALS.len() - 1)]
                }
                _ => continue,
            };
            counter.increment(times);
        }
        for seconds in tally.lasted {
            self.lasted.record(seconds);
        }
    }
}

impl Tally {
    fn of(batch: &Batch) -> Self {
        let known = |event: &AuditEvent| {
            let why = event.details.get("why").filter(|_| event.kind == EventKind::VoteRefused);
            why.and_then(|why| VOTE_REFUSALS.iter().copied().find(|known| known == why))
        };
        let times = |event: &AuditEvent| match event.kind {
            EventKind::SignInFailed => event.details.get("count").and_then(|count| count.parse().ok()).unwrap_or(1),
            _ => 1,
        };
        let lasted = |change: &Change| match change {
            Change::Advance(record) => {
                record.settled_at().map(|at| at.since(record.question().created_at).as_secs_f64())
            }
            _ => None,
        };
        Self {
            opened: batch.changes().iter().filter(|change| matches!(change, Change::Open(_))).count() as u64,
            events: batch.events().iter().map(|event| (event.kind, known(event), times(event))).collect(),
            lasted: batch.changes().iter().filter_map(lasted).collect(),
        }
    }
}

#[async_trait]
impl Challenges for CountedStore {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        self.seen(Call::Read, self.inner.challenge(id).await)
    }

    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        self.seen(Call::Read, self.inner.challenges_by_id(ids).await)
    }

    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        self.seen(Call::Read, self.inner.challenge_by_code(code).await)
    }

    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        self.seen(Call::Read, self.inner.challenges(filter, page).await)
    }
}

#[async_trait]
impl Documents for CountedStore {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        self.seen(Call::Read, self.inner.document(key, now).await)
    }

    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        self.seen(Call::Read, self.inner.documents(of, now, page).await)
    }
}

#[async_trait]
impl Journal for CountedStore {
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        self.seen(Call::Read, self.inner.unsealed(page).await)
    }

    async fn unsealed_count(&self) -> Result<u64, StoreError> {
        self.seen(Call::Read, self.inner.unsealed_count().await)
    }
}

#[async_trait]
impl Store for CountedStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let (tally, watch) = (Tally::of(&batch), Stopwatch::start());
        let done = self.inner.commit(batch).await;
        self.meters.commit_seconds.record(watch.seconds());
        if done.is_ok() {
            self.meters.commits.increment(1);
            self.meters.add(tally);
        }
        self.seen(Call::Commit, done)
    }

    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.seen(Call::Sweep, self.inner.sweep(now, settled_before, limit).await)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.seen(Call::Probe, self.inner.probe().await)
    }

    fn nudges(&self) -> Option<tokio::sync::broadcast::Receiver<Nudge>> {
        self.inner.nudges()
    }
}

identree_core::forward_log!(CountedStore => inner);

#[cfg(test)]
mod tests {
    use identree_core::store::MemoryStore;

    use super::*;

    #[test]
    fn every_reason_why_a_vote_does_not_count_has_its_series() {
        use identree_core::engine::VoteRefusal as Why;
        for why in [
            Why::NotFound,
            Why::AlreadySettled,
            Why::AlreadyVoted,
            Why::AdminOnly,
            Why::NotYourOwn,
            Why::StaleSignIn,
            Why::WrongNumber,
            Why::Disabled,
            Why::ReasonTooLong { max: 1 },
        ] {
            assert!(VOTE_REFUSALS.contains(&why.as_str()), "{why}");
        }
    }

    fn counted() -> CountedStore {
        CountedStore::new(Arc::new(MemoryStore::new()), &Telemetry::new())
    }
    identree_core::store_suite!(counted, async { (super::counted(), ()) });
}
