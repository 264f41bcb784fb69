//! The sealed log and the leases. (This file is about to be written: nothing calls it yet.)

use std::time::Duration;

use async_trait::async_trait;

use super::SqliteStore;
use crate::store::{
    Bundle, Fence, LeaseName, Leases, Log, LogHead, ReaderName, ReplicaId, Sealing, StoreError, StoredCheckpoint, Tile,
};
use crate::time::{Clock as _, SystemClock, Timestamp};

fn not_yet() -> StoreError {
    StoreError::Unavailable("this store does not seal yet".into())
}

#[async_trait]
impl Log for SqliteStore {
    async fn head(&self) -> Result<LogHead, StoreError> {
        Err(not_yet())
    }
    async fn bundles(&self, _: u64, _: u32) -> Result<Vec<Bundle>, StoreError> {
        Ok(Vec::new())
    }
    async fn tile(&self, _: u8, _: u64) -> Result<Option<Tile>, StoreError> {
        Err(not_yet())
    }
    async fn checkpoints(&self, _: u64, _: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
        Err(not_yet())
    }
    async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        Err(not_yet())
    }
    async fn seal(&self, _: &Fence, _: Sealing) -> Result<(), StoreError> {
        Err(not_yet())
    }
    async fn erase(&self, _: u64, _: &[u8], _: Vec<u8>) -> Result<(), StoreError> {
        Err(not_yet())
    }
    async fn prune(&self, _: &Fence, _: u64) -> Result<u64, StoreError> {
        Err(not_yet())
    }
    async fn cursor(&self, _: &ReaderName) -> Result<u64, StoreError> {
        Err(not_yet())
    }
    async fn advance(&self, _: &Fence, _: &ReaderName, _: u64) -> Result<(), StoreError> {
        Err(not_yet())
    }
}

#[async_trait]
impl Leases for SqliteStore {
    async fn hold(&self, _: &LeaseName, _: &ReplicaId, _: Duration) -> Result<Option<Fence>, StoreError> {
        Err(not_yet())
    }
    async fn release(&self, _: &Fence) -> Result<(), StoreError> {
        Err(not_yet())
    }
    async fn clock(&self) -> Result<Timestamp, StoreError> {
        Ok(SystemClock.now())
    }
}
