//! A store in memory: for embedders who need none, and for tests. Everything is lost with the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    ALL_CHECKPOINTS, Batch, Bundle, ChallengeFilter, Challenges, Change, Collection, Document, DocumentKey, Documents,
    Fence, Journal, LeaseName, Leases, Log, LogHead, Page, Paged, ReaderName, ReplicaId, Sealing, Store, StoreError,
    StoredCheckpoint, TILE, Tile, Unsealed,
};
use crate::audit::AuditEvent;
use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::ChallengeId;
use crate::time::{Clock, SystemClock, Timestamp};

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    /// Of its leases.
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    order: BTreeMap<u64, ChallengeId>,
    challenges: HashMap<ChallengeId, (u64, Arc<ChallengeRecord>)>,
    documents: BTreeMap<DocumentKey, Document>,
    events: u64,
    journal: BTreeMap<u64, AuditEvent>,
    log: LogState,
    leases: HashMap<LeaseName, Lease>,
}

#[derive(Debug)]
struct LogState {
    head: LogHead,
    bundles: BTreeMap<u64, Bundle>,
    tiles: BTreeMap<(u8, u64), Tile>,
    checkpoints: BTreeMap<u64, StoredCheckpoint>,
    cursors: HashMap<ReaderName, u64>,
}

impl Default for LogState {
    fn default() -> Self {
        Self {
            head: LogHead::EMPTY,
            bundles: BTreeMap::new(),
            tiles: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            cursors: HashMap::new(),
        }
    }
}

#[derive(Debug)]
struct Lease {
    holder: ReplicaId,
    number: u64,
    until: Timestamp,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose own clock, by which leases end, is this one.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self { state: Mutex::default(), clock: Arc::new(clock) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_clock(SystemClock)
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

    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        let state = self.state();
        Ok(ids.iter().filter_map(|id| state.challenges.get(id)).map(|(_, record)| Arc::clone(record)).collect())
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
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        let state = self.state();
        let mut found = state.journal.range(page.after.map_or(0, |after| after.saturating_add(1))..);
        let limit = page.limit as usize;
        let items: Vec<_> =
            found.by_ref().take(limit).map(|(place, event)| Unsealed { place: *place, event: event.clone() }).collect();
        let next = found.next().and(items.last()).map(|last| last.place);
        Ok(Paged { next, items })
    }

    async fn unsealed_count(&self) -> Result<u64, StoreError> {
        Ok(self.state().journal.len() as u64)
    }
}

impl State {
    fn is_newest(&self, fence: &Fence) -> Result<(), StoreError> {
        let newest = self.leases.get(&fence.lease).map(|lease| lease.number);
        if newest == Some(fence.number) { Ok(()) } else { Err(StoreError::Conflict) }
    }
}

/// Of the checkpoints in bundles that a seal has moved far enough back only the last of each bundle stays.
fn thin(checkpoints: &mut BTreeMap<u64, StoredCheckpoint>, from: u64, to: u64) {
    let whole = |size: u64| size.saturating_sub(ALL_CHECKPOINTS) / TILE;
    for bundle in whole(from)..whole(to) {
        let sizes: Vec<_> = checkpoints.range(bundle * TILE + 1..=(bundle + 1) * TILE).map(|(size, _)| *size).collect();
        for size in sizes.iter().rev().skip(1) {
            checkpoints.remove(size);
        }
    }
}

#[async_trait]
impl Log for MemoryStore {
    async fn head(&self) -> Result<LogHead, StoreError> {
        Ok(self.state().log.head)
    }

    async fn bundles(&self, from: u64, limit: u32) -> Result<Vec<Bundle>, StoreError> {
        let state = self.state();
        Ok(state.log.bundles.range(from..).take(limit as usize).map(|(_, bundle)| bundle.clone()).collect())
    }

    async fn tile(&self, level: u8, number: u64) -> Result<Option<Tile>, StoreError> {
        Ok(self.state().log.tiles.get(&(level, number)).cloned())
    }

    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let state = self.state();
        Ok(state.log.checkpoints.range(from..).take(limit as usize).map(|(_, one)| one.clone()).collect())
    }

    async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        Ok(self.state().log.checkpoints.last_key_value().map(|(_, one)| one.clone()))
    }

    async fn seal(&self, fence: &Fence, sealing: Sealing) -> Result<(), StoreError> {
        let mut state = self.state();
        state.is_newest(fence)?;
        let waiting = sealing.places.iter().all(|place| state.journal.contains_key(place));
        if state.log.head != sealing.from || !waiting {
            return Err(StoreError::Conflict);
        }
        for place in &sealing.places {
            state.journal.remove(place);
        }
        let log = &mut state.log;
        log.head = sealing.to;
        log.bundles.extend(sealing.bundles.into_iter().map(|bundle| (bundle.number, bundle)));
        log.tiles.extend(sealing.tiles.into_iter().map(|tile| ((tile.level, tile.number), tile)));
        thin(&mut log.checkpoints, sealing.from.size, sealing.to.size);
        log.checkpoints.extend(sealing.checkpoint.into_iter().map(|one| (one.size, one)));
        Ok(())
    }

    async fn erase(&self, number: u64, from: &[u8], to: Vec<u8>) -> Result<(), StoreError> {
        let mut state = self.state();
        let log = &mut state.log;
        let bundle = log.bundles.get_mut(&number).filter(|bundle| bundle.personal == from);
        bundle.ok_or(StoreError::Conflict)?.personal = to;
        log.head.erasures += 1;
        Ok(())
    }

    async fn prune(&self, fence: &Fence, below: u64) -> Result<u64, StoreError> {
        let mut state = self.state();
        state.is_newest(fence)?;
        let log = &mut state.log;
        let below = below.min(log.head.size / TILE);
        let kept = log.bundles.split_off(&below);
        let gone = std::mem::replace(&mut log.bundles, kept).len() as u64;
        log.tiles.retain(|(level, number), _| *level > 0 || *number >= below);
        let last = log.checkpoints.last_key_value().map(|(size, _)| *size);
        log.checkpoints.retain(|size, _| *size > below * TILE || Some(*size) == last);
        log.cursors.retain(|_, entries| *entries >= below * TILE);
        Ok(gone)
    }

    async fn cursor(&self, reader: &ReaderName) -> Result<u64, StoreError> {
        Ok(self.state().log.cursors.get(reader).copied().unwrap_or(0))
    }

    async fn advance(&self, fence: &Fence, reader: &ReaderName, to: u64) -> Result<(), StoreError> {
        let mut state = self.state();
        state.is_newest(fence)?;
        state.log.cursors.insert(reader.clone(), to);
        Ok(())
    }
}

#[async_trait]
impl Leases for MemoryStore {
    async fn hold(&self, lease: &LeaseName, holder: &ReplicaId, ttl: Duration) -> Result<Option<Fence>, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        let number = match state.leases.get(lease) {
            Some(held) if held.holder == *holder => held.number,
            Some(held) if held.until > now => return Ok(None),
            held => held.map_or(0, |held| held.number) + 1,
        };
        state.leases.insert(lease.clone(), Lease { holder: holder.clone(), number, until: now + ttl });
        Ok(Some(Fence { lease: lease.clone(), holder: holder.clone(), number }))
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(held) = state.leases.get_mut(&fence.lease).filter(|held| held.number == fence.number) {
            held.until = Timestamp::default();
        }
        Ok(())
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
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
        for event in batch.events {
            state.events += 1;
            let place = state.events;
            state.journal.insert(place, event);
        }
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
