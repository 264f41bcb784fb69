//! Several sealers over one store, in any order, each killed between any two of its steps: one log comes of it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;

use super::*;
use crate::audit::interrupted::{Dice, Interrupted, Told};
use crate::audit::{AuditEvent, Entry, EventKind, EventSeq, LogKey, leaf_hash, tree::Tree};
use crate::grant::{LocalSigner, PublicKey};
use crate::rng::SeededEntropy;
use crate::store::{Batch, Journal as _, Log as _, MemoryStore, TILE};
use crate::testkit::fakes;
use crate::testkit::sealing::PlainSealer;
use crate::time::ManualClock;

fn settings() -> LogSettings {
    let origin = Origin::parse("identree.example/log").unwrap();
    LogSettings { signer: Arc::new(LocalSigner::from_seed(&[7; 32])), origin }
}

fn key() -> LogKey {
    let settings = settings();
    LogKey { origin: settings.origin, key: settings.signer.public_key() }
}

fn sealer(store: Arc<dyn Store>, clock: &ManualClock, n: u64) -> Sealer {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(n));
    let replica = ReplicaId::random(&entropy);
    Sealer::new(store, (Arc::new(clock.clone()), entropy), settings(), (replica, Arc::new(watch::Sender::new(0))))
}

fn event(n: u64) -> AuditEvent {
    fakes::event(n, EventKind::SignedIn).with("user", format!("ann{n}"))
}

async fn commit(store: &MemoryStore, events: std::ops::Range<u64>) {
    for n in events {
        store.commit(Batch::event(event(n))).await.unwrap();
    }
}

/// The log is one, holds these events in this order, and all that stands in the store proves it.
async fn holds(store: &MemoryStore, events: u64) {
    let head = PlainSealer::open(store).await.head();
    assert_eq!(head.size, events, "every event once");
    assert!(store.unsealed(Page::first(1)).await.unwrap().items.is_empty());
    let checkpoints = store.checkpoints(0, 1000).await.unwrap();
    let (mut tree, mut tiles, mut covered, mut at) = (Tree::new(), Vec::new(), 0, Timestamp::default());
    let mut checkpoint = checkpoints.iter().peekable();
    for bundle in store.bundles(0, 1000).await.unwrap() {
        for (seq, entry) in (bundle.number * TILE..).zip(Entry::split(&bundle).unwrap()) {
            let sealed = entry.sealed(EventSeq(seq)).unwrap();
            assert_eq!(sealed.event.id, event(seq).id, "in the order of commit");
            tree.push(leaf_hash(&entry.leaf), |tile| tiles.push(tile));
            if let Some(stored) = checkpoint.next_if(|stored| stored.size == tree.size()) {
                let opened = Checkpoint::open(&stored.note, &key()).unwrap();
                assert_eq!((opened.size, opened.signed_at), (stored.size, Some(stored.at)));
                assert_eq!(opened.root, tree.root(), "a checkpoint of this very log");
                assert!(stored.at >= at, "its time does not go back");
                (covered, at) = (stored.size, stored.at);
            }
        }
    }
    assert_eq!(checkpoint.next(), None, "each was read");
    assert!(events - covered < 256, "the last one is near");
    tiles.extend(tree.short_tiles());
    for tile in tiles {
        assert_eq!(store.tile(tile.level, tile.number).await.unwrap().as_ref(), Some(&tile));
    }
}

type Running = Pin<Box<dyn Future<Output = Sealer> + Send>>;

fn running(mut sealer: Sealer) -> Running {
    Box::pin(async move {
        // An error is what the next call mends.
        let _ = sealer.step().await;
        sealer
    })
}

#[tokio::test]
async fn any_number_of_sealers_interrupted_anywhere_make_one_log() {
    let mut sealed_meanwhile = 0;
    for seed in 0..40 {
        let dice = Arc::new(Dice(SeededEntropy::new(seed)));
        let clock = ManualClock::default();
        let inner = Arc::new(MemoryStore::with_clock(clock.clone()));
        let (mut committed, starts) = (0, AtomicU64::new(1000 * seed + 500));
        let start = || {
            let store = Arc::new(Interrupted { inner: Arc::clone(&inner), dice: Arc::clone(&dice) });
            running(sealer(store, &clock, starts.fetch_add(1, Ordering::Relaxed)))
        };
        let mut sealers = [start(), start(), start()];
        let _told = Told(seed);
        for _ in 0..1000 {
            tokio::task::yield_now().await; // or the runtime holds everybody up
            let one = &mut sealers[usize::try_from(dice.below(3)).unwrap()];
            match dice.below(40) {
                0 if dice.below(3) == 0 => *one = start(), // killed
                1 if dice.below(6) > 0 => clock.advance(Duration::from_millis(dice.below(1000))),
                1 => clock.advance(Duration::from_millis(dice.below(7000))),
                2..=5 => {
                    let more = dice.below(40);
                    commit(&inner, committed..committed + more).await;
                    committed += more;
                }
                6 => erase_one(&inner, &dice).await,
                _ => {
                    let mut context = Context::from_waker(Waker::noop());
                    if let Poll::Ready(sealer) = one.as_mut().poll(&mut context) {
                        *one = running(sealer);
                    }
                }
            }
        }
        let head = inner.head().await.unwrap().size;
        clock.advance(Duration::from_secs(60));
        let mut last = sealer(Arc::<MemoryStore>::clone(&inner), &clock, starts.load(Ordering::Relaxed));
        while last.step().await.unwrap() != Step::Idle {}
        holds(&inner, committed).await;
        sealed_meanwhile += u64::from(head > 0);
    }
    assert!(sealed_meanwhile > 20, "the interrupted ones brought it on: {sealed_meanwhile}");
}

/// Erases what a bundle tells of persons.
async fn erase_one(store: &MemoryStore, dice: &Dice) {
    let bundles = store.bundles(0, 1000).await.unwrap();
    if bundles.is_empty() {
        return;
    }
    let bundle = &bundles[usize::try_from(dice.below(bundles.len() as u64)).unwrap()];
    let erased = vec![0; 4 * Entry::split(bundle).unwrap().len()];
    store.erase(bundle.number, &bundle.personal, erased).await.unwrap();
}

#[tokio::test]
async fn one_that_wakes_late_writes_nothing() {
    let (clock, stopped) = (ManualClock::default(), ManualClock::default());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let mut late = sealer(Arc::<MemoryStore>::clone(&store), &stopped, 1);
    let mut next = sealer(Arc::<MemoryStore>::clone(&store), &clock, 2);
    commit(&store, 0..5).await;
    assert_eq!(late.step().await.unwrap(), Step::Sealed(5));
    assert_eq!(next.step().await.unwrap(), Step::Elsewhere);
    commit(&store, 5..8).await;
    clock.advance(LEASE); // the late one does not notice
    assert_eq!(next.step().await.unwrap(), Step::Sealed(3));
    commit(&store, 8..9).await;
    assert!(matches!(late.step().await, Err(StoreError::Conflict)));
    assert_eq!(late.step().await.unwrap(), Step::Elsewhere);
    assert_eq!(next.step().await.unwrap(), Step::Sealed(1));
    holds(&store, 9).await;
}

#[tokio::test]
async fn a_checkpoint_comes_with_256_events_or_ten_seconds_and_not_without_news() {
    let clock = ManualClock::default();
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let mut sealer = sealer(Arc::<MemoryStore>::clone(&store), &clock, 1);
    let mut committed = 0;
    for (more, after, wanted) in [
        (1, 0, vec![1]),                                // the first at once
        (200, 1, vec![1]),                              // too few, too soon
        (56, 1, vec![1, 257]),                          // 256
        (3, 9, vec![1, 257]),                           // soon
        (0, 1, vec![1, 257, 260]),                      // ten seconds after the last
        (0, 60, vec![1, 257, 260]),                     // nothing new
        (9000, 0, vec![1, 257, 260, 4356, 8452, 9260]), // of each step one
    ] {
        clock.advance(Duration::from_secs(after));
        commit(&store, committed..committed + more).await;
        committed += more;
        while let Step::More(_) = sealer.step().await.unwrap() {}
        let sizes: Vec<_> = store.checkpoints(0, 100).await.unwrap().into_iter().map(|one| one.size).collect();
        assert_eq!(sizes, wanted);
    }
    holds(&store, committed).await;
}

#[tokio::test]
async fn the_time_of_a_checkpoint_never_goes_back() {
    let clock = ManualClock::default();
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let mut sealer = sealer(Arc::<MemoryStore>::clone(&store), &clock, 1);
    commit(&store, 0..1).await;
    sealer.step().await.unwrap();
    let first = store.last_checkpoint().await.unwrap().unwrap();
    clock.set(clock.now() - Duration::from_secs(3600));
    commit(&store, 1..2).await;
    sealer.step().await.unwrap();
    let second = store.last_checkpoint().await.unwrap().unwrap();
    assert_eq!((second.size, second.at), (2, first.at));
    holds(&store, 2).await;
}

/// Refuses, never answers, or signs, as it is told.
struct Moody(LocalSigner, watch::Receiver<Mood>);

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Refuses,
    Hangs,
    Signs,
}

#[async_trait]
impl Signer for Moody {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let mood = *self.1.borrow();
        match mood {
            Mood::Refuses => Err(SignError::Unavailable("sealed off".into())),
            Mood::Hangs => std::future::pending().await,
            Mood::Signs => self.0.sign(message).await,
        }
    }
}

#[tokio::test]
async fn a_signer_that_is_down_delays_checkpoints_and_not_sealing() {
    let clock = ManualClock::default();
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let mood = watch::Sender::new(Mood::Refuses);
    let mut sealer = sealer(Arc::<MemoryStore>::clone(&store), &clock, 1);
    sealer.settings.signer = Arc::new(Moody(LocalSigner::from_seed(&[7; 32]), mood.subscribe()));
    commit(&store, 0..300).await;
    assert_eq!(sealer.step().await.unwrap(), Step::Sealed(300));
    mood.send_replace(Mood::Hangs);
    commit(&store, 300..310).await;
    assert_eq!(sealer.step().await.unwrap(), Step::Sealed(10), "it is not asked again at once");
    clock.advance(Duration::from_secs(10));
    commit(&store, 310..311).await;
    let (step, ()) = tokio::join!(sealer.step(), async {
        tokio::task::yield_now().await;
        clock.advance(SIGNATURE);
    });
    assert_eq!(step.unwrap(), Step::Sealed(1), "sealed although the signer does not answer");
    assert_eq!(store.last_checkpoint().await.unwrap(), None);
    mood.send_replace(Mood::Signs);
    clock.advance(Duration::from_secs(20));
    assert_eq!(sealer.step().await.unwrap(), Step::Idle);
    assert_eq!(store.last_checkpoint().await.unwrap().unwrap().size, 311);
    holds(&store, 311).await;
}

#[tokio::test]
async fn a_stop_seals_what_is_left_and_makes_way() {
    let clock = ManualClock::default();
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut first = sealer(Arc::<MemoryStore>::clone(&store), &clock, 1);
    let mut size = first.sealed.subscribe();
    commit(&store, 0..3).await;
    let told = Arc::clone(&first.sealed);
    first.checkpoint_due = clock.now() + CHECKPOINT_EVERY;
    let running = tokio::spawn(first.run(async move { stopped.await.unwrap() }));
    size.wait_for(|size| *size == 3).await.unwrap();
    commit(&store, 3..10_000).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(*told.borrow(), 10_000);
    assert_eq!(store.last_checkpoint().await.unwrap().unwrap().size, 10_000, "the last checkpoint has it all");
    commit(&store, 10_000..10_001).await;
    let mut second = sealer(Arc::<MemoryStore>::clone(&store), &clock, 2);
    assert_eq!(second.step().await.unwrap(), Step::Sealed(1), "without waiting for the lease to end");
    holds(&store, 10_001).await;
}
