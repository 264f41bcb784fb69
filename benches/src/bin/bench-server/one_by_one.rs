//! A store whose commits are let through one at a time, so that each is a transaction of its own: the yardstick of group commit.

use std::sync::Arc;

use async_trait::async_trait;
use identree_core::challenge::{ChallengeRecord, UserCode};
use identree_core::id::ChallengeId;
use identree_core::store::{
    Batch, ChallengeFilter, Challenges, Collection, Document, DocumentKey, Documents, Journal, Page, Paged, Store,
    StoreError, Unsealed,
};
use identree_core::time::Timestamp;
use tokio::sync::Mutex;

pub(super) struct OneByOne {
    inner: Arc<dyn Store>,
    turn: Mutex<()>,
}

impl OneByOne {
    pub(super) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, turn: Mutex::default() }
    }
}

#[async_trait]
impl Challenges for OneByOne {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenge(id).await
    }
    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenges_by_id(ids).await
    }
    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenge_by_code(code).await
    }
    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenges(filter, page).await
    }
}

#[async_trait]
impl Documents for OneByOne {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        self.inner.document(key, now).await
    }
    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        self.inner.documents(of, now, page).await
    }
}

#[async_trait]
impl Journal for OneByOne {
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        self.inner.unsealed(page).await
    }
}

#[async_trait]
impl Store for OneByOne {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        self.inner.commit(batch).await
    }
    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.inner.sweep(now, settled_before, limit).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }
}

identree_core::forward_log!(OneByOne => inner);
