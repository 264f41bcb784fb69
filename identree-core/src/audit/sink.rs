//! Where sealed events go: the contract. Sealing and delivery arrive with the verifiable log.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::AuditEvent;
use crate::retry::Retry;

/// The position of an event in the sealed log, without gaps, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventSeq(pub u64);

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvent {
    /// Its place.
    pub seq: EventSeq,
    /// What happened.
    pub event: AuditEvent,
}

/// The name of a sink: its cursor is kept under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SinkName(pub Box<str>);

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The destination did not take the events. The text never holds a credential.
#[derive(Debug, thiserror::Error)]
#[error("the audit sink did not take the events: {text}")]
pub struct SinkError {
    /// What went wrong.
    pub text: String,
    /// Whether the same events may be offered again.
    pub retry: Retry,
}

/// A destination of the audit log.
#[async_trait]
pub trait AuditSink: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &SinkName;

    /// Takes events in order. `Ok(seq)`: everything up to and including `seq` is safe at the destination. The same event
    /// may be offered again; its `seq` tells.
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
