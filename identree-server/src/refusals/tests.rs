//! Which refusals become events, and how many at the most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use identree_core::rng::SeededEntropy;
use identree_core::store::{
    ChallengeFilter, Challenges, Collection, Document, DocumentKey, Documents, Journal, MemoryStore, Nudge, Page,
    Paged, Store, Unsealed,
};
use identree_core::testkit::journal::{recorded, undeclared};
use identree_core::time::ManualClock;
use proptest::prelude::*;

use super::table::{MOST, MOST_NAMED};
use super::*;

fn host(n: u32) -> HostName {
    HostName::parse(&format!("web{n}")).unwrap()
}

/// A wrong secret from this address.
fn wrong(address: u32) -> Refusal {
    let whence = Whence { address: Some(std::net::Ipv4Addr::from_bits(address).into()), ..Whence::default() };
    Refusal::new(EventKind::AuthenticationFailed, "credential").from(whence)
}

struct Rig {
    refusals: Refusals,
    clock: ManualClock,
    store: Arc<MemoryStore>,
}

fn rig() -> Rig {
    let (clock, store) = (ManualClock::default(), Arc::new(MemoryStore::new()));
    let parts = Parts {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    Rig { refusals: Refusals::new(parts), clock, store }
}

impl Rig {
    /// What is written by now: kind, target and count.
    async fn written(&self) -> Vec<(EventKind, Option<Target>, u64)> {
        self.refusals.write(Which::Due).await.unwrap();
        let events = recorded(&*self.store).await;
        assert_eq!(undeclared(&events), Vec::<String>::new());
        events.into_iter().map(|event| (event.kind, event.target, event.details["count"].parse().unwrap())).collect()
    }
}

#[tokio::test]
async fn those_alike_within_a_minute_are_one_event_and_the_first_is_written_at_once() {
    let rig = rig();
    rig.refusals.note(wrong(1));
    assert_eq!(rig.written().await.len(), 1);
    for _ in 0..1000 {
        rig.refusals.note(wrong(1));
    }
    assert_eq!(rig.written().await.len(), 1, "the others wait for their minute");
    rig.clock.advance(Duration::from_secs(61));
    let kind = EventKind::AuthenticationFailed;
    assert_eq!(rig.written().await, [(kind, None, 1), (kind, None, 1000)]);
    rig.clock.advance(Duration::from_secs(61));
    assert_eq!(rig.written().await.len(), 2, "nothing more came");
    rig.refusals.note(wrong(1));
    assert_eq!(rig.written().await.len(), 3);
}

#[tokio::test]
async fn a_flood_from_many_addresses_is_bounded_and_counted_to_the_last() {
    let rig = rig();
    for address in 0..100_000 {
        rig.refusals.note(wrong(address));
    }
    rig.refusals.flush().await.unwrap();
    let written = rig.written().await;
    assert_eq!(written.len(), MOST + 1);
    assert_eq!(written.iter().map(|(.., count)| count).sum::<u64>(), 100_000);
    assert_eq!(written.last().unwrap().0, EventKind::RefusalsCounted);
}

#[tokio::test]
async fn who_invents_names_takes_few_places() {
    let rig = rig();
    for n in 0..10_000 {
        rig.refusals.note(wrong(1).on(&host(n)));
    }
    rig.refusals.note(wrong(2).on(&host(20_000)));
    let named = rig.written().await.into_iter().filter(|(_, target, _)| target.is_some()).count();
    assert_eq!(named, MOST_NAMED + 1, "another network's host has its own");
}

#[tokio::test]
async fn a_follower_writes_and_the_stop_writes_the_rest() {
    let rig = rig();
    let following = tokio::spawn({
        let refusals = rig.refusals.clone();
        async move { refusals.follow().await }
    });
    rig.refusals.note(wrong(1));
    while recorded(&*rig.store).await.is_empty() {
        tokio::task::yield_now().await;
    }
    rig.refusals.note(wrong(1));
    following.abort();
    rig.refusals.finish().await;
    assert_eq!(recorded(&*rig.store).await.len(), 2);
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_comes_when(steps in proptest::collection::vec((0..400u32, 0..4u32, 0..90u64), 1..2000)) {
        let mut table = Table::default();
        let (mut now, mut noted, mut told) = (Timestamp::default(), 0, 0);
        let count = |batch: Vec<Told>| batch.iter().map(|one| match one {
            Told::Alike { count, .. } | Told::Rest { count, .. } => *count,
        }).sum::<u64>();
        for (address, name, pause) in steps {
            let refusal = wrong(address);
            table.note(if name == 0 { refusal } else { refusal.on(&host(name)) }, now);
            noted += 1;
            if pause > 80 {
                now = now + Duration::from_secs(pause - 80) * 10;
                told += count(table.told(now, false));
            }
            prop_assert!(table.next_due().is_some());
        }
        told += count(table.told(now, true));
        prop_assert_eq!(noted, told);
    }
}

/// Fails as often as it is told, before or after it has written.
struct Shaky {
    store: MemoryStore,
    before: AtomicU32,
    after: AtomicU32,
}

impl Shaky {
    fn fails(left: &AtomicU32) -> Result<(), StoreError> {
        let failing = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if failing { Err(StoreError::Unavailable("gone".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Shaky {
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        Self::fails(&self.before)?;
        self.store.commit(batch).await?;
        Self::fails(&self.after)
    }
    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.store.sweep(now, settled_before, limit).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        self.store.probe().await
    }
    fn nudges(&self) -> Option<tokio::sync::broadcast::Receiver<Nudge>> {
        self.store.nudges()
    }
}

#[async_trait]
impl Challenges for Shaky {
    async fn challenge(
        &self,
        id: identree_core::id::ChallengeId,
    ) -> Result<Option<Arc<identree_core::challenge::ChallengeRecord>>, StoreError> {
        self.store.challenge(id).await
    }
    async fn challenges_by_id(
        &self,
        ids: &[identree_core::id::ChallengeId],
    ) -> Result<Vec<Arc<identree_core::challenge::ChallengeRecord>>, StoreError> {
        self.store.challenges_by_id(ids).await
    }
    async fn challenge_by_code(
        &self,
        code: &identree_core::challenge::UserCode,
    ) -> Result<Option<Arc<identree_core::challenge::ChallengeRecord>>, StoreError> {
        self.store.challenge_by_code(code).await
    }
    async fn challenges(
        &self,
        filter: &ChallengeFilter,
        page: Page,
    ) -> Result<Paged<Arc<identree_core::challenge::ChallengeRecord>>, StoreError> {
        self.store.challenges(filter, page).await
    }
}

#[async_trait]
impl Documents for Shaky {
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
        self.store.document(key, now).await
    }
    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
        self.store.documents(of, now, page).await
    }
}

#[async_trait]
impl Journal for Shaky {
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        self.store.unsealed(page).await
    }
}

identree_core::forward_log!(Shaky => store);

#[tokio::test]
async fn a_store_that_fails_is_offered_the_same_again_and_nothing_counts_twice() {
    let store = Arc::new(Shaky { store: MemoryStore::new(), before: AtomicU32::new(1), after: AtomicU32::new(1) });
    let parts = Parts {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    let refusals = Refusals::new(parts);
    refusals.note(wrong(1));
    assert!(refusals.flush().await.is_err(), "before");
    refusals.note(wrong(1));
    assert!(refusals.flush().await.is_err(), "after");
    refusals.flush().await.unwrap();
    let counts: Vec<_> =
        recorded(&store.store).await.iter().map(|event| (event.id, event.details["count"].clone())).collect();
    assert!(counts.len() == 2 && counts[0].0 != counts[1].0, "each event once: {counts:?}");
    assert!(counts.iter().all(|(_, count)| count == "1"), "{counts:?}");
}
