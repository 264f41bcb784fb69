//! What a batch writes, encoded by the caller so that the one writer does not have to.

use std::sync::Arc;

use serde::Serialize;

use crate::audit::AuditEvent;
use crate::challenge::ChallengeRecord;
use crate::id::{ChallengeId, EventId};
use crate::store::{Batch, Change, DocumentKey, Put, StoreError};
use crate::time::Timestamp;

/// A question's row.
#[derive(Debug)]
pub(super) struct ChallengeRow {
    pub(super) record: Arc<ChallengeRecord>,
    pub(super) revision: i64,
    pub(super) json: String,
}

impl ChallengeRow {
    pub(super) fn id(&self) -> &[u8] {
        self.record.question().id.as_bytes()
    }

    pub(super) fn settled_at_ms(&self) -> Option<i64> {
        self.record.settled_at().map(Timestamp::as_millis)
    }
}

/// A row of the journal.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) id: EventId,
    pub(super) json: String,
}

/// One encoded change.
#[derive(Debug)]
pub(super) enum RowChange {
    Open(ChallengeRow),
    Advance(ChallengeRow),
    Forget(ChallengeId),
    Document { key: DocumentKey, expect: Option<i64>, put: Option<Put> },
}

/// One encoded batch.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) changes: Vec<RowChange>,
    pub(super) events: Vec<EventRow>,
    /// Whether it is there to see if the disk takes a write.
    pub(super) probe: bool,
}

impl Write {
    /// Encodes a batch.
    pub(super) fn encode(batch: Batch) -> Result<Self, StoreError> {
        let changes = batch.changes.into_iter().map(change).collect::<Result<_, _>>().map_err(unwritable)?;
        let events = batch.events.iter().map(event).collect::<Result<_, _>>().map_err(unwritable)?;
        Ok(Self { changes, events, probe: false })
    }

    /// Whether PostgreSQL could not take it: a NUL in a key (what becomes JSON has it escaped), a key longer than it may be, more events
    /// than there are places for.
    #[cfg(feature = "postgres")]
    pub(super) fn is_untakable(&self, events: usize) -> bool {
        let key = |key: &str| key.contains('\0') || key.len() > 512;
        self.events.len() > events
            || self
                .changes
                .iter()
                .any(|change| matches!(change, RowChange::Document { key: named, .. } if key(&named.key)))
    }

    /// Writes nothing that anybody reads, durably.
    pub(super) const fn probe() -> Self {
        Self { changes: Vec::new(), events: Vec::new(), probe: true }
    }
}

fn unwritable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable(error.into())
}

type Encoded<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn change(change: Change) -> Encoded<RowChange> {
    Ok(match change {
        Change::Open(record) => RowChange::Open(challenge(record)?),
        Change::Advance(record) => RowChange::Advance(challenge(record)?),
        Change::Forget(id) => RowChange::Forget(id),
        Change::Document { key, expect, put } => {
            let expect = expect.map(i64::try_from).transpose()?;
            RowChange::Document { key, expect, put }
        }
    })
}

fn challenge(record: Arc<ChallengeRecord>) -> Encoded<ChallengeRow> {
    Ok(ChallengeRow { revision: i64::try_from(record.revision())?, json: json(&*record, 1024)?, record })
}

fn event(event: &AuditEvent) -> Encoded<EventRow> {
    Ok(EventRow { id: event.id, json: json(event, 512)? })
}

/// The JSON of a value, which is likely to fit into so many bytes: grown step by step it would be copied several times.
fn json(value: &impl Serialize, bytes: usize) -> Encoded<String> {
    let mut out = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut out, value)?;
    Ok(String::from_utf8(out)?)
}
