//! What is remembered of a session never outlives it.

use std::sync::Arc;

use async_trait::async_trait;
use identree_core::challenge::{ChallengeRecord, UserCode};
use identree_core::id::ChallengeId;
use identree_core::rng::SeededEntropy;
use identree_core::store::{
    ChallengeFilter, Challenges, Document, Documents, Journal, MemoryStore, Page, Paged, Store, Unsealed,
};
use identree_core::testkit::fakes::user;
use identree_core::time::{Clock as _, ManualClock};
use tokio::sync::Semaphore;

use super::known::TRUST;
use super::*;

/// Counts what is read of documents, and hands each out only when it is let.
struct Slow {
    inner: MemoryStore,
    asked: Semaphore,
    let_through: Semaphore,
}

impl Slow {
    fn open() -> Self {
        Self { inner: MemoryStore::new(), asked: Semaphore::new(0), let_through: Semaphore::new(1000) }
    }
}

#[async_trait]
impl Documents for Slow {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        let read = self.inner.document(key, now).await;
        self.asked.add_permits(1);
        self.let_through.acquire().await.unwrap().forget();
        read
    }
    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        self.inner.documents(of, now, page).await
    }
}

#[async_trait]
impl Challenges for Slow {
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenge(id).await
    }
    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenges_by_id(ids).await
    }
    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenge_by_code(code).await
    }
    async fn challenges(&self, of: &ChallengeFilter, page: Page) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
        self.inner.challenges(of, page).await
    }
}

#[async_trait]
impl Journal for Slow {
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        self.inner.unsealed(page).await
    }
}

#[async_trait]
impl Store for Slow {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.inner.commit(batch).await
    }
    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.inner.sweep(now, settled_before, limit).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }
}

identree_core::forward_log!(Slow => inner);

struct Rig {
    store: Arc<Slow>,
    clock: Arc<ManualClock>,
}

impl Rig {
    fn new() -> Self {
        Self { store: Arc::new(Slow::open()), clock: Arc::default() }
    }

    /// The sessions as one process sees them.
    fn process(&self, seed: u64) -> Sessions {
        let (store, clock) = (Arc::clone(&self.store) as Arc<dyn Store>, Arc::clone(&self.clock) as _);
        Sessions::new(Parts { store, clock, entropy: Arc::new(SeededEntropy::new(seed)) })
    }

    async fn begin(&self, sessions: &Sessions) -> String {
        let (token, change) = sessions.begin(user("ann"), self.clock.now()).unwrap();
        self.store.commit(Batch::unrecorded(vec![change])).await.unwrap();
        token.reveal().to_owned()
    }
}

async fn lives(sessions: &Sessions, token: &str) -> bool {
    sessions.find(token).await.unwrap().is_some()
}

#[tokio::test]
async fn a_session_is_read_once_a_second() {
    let rig = Rig::new();
    let sessions = rig.process(1);
    let token = rig.begin(&sessions).await;
    for _ in 0..5 {
        assert!(lives(&sessions, &token).await);
    }
    assert_eq!(rig.store.asked.available_permits(), 1);
    rig.clock.advance(TRUST);
    assert!(lives(&sessions, &token).await);
    assert_eq!(rig.store.asked.available_permits(), 2);
}

#[tokio::test]
async fn a_session_ended_here_is_over_at_once_even_for_who_is_just_reading_it() {
    let rig = Rig::new();
    let sessions = rig.process(1);
    let token = rig.begin(&sessions).await;
    let session = sessions.find(&token).await.unwrap().unwrap();
    rig.clock.advance(TRUST);
    rig.store.asked.forget_permits(1);
    rig.store.let_through.forget_permits(1000);
    let (reader, value) = (sessions.clone(), token.clone());
    let reading = tokio::spawn(async move { reader.find(&value).await.unwrap().is_some() });
    rig.store.asked.acquire().await.unwrap().forget(); // it has the record in its hand
    sessions.end(&session, End::SignedOut).await.unwrap();
    rig.store.let_through.add_permits(1000);
    assert!(reading.await.unwrap(), "that request came before the end");
    assert!(!lives(&sessions, &token).await);
}

#[tokio::test]
async fn a_session_ended_by_another_process_is_over_within_a_second() {
    let rig = Rig::new();
    let (one, other) = (rig.process(1), rig.process(2));
    let token = rig.begin(&one).await;
    assert!(lives(&one, &token).await);
    let session = other.find(&token).await.unwrap().unwrap();
    other.end(&session, End::SignedOut).await.unwrap();
    rig.clock.advance(TRUST);
    assert!(!lives(&one, &token).await);
}

#[tokio::test]
async fn what_is_remembered_ends_when_the_session_does() {
    let rig = Rig::new();
    let sessions = rig.process(1);
    let token = rig.begin(&sessions).await;
    rig.clock.advance(IDLE - TRUST / 2);
    assert!(sessions.peek(&token).await.unwrap().is_some());
    rig.clock.advance(TRUST / 2);
    assert!(!lives(&sessions, &token).await, "idle for too long, though it was read within the second");
}
