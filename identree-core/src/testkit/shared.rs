//! One store that several servers share, in memory: what each commits, the others are told of. It can be told to behave as a
//! bad network does, by a seed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::ChallengeId;
use crate::rng::{SeededEntropy, bytes};
use crate::store::{
    Batch, ChallengeFilter, Challenges, Change, Collection, Document, DocumentKey, Documents, Journal, MemoryStore,
    Nudge, Page, Paged, Store, StoreError, Unsealed,
};
use crate::time::{Clock, Timestamp};

/// How many nudges a handle may be behind.
const ROOM: usize = 1024;

/// The store. Each server gets a [`handle`](Self::handle) of its own.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: MemoryStore,
    lines: Mutex<Vec<Line>>,
    mischief: Option<SeededEntropy>,
}

/// The way to one server.
#[derive(Debug)]
struct Line {
    nudges: broadcast::Sender<Nudge>,
    late: Vec<Nudge>,
    missed: bool,
    cut: Arc<AtomicBool>,
}

/// What becomes of a nudge.
enum Fate {
    Arrives,
    ArrivesTwice,
    IsLate,
    IsLost,
}

impl Shared {
    /// Over this clock, which is the store's. Every nudge arrives at once.
    pub fn new(clock: impl Clock) -> Self {
        Self(Arc::new(Inner { store: MemoryStore::with_clock(clock), lines: Mutex::default(), mischief: None }))
    }

    /// As [`new`](Self::new), but nudges are delayed, doubled, swapped and lost. A loss is told, later.
    pub fn mischievous(clock: impl Clock, seed: u64) -> Self {
        let mischief = Some(SeededEntropy::new(seed));
        Self(Arc::new(Inner { store: MemoryStore::with_clock(clock), lines: Mutex::default(), mischief }))
    }

    /// One server's own way to the store.
    pub fn handle(&self) -> Handle {
        let mut lines = self.0.lines();
        let (nudges, cut) = (broadcast::Sender::new(ROOM), Arc::new(AtomicBool::new(false)));
        lines.push(Line { nudges: nudges.clone(), late: Vec::new(), missed: false, cut: Arc::clone(&cut) });
        let number = lines.len() - 1;
        Handle { inner: Arc::clone(&self.0), nudges, number, cut, reads: Arc::default() }
    }

    /// Delivers everything that is late, and says where something was lost.
    pub fn settle(&self) {
        for line in self.0.lines().iter_mut() {
            line.deliver_late();
        }
    }

    /// The store itself.
    pub fn store(&self) -> &MemoryStore {
        &self.0.store
    }
}

impl Line {
    fn send(&self, nudge: Nudge) {
        let _ = self.nudges.send(nudge); // Err: nobody follows
    }

    fn deliver_late(&mut self) {
        if self.cut.load(Ordering::Relaxed) {
            return;
        }
        while let Some(nudge) = self.late.pop() {
            self.send(nudge);
        }
        if std::mem::take(&mut self.missed) {
            self.send(Nudge::Missed);
        }
    }

    fn deliver(&mut self, nudge: Nudge, fate: &Fate) {
        if self.cut.load(Ordering::Relaxed) {
            self.missed = true;
            return;
        }
        match fate {
            Fate::Arrives => self.send(nudge),
            Fate::ArrivesTwice => {
                self.send(nudge.clone());
                self.send(nudge);
            }
            Fate::IsLate => self.late.push(nudge),
            Fate::IsLost => self.missed = true,
        }
    }
}

impl Inner {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roll(&self) -> u8 {
        self.mischief.as_ref().map_or(0, |entropy| bytes::<1>(entropy)[0] % 16)
    }

    fn fate(&self) -> Fate {
        match self.roll() {
            0..=8 => Fate::Arrives,
            9..=11 => Fate::ArrivesTwice,
            12..=13 => Fate::IsLate,
            _ => Fate::IsLost,
        }
    }

    /// Tells everybody else.
    fn tell(&self, from: usize, nudges: &HashSet<Nudge>) {
        let mut lines = self.lines();
        for (_, line) in lines.iter_mut().enumerate().filter(|(number, _)| *number != from) {
            for nudge in nudges {
                line.deliver(nudge.clone(), &self.fate());
            }
            if self.roll() > 12 {
                line.deliver_late();
            }
        }
    }
}

/// The way of one server to the shared store.
#[derive(Debug, Clone)]
pub struct Handle {
    inner: Arc<Inner>,
    nudges: broadcast::Sender<Nudge>,
    number: usize,
    cut: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
}

impl Handle {
    /// Nothing gets through any more.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Everything gets through again; that something was missed is told.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
        let mut lines = self.inner.lines();
        lines[self.number].missed = true;
        lines[self.number].deliver_late();
    }

    /// How many calls have read questions so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn through(&self) -> Result<&MemoryStore, StoreError> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the network is cut".into()));
        }
        Ok(&self.inner.store)
    }

    fn read(&self) -> Result<&MemoryStore, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.through()
    }
}

fn nudge(change: &Change) -> Nudge {
    match change {
        Change::Open(record) | Change::Advance(record) => Nudge::Question(record.question().id),
        Change::Forget(id) => Nudge::Question(*id),
        Change::Document { key, .. } => Nudge::Document { collection: key.collection.0.into(), key: key.key.clone() },
    }
}

#[async_trait]
impl Store for Handle {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let nudges = batch.changes().iter().map(nudge).collect();
        self.through()?.commit(batch).await?;
        self.inner.tell(self.number, &nudges);
        // Whoever waits for the answer gets it after others may have acted on the nudge.
        for _ in 0..self.inner.roll() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.through()?.sweep(now, settled_before, limit).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.through()?.probe().await
    }

    fn nudges(&self) -> Option<broadcast::Receiver<Nudge>> {
        Some(self.nudges.subscribe())
    }
}

#[async_trait]
impl Challenges for Handle {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        let found = self.read()?.challenge(id).await;
        // Whoever reads gets the answer after others may have changed what it says.
        for _ in 0..self.inner.roll() {
            tokio::task::yield_now().await;
        }
        found
    }

    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        self.read()?.challenges_by_id(ids).await
    }

    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        self.read()?.challenge_by_code(code).await
    }

    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        self.read()?.challenges(filter, page).await
    }
}

#[async_trait]
impl Documents for Handle {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        self.through()?.document(key, now).await
    }

    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        self.through()?.documents(of, now, page).await
    }
}

#[async_trait]
impl Journal for Handle {
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        self.through()?.unsealed(page).await
    }
}

mod sealed {
    //! The rest goes through as it is.

    use std::time::Duration;

    use super::{Handle, StoreError, Timestamp, async_trait};
    use crate::store::{
        Bundle, Fence, LeaseName, Leases, Log, LogHead, ReaderName, ReplicaId, Sealing, StoredCheckpoint, Tile,
    };

    #[async_trait]
    impl Log for Handle {
        async fn head(&self) -> Result<LogHead, StoreError> {
            self.through()?.head().await
        }
        async fn bundles(&self, from: u64, limit: u32) -> Result<Vec<Bundle>, StoreError> {
            self.through()?.bundles(from, limit).await
        }
        async fn tile(&self, level: u8, number: u64) -> Result<Option<Tile>, StoreError> {
            self.through()?.tile(level, number).await
        }
        async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
            self.through()?.checkpoints(from, limit).await
        }
        async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
            self.through()?.last_checkpoint().await
        }
        async fn seal(&self, fence: &Fence, sealing: Sealing) -> Result<(), StoreError> {
            self.through()?.seal(fence, sealing).await
        }
        async fn erase(&self, number: u64, from: &[u8], to: Vec<u8>) -> Result<(), StoreError> {
            self.through()?.erase(number, from, to).await
        }
        async fn prune(&self, fence: &Fence, below: u64) -> Result<u64, StoreError> {
            self.through()?.prune(fence, below).await
        }
        async fn cursor(&self, reader: &ReaderName) -> Result<u64, StoreError> {
            self.through()?.cursor(reader).await
        }
        async fn advance(&self, fence: &Fence, reader: &ReaderName, to: u64) -> Result<(), StoreError> {
            self.through()?.advance(fence, reader, to).await
        }
    }

    #[async_trait]
    impl Leases for Handle {
        async fn hold(
            &self,
            lease: &LeaseName,
            holder: &ReplicaId,
            ttl: Duration,
        ) -> Result<Option<Fence>, StoreError> {
            self.through()?.hold(lease, holder, ttl).await
        }
        async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
            self.through()?.release(fence).await
        }
        async fn clock(&self) -> Result<Timestamp, StoreError> {
            self.through()?.clock().await
        }
    }
}
