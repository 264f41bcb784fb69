//! What one channel was told of one question: kept as a document, so that a restart repeats nothing.

use serde::{Deserialize, Serialize};

use super::DeliveryRef;
use crate::audit::AuditEvent;
use crate::challenge::ChallengeRecord;
use crate::id::{ChallengeId, ChannelName};
use crate::store::{Batch, Change, Collection, Document, DocumentKey, Put, StoreError};
use crate::time::Timestamp;

/// One document per question and channel, from the first outcome until the question's end was told.
pub(super) const DELIVERIES: Collection = Collection("deliveries");

/// How far a question has come, as a notice shows it: a mistyped number is no news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    settled: bool,
    approvals: usize,
}

impl Progress {
    pub(super) fn of(record: &ChallengeRecord) -> Self {
        Self { settled: !record.is_pending(), approvals: record.votes().len() }
    }
}

/// What the channel was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivery {
    /// Up to where the channel was told, or was given up on.
    done: Option<Progress>,
    /// Whether anything was delivered.
    told: bool,
    /// What the last delivery left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The revision of the document.
    #[serde(skip)]
    stored: Option<u64>,
}

/// What is to be done for a question on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is news.
    Tell,
    /// Nothing until the question changes.
    Rest,
    /// Nothing any more.
    Over,
}

impl Delivery {
    pub(super) fn key(id: ChallengeId, channel: &ChannelName) -> DocumentKey {
        DocumentKey::new(DELIVERIES, format!("{id}/{channel}"))
    }

    /// The question that a document is about.
    pub(super) fn question(document: &Document) -> Option<ChallengeId> {
        document.key.split_once('/').and_then(|(id, _)| ChallengeId::parse(id).ok())
    }

    pub(super) fn read(document: Option<&Document>) -> Result<Self, StoreError> {
        let Some(document) = document else {
            return Ok(Self::default());
        };
        let corrupt = |error| StoreError::Corrupt { table: DELIVERIES.0, source: Box::new(error) };
        let read: Self = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
        Ok(Self { stored: Some(document.revision), ..read })
    }

    pub(super) const fn told(&self) -> bool {
        self.told
    }

    pub(super) fn prior(&self) -> Option<DeliveryRef> {
        self.reference.clone().map(DeliveryRef)
    }

    /// What to do now. Who was never told of a question is not told of its end.
    pub(super) fn next(&self, record: &ChallengeRecord) -> Next {
        let settled = !record.is_pending();
        if self.done == Some(Progress::of(record)) {
            return if settled { Next::Over } else { Next::Rest };
        }
        if settled && !self.told { Next::Over } else { Next::Tell }
    }

    /// Afterwards: the notice arrived.
    pub(super) fn delivered(&self, record: &ChallengeRecord, reference: Option<DeliveryRef>) -> Self {
        let reference = reference.map(|reference| reference.0).or_else(|| self.reference.clone());
        Self { done: Some(Progress::of(record)), told: true, reference, stored: self.stored }
    }

    /// Afterwards: the notice was given up on.
    pub(super) fn given_up(&self, record: &ChallengeRecord) -> Self {
        Self { done: Some(Progress::of(record)), ..self.clone() }
    }

    /// This state as the next of the document, with its event, and this state once that is committed. What is over needs no
    /// document.
    pub(super) fn commit(
        mut self,
        record: &ChallengeRecord,
        channel: &ChannelName,
        ends: Timestamp,
        event: AuditEvent,
    ) -> Result<(Batch, Self), serde_json::Error> {
        let (key, expect) = (Self::key(record.question().id, channel), self.stored);
        if !record.is_pending() && expect.is_none() {
            return Ok((Batch::event(event), self));
        }
        let put = match record.is_pending() {
            true => Some(Put { bytes: serde_json::to_vec(&self)?, expires_at: Some(ends) }),
            false => None,
        };
        self.stored = put.is_some().then(|| expect.unwrap_or(0) + 1);
        Ok((Batch::of(Change::Document { key, expect, put }, event), self))
    }
}
