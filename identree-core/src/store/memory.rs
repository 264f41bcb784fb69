//! A store in memory: for embedders who need none, and for tests. Everything is lost with the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Batch, ChallengeFilter, Challenges, Change, Collection, Document, DocumentKey, Documents, Journal, Page, Paged,
    Store, StoreError,
};
use crate::audit::AuditEvent;
use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::ChallengeId;
use crate::time::Timestamp;

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    order: BTreeMap<u64, ChallengeId>,
    challenges: HashMap<ChallengeId, (u64, Arc<ChallengeRecord>)>,
    documents: BTreeMap<DocumentKey, Document>,
    journal: Vec<AuditEvent>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn alive(document: &Document, now: Timestamp) -> bool {
    document.expires_at.is_none_or(|end| now < end)
}

impl State {
    fn fits(&self, change: &Change) -> bool {
        match change {
            Change::Open(record) => !self.challenges.contains_key(&record.question().id),
            Change::Advance(record) => self
                .challenges
                .get(&record.question().id)
                .is_some_and(|(_, stored)| stored.revision() + 1 == record.revision()),
            Change::Forget(_) => true,
            Change::Document { key, expect, .. } => {
                self.documents.get(key).map(|document| document.revision) == *expect
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Open(record) => {
                self.next += 1;
                self.order.insert(self.next, record.question().id);
                self.challenges.insert(record.question().id, (self.next, record));
            }
            Change::Advance(record) => {
                if let Some(slot) = self.challenges.get_mut(&record.question().id) {
                    slot.1 = record;
                }
            }
            Change::Forget(id) => {
                if let Some((at, _)) = self.challenges.remove(&id) {
                    self.order.remove(&at);
                }
            }
            Change::Document { key, expect, put: Some(put) } => {
                let document = Document {
                    key: key.key.clone(),
                    revision: expect.unwrap_or(0) + 1,
                    expires_at: put.expires_at,
                    bytes: put.bytes,
                };
                self.documents.insert(key, document);
            }
            Change::Document { key, put: None, .. } => {
                self.documents.remove(&key);
            }
        }
    }
}

#[async_trait]
impl Challenges for MemoryStore {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        Ok(self.state().challenges.get(&id).map(|(_, record)| Arc::clone(record)))
    }

    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        let state = self.state();
        let found = state.challenges.values().filter(|(_, record)| record.question().code == *code);
        Ok(found.max_by_key(|(at, _)| *at).map(|(_, record)| Arc::clone(record)))
    }

    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        let state = self.state();
        let mut found = state
            .order
            .range(..page.after.unwrap_or(u64::MAX))
            .rev()
            .filter_map(|(at, id)| state.challenges.get(id).map(|(_, record)| (*at, record)))
            .filter(|(_, record)| filter.pending.is_none_or(|pending| pending == record.is_pending()))
            .filter(|(_, record)| filter.requester.as_ref().is_none_or(|name| *name == record.question().requester));
        let limit = page.limit as usize;
        let items: Vec<_> = found.by_ref().take(limit).collect();
        let next = found.next().and(items.last()).map(|(at, _)| *at);
        Ok(Paged { items: items.into_iter().map(|(_, record)| Arc::clone(record)).collect(), next })
    }
}

#[async_trait]
impl Documents for MemoryStore {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        Ok(self.state().documents.get(key).filter(|document| alive(document, now)).cloned())
    }

    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        let state = self.state();
        let skip = usize::try_from(page.after.unwrap_or(0)).unwrap_or(usize::MAX);
        let mut found = state
            .documents
            .range(DocumentKey::new(of, "")..)
            .take_while(|(key, _)| key.collection == of)
            .filter(|(_, document)| alive(document, now))
            .skip(skip);
        let items: Vec<_> = found.by_ref().take(page.limit as usize).map(|(_, document)| document.clone()).collect();
        let next = found.next().map(|_| (skip + items.len()) as u64);
        Ok(Paged { items, next })
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn unsealed(&self, page: Page) -> Result<Paged<AuditEvent>, StoreError> {
        let state = self.state();
        let skip = usize::try_from(page.after.unwrap_or(0)).unwrap_or(usize::MAX);
        let items: Vec<_> = state.journal.iter().skip(skip).take(page.limit as usize).cloned().collect();
        let end = skip.saturating_add(items.len());
        Ok(Paged { next: (end < state.journal.len()).then_some(end as u64), items })
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.state();
        if batch.repeats() || !batch.changes.iter().all(|change| state.fits(change)) {
            return Err(StoreError::Conflict);
        }
        for change in batch.changes {
            state.apply(change);
        }
        state.journal.extend(batch.events);
        Ok(())
    }

    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut state = self.state();
        let limit = limit as usize;
        let over: Vec<_> =
            state.documents.iter().filter(|(_, d)| !alive(d, now)).take(limit).map(|(key, _)| key.clone()).collect();
        let settled = |record: &ChallengeRecord| record.settled_at().is_some_and(|at| at < settled_before);
        let old: Vec<_> =
            state.challenges.iter().filter(|(_, (_, r))| settled(r)).take(limit).map(|(id, _)| *id).collect();
        let gone = over.len() + old.len();
        for key in over {
            state.documents.remove(&key);
        }
        for id in old {
            state.apply(Change::Forget(id));
        }
        Ok(gone as u64)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
