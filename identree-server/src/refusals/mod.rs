//! What is refused, recorded in numbers that the journal bears: those alike within a minute are one event with a count, and so
//! many events in a minute are all there are; beyond them only the number is kept (decision 28).
//!
//! Whoever refuses leaves a [`Refusal`] with the answer; the trace layer adds whence it came and notes it here. A refusal waits
//! for no commit.

mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Response;
use identree_core::actor::Whence;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::{HostName, Target, UserName};
use identree_core::rng::bytes;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, StoreError};
use identree_core::text::hex;
use identree_core::time::Timestamp;
use tokio::sync::Notify;

use self::table::{Table, Told};
use crate::parts::Parts;

/// How soon what could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A batch brings a document of its own: offered again after it was written, it is a conflict, and no event stands twice.
const WRITTEN: Collection = Collection("refusals-written");

/// How long that document is kept after the batch was offered last, which is every second until the store has it.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// How long a stop waits for the store to take what is left.
const LAST: Duration = Duration::from_secs(5);

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    kind: EventKind,
    why: &'static str,
    subject: Option<UserName>,
    target: Option<Target>,
    actor: Option<UserName>,
    details: Vec<(&'static str, String)>,
    whence: Whence,
}

impl Refusal {
    /// Of this kind, for this reason: one word of a closed list.
    pub fn new(kind: EventKind, why: &'static str) -> Self {
        let details = Vec::new();
        Self { kind, why, subject: None, target: None, actor: None, details, whence: Whence::default() }
    }

    /// Something beyond a limit: a value of the label `limit` of `identree_rate_limit_rejections_total`.
    pub fn limited(limit: &'static str) -> Self {
        Self::new(EventKind::RateLimited, limit)
    }

    /// Whom it is about.
    #[must_use]
    pub fn of(self, subject: &UserName) -> Self {
        Self { subject: Some(subject.clone()), ..self }
    }

    /// About which host, proven or only named.
    #[must_use]
    pub fn on(self, host: &HostName) -> Self {
        Self { target: Some(Target::Host(host.clone())), ..self }
    }

    /// Whose act it was.
    #[must_use]
    pub fn by(self, actor: &UserName) -> Self {
        Self { actor: Some(actor.clone()), ..self }
    }

    /// With one more detail.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// Where it came from.
    #[must_use]
    pub fn from(self, whence: Whence) -> Self {
        Self { whence, ..self }
    }

    /// Leaves it with the answer.
    pub fn leave<B>(self, response: &mut Response<B>) {
        response.extensions_mut().insert(Box::new(self));
    }

    /// Takes what was left with an answer.
    pub(crate) fn take<B>(response: &mut Response<B>) -> Option<Self> {
        response.extensions_mut().remove::<Box<Self>>().map(|refusal| *refusal)
    }
}

/// What was refused lately. Cheap to clone; every clone is the same.
#[derive(Debug, Clone)]
pub struct Refusals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    table: Mutex<Table>,
    wake: Notify,
    /// What the store has not said to have taken: offered as it is until it does, so that nothing is counted twice.
    unsent: tokio::sync::Mutex<Option<Marked>>,
}

/// Events that are written together, once, and the key of the document that tells whether they were.
#[derive(Debug)]
struct Marked {
    mark: DocumentKey,
    events: Vec<AuditEvent>,
}

impl Refusals {
    /// Nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            table: Mutex::default(),
            wake: Notify::new(),
            unsent: tokio::sync::Mutex::default(),
        }))
    }

    /// Notes a refusal. Waits for nothing.
    pub fn note(&self, refusal: Refusal) {
        let now = self.0.parts.now();
        if self.table().note(refusal, now) {
            self.0.wake.notify_one();
        }
    }

    /// Writes what is to be written, for ever. Ends when the future is dropped; then [`finish`](Self::finish) writes the rest.
    pub async fn follow(&self) {
        let Parts { clock, .. } = &self.0.parts;
        loop {
            let due = self.table().next_due();
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = async { clock.sleep_until(due.unwrap_or_default()).await }, if due.is_some() => {}
            }
            while let Err(error) = self.write(Which::Due).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what was refused could not be recorded yet; it goes on being counted"
                );
                clock.sleep_until(clock.now() + TRY_AGAIN).await;
            }
        }
    }

    /// Writes all that is left, whether or not its minute is over.
    ///
    /// # Errors
    /// [`StoreError`] if the store did not take it; it is kept.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.write(Which::All).await
    }

    /// As [`flush`](Self::flush), at the end of the process: not for long, and what is lost is said.
    pub async fn finish(&self) {
        let Parts { clock, .. } = &self.0.parts;
        let flushed = tokio::select! {
            flushed = self.flush() => flushed.map_err(|error| error.to_string()),
            () = clock.sleep_until(clock.now() + LAST) => Err("the store does not answer".to_owned()),
        };
        if let Err(why) = flushed {
            tracing::error!("the last refusals before the stop are not recorded: {why}");
        }
    }

    /// # Cancel safety
    /// Dropped anywhere, it leaves what may not be written to be offered again.
    async fn write(&self, which: Which) -> Result<(), StoreError> {
        let mut unsent = self.0.unsent.lock().await;
        if let Some(marked) = &*unsent {
            self.commit(marked).await?;
            *unsent = None;
        }
        let told = self.table().told(self.0.parts.now(), matches!(which, Which::All));
        if told.is_empty() {
            return Ok(());
        }
        let mark = DocumentKey::new(WRITTEN, hex(&bytes::<16>(&*self.0.parts.entropy)));
        let events = told.into_iter().map(|told| self.event(told)).collect();
        self.commit(unsent.insert(Marked { mark, events })).await?;
        *unsent = None;
        Ok(())
    }

    /// Writes a batch, or finds that it was written already and only the answer was lost: nobody else has its mark.
    async fn commit(&self, marked: &Marked) -> Result<(), StoreError> {
        // From now on: a store that is away for long must not forget the mark together with the answer.
        let put = Put { bytes: Vec::new(), expires_at: Some(self.0.parts.now() + REMEMBERED) };
        let mark = Change::Document { key: marked.mark.clone(), expect: None, put: Some(put) };
        let batch = marked.events.iter().cloned().fold(Batch::unrecorded(vec![mark]), Batch::also);
        match self.0.parts.store.commit(batch).await {
            Err(StoreError::Conflict) => Ok(()),
            done => done,
        }
    }

    fn event(&self, told: Told) -> AuditEvent {
        let counted = |event: AuditEvent, count: u64, since: Timestamp| {
            event.with("count", count.to_string()).with("since", since.to_string())
        };
        match told {
            Told::Alike { refusal, count, since } => {
                let Refusal { kind, why, subject, target, actor, details, whence } = refusal;
                let why_name = if kind == EventKind::RateLimited { "limit" } else { "why" };
                let event = AuditEvent { subject, target, actor, ..self.0.parts.event(kind) }.with(why_name, why);
                let event = details.into_iter().fold(event, |event, (name, value)| event.with(name, value));
                counted(event.from(&whence), count, since)
            }
            Told::Rest { kind, count, since } => {
                let event = self.0.parts.event(EventKind::RefusalsCounted).with("kind", kind.as_str());
                counted(event, count, since)
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Due,
    All,
}

#[cfg(test)]
mod tests;
