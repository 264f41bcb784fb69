//! Where sealed events go: the contract.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::AuditEvent;
use crate::retry::Retry;
use crate::store::Hash;

/// The position of an event in the sealed log, without gaps, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventSeq(pub u64);

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvent {
    /// Its place.
    pub seq: EventSeq,
    /// What happened. Personal data that was erased is not there.
    pub event: AuditEvent,
    /// The hash of its leaf (RFC 6962 §2.1): with an inclusion proof it shows that this very event is in the log.
    pub leaf_hash: Hash,
    /// The salt of the commitment to its personal data: with it the leaf can be made anew from the event. None where the event
    /// has no personal data, or it was erased.
    pub salt: Option<[u8; 16]>,
}

/// The name of a sink: its cursor is kept under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SinkName(pub Box<str>);

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The destination did not take the events. The text is logged and never holds a credential.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit sink did not take the events: {text}")]
pub struct SinkError {
    /// What went wrong.
    pub text: String,
    /// Whether the same events may be offered again.
    pub retry: Retry,
}

impl SinkError {
    /// The destination may take the events later: it is down, busy, full, or did not answer.
    pub fn later(text: impl Into<String>) -> Self {
        Self { text: text.into(), retry: Retry::Later }
    }

    /// The destination will not take these events until somebody mends it: the credential is refused, the index is gone.
    pub fn never(text: impl Into<String>) -> Self {
        Self { text: text.into(), retry: Retry::Never }
    }
}

/// A destination of the audit log: a file, syslog, a log server. The engine ships to each on its own: one that is slow or gone
/// delays nobody else, and finds everything when it is back. Of several servers over one store one ships to it at a time.
///
/// # What it may rely on
///
/// - One [`write`](Self::write) at a time, never of nothing, with events in the order of the log and without gaps: the first is the one
///   after what the last `Ok` confirmed, or one that was offered before.
/// - At most 1,024 events at once, and seldom more than a megabyte. A destination that takes less at once cuts them itself, or confirms
///   as far as it got: the rest is offered again.
/// - After 60 s the future is dropped, and the same events come again.
///
/// # What it must guarantee
///
/// - [`name`](Self::name) never changes, over restarts too: the place in the log is kept under it.
/// - Events are written in the order given. `Ok(seq)` means that everything up to and including `seq` survives a power cut there, as far
///   as the destination can tell.
/// - The same event may come again after a crash or an error; its [`EventSeq`] tells, and twice is once or a second line, never an error.
/// - Texts of an event come from outside. Escape them for where they go: no event looks like two.
/// - Dropping the future leaves the sink usable.
///
/// # Errors and retry
///
/// With [`Retry::Later`] the same events are offered again after 1 s, then twice as long each time up to 60 s. With [`Retry::Never`] the
/// sink is *parked*: shown as failed, and offered the same events every five minutes and after a restart. Nothing is ever skipped. A panic
/// counts as `Never`.
///
/// # A toy
///
/// ```
/// use async_trait::async_trait;
/// use identree_core::audit::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
///
/// /// Keeps the events in memory.
/// struct Kept { name: SinkName, events: std::sync::Mutex<Vec<SealedEvent>> }
///
/// #[async_trait]
/// impl AuditSink for Kept {
///     fn name(&self) -> &SinkName {
///         &self.name
///     }
///     async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
///         let mut kept = self.events.lock().map_err(|_| SinkError::never("the shelf is broken"))?;
///         for event in events {
///             if kept.last().is_none_or(|last| last.seq < event.seq) {
///                 kept.push(event.clone());
///             }
///         }
///         Ok(kept.last().map_or(EventSeq(0), |last| last.seq))
///     }
/// }
/// ```
///
/// A sink is one when it passes [`sink_suite!`](crate::sink_suite) (feature `testkit`).
#[async_trait]
pub trait AuditSink: Send + Sync + 'static {
    /// Its name: short, and the same in each start. It is also the label of its metrics.
    fn name(&self) -> &SinkName;

    /// Takes events in order. `Ok(seq)`: everything up to and including `seq` is safe at the destination.
    ///
    /// # Errors
    /// [`SinkError`]; nothing is lost, since the caller's cursor stays.
    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError>;
}

#[async_trait]
impl<S: AuditSink + ?Sized> AuditSink for Arc<S> {
    fn name(&self) -> &SinkName {
        (**self).name()
    }
    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        (**self).write(events).await
    }
}
