//! A store that is shared is a store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{
    Batch, Bundle, ChallengeFilter, Challenges, Collection, Document, DocumentKey, Documents, Fence, Journal,
    LeaseName, Leases, Log, LogHead, Nudge, Page, Paged, ReaderName, ReplicaId, Sealing, Store, StoreError,
    StoredCheckpoint, Tile, Unsealed,
};
use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::ChallengeId;
use crate::time::Timestamp;

#[async_trait]
impl<S: Store + ?Sized> Challenges for Arc<S> {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        (**self).challenge(id).await
    }
    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        (**self).challenges_by_id(ids).await
    }
    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        (**self).challenge_by_code(code).await
    }
    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        (**self).challenges(filter, page).await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Documents for Arc<S> {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        (**self).document(key, now).await
    }
    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        (**self).documents(of, now, page).await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Journal for Arc<S> {
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        (**self).unsealed(page).await
    }
    async fn unsealed_count(&self) -> Result<u64, StoreError> {
        (**self).unsealed_count().await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Log for Arc<S> {
    async fn head(&self) -> Result<LogHead, StoreError> {
        (**self).head().await
    }
    async fn bundles(&self, from: u64, limit: u32) -> Result<Vec<Bundle>, StoreError> {
        (**self).bundles(from, limit).await
    }
    async fn tile(&self, level: u8, number: u64) -> Result<Option<Tile>, StoreError> {
        (**self).tile(level, number).await
    }
    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
        (**self).checkpoints(from, limit).await
    }
    async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        (**self).last_checkpoint().await
    }
    async fn seal(&self, fence: &Fence, sealing: Sealing) -> Result<(), StoreError> {
        (**self).seal(fence, sealing).await
    }
    async fn erase(&self, number: u64, from: &[u8], to: Vec<u8>) -> Result<(), StoreError> {
        (**self).erase(number, from, to).await
    }
    async fn prune(&self, fence: &Fence, below: u64) -> Result<u64, StoreError> {
        (**self).prune(fence, below).await
    }
    async fn cursor(&self, reader: &ReaderName) -> Result<u64, StoreError> {
        (**self).cursor(reader).await
    }
    async fn advance(&self, fence: &Fence, reader: &ReaderName, to: u64) -> Result<(), StoreError> {
        (**self).advance(fence, reader, to).await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Leases for Arc<S> {
    async fn hold(&self, lease: &LeaseName, holder: &ReplicaId, ttl: Duration) -> Result<Option<Fence>, StoreError> {
        (**self).hold(lease, holder, ttl).await
    }
    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        (**self).release(fence).await
    }
    async fn clock(&self) -> Result<Timestamp, StoreError> {
        (**self).clock().await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        (**self).commit(batch).await
    }
    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        (**self).sweep(now, settled_before, limit).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        (**self).probe().await
    }
    fn nudges(&self) -> Option<broadcast::Receiver<Nudge>> {
        (**self).nudges()
    }
}
