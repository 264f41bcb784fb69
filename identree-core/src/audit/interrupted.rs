//! A store that interrupts its callers anywhere, by seed: for simulations.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::ChallengeId;
use crate::rng::{self, SeededEntropy};
use crate::store::{
    Batch, Bundle, ChallengeFilter, Collection, Document, DocumentKey, Fence, LeaseName, LogHead, MemoryStore, Page,
    Paged, ReaderName, ReplicaId, Sealing, StoreError, StoredCheckpoint, Tile, Unsealed,
};
use crate::time::Timestamp;

/// A store at whose every call the caller may be interrupted, before and after; and that fails now and then, in either place.
pub(super) struct Interrupted {
    pub(super) inner: Arc<MemoryStore>,
    pub(super) dice: Arc<Dice>,
}

/// The same seed, the same run.
pub(super) struct Dice(pub(super) SeededEntropy);

impl Dice {
    pub(super) fn below(&self, n: u64) -> u64 {
        u64::from_le_bytes(rng::bytes(&self.0)) % n
    }
}

impl Interrupted {
    async fn at<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::task::yield_now().await;
        let failure = || if self.dice.below(60) == 0 { Err(StoreError::Unavailable("cut off".into())) } else { Ok(()) };
        failure()?;
        let result = call.await;
        tokio::task::yield_now().await;
        failure()?; // done, but nobody is told
        result
    }
}

macro_rules! interrupted {
    ($($trait:ident { $($call:ident($($argument:ident: $type:ty),*) -> $result:ty;)* })*) => {$(
        #[async_trait]
        impl crate::store::$trait for Interrupted {
            $(async fn $call(&self, $($argument: $type),*) -> Result<$result, StoreError> {
                self.at(self.inner.$call($($argument),*)).await
            })*
        }
    )*};
}

type Record = Arc<ChallengeRecord>;

interrupted! {
    Challenges {
        challenge(id: ChallengeId) -> Option<Record>;
        challenges_by_id(ids: &[ChallengeId]) -> Vec<Record>;
        challenge_by_code(code: &UserCode) -> Option<Record>;
        challenges(filter: &ChallengeFilter, page: Page) -> Paged<Record>;
    }
    Documents {
        document(key: &DocumentKey, now: Timestamp) -> Option<Document>;
        documents(of: Collection, now: Timestamp, page: Page) -> Paged<Document>;
    }
    Journal { unsealed(page: Page) -> Paged<Unsealed>; }
    Log {
        head() -> LogHead;
        bundles(from: u64, limit: u32) -> Vec<Bundle>;
        tile(level: u8, number: u64) -> Option<Tile>;
        checkpoints(from: u64, limit: u32) -> Vec<StoredCheckpoint>;
        last_checkpoint() -> Option<StoredCheckpoint>;
        seal(fence: &Fence, sealing: Sealing) -> ();
        erase(number: u64, from: &[u8], to: Vec<u8>) -> ();
        prune(fence: &Fence, below: u64) -> u64;
        cursor(reader: &ReaderName) -> u64;
        advance(fence: &Fence, reader: &ReaderName, to: u64) -> ();
    }
    Leases {
        hold(lease: &LeaseName, holder: &ReplicaId, ttl: Duration) -> Option<Fence>;
        release(fence: &Fence) -> ();
        clock() -> Timestamp;
    }
    Store {
        commit(batch: Batch) -> ();
        sweep(now: Timestamp, settled_before: Timestamp, limit: u32) -> u64;
        probe() -> ();
    }
}

/// Tells the seed of a run that fails.
pub(super) struct Told(pub(super) u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", self.0);
        }
    }
}
