//! What one pump does, and what several on different servers do together.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::*;
use crate::audit::interrupted::{Dice, Interrupted, Told};
use crate::rng::SeededEntropy;
use crate::store::{Bundle, Leases as _, Log as _, MemoryStore};
use crate::testkit::log::LogOf;
use crate::testkit::shelf::Shelf;
use crate::time::ManualClock;

/// A log, a shelf to ship to, and a clock that stands still.
struct Scene {
    log: LogOf,
    shelf: Shelf,
    clock: ManualClock,
    sealed: watch::Sender<u64>,
    counts: Arc<Counts>,
}

impl Scene {
    async fn with(events: u64) -> Self {
        let clock = ManualClock::default();
        let mut log = LogOf::over(Arc::new(MemoryStore::with_clock(clock.clone())));
        log.add(events).await;
        let counts = Arc::default();
        Self { log, shelf: Shelf::new("shelf"), clock, sealed: watch::Sender::new(events), counts }
    }

    fn pump(&self, n: u64) -> Pump {
        self.pump_over(n, Arc::clone(&self.log.store) as Arc<dyn Store>)
    }

    fn pump_over(&self, n: u64, store: Arc<dyn Store>) -> Pump {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(n));
        Pump {
            store,
            clock: Arc::new(self.clock.clone()),
            replica: ReplicaId::random(&entropy),
            entropy,
            sink: Arc::new(self.shelf.clone()),
            counts: Arc::clone(&self.counts),
            sealed: self.sealed.subscribe(),
        }
    }

    /// Runs a pump until what is sent or dropped.
    fn start(&self, n: u64) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _: Result<(), _> = stopped.await;
        };
        (stop, tokio::spawn(self.pump(n).run(stopped)))
    }

    async fn cursor(&self) -> u64 {
        self.log.store.cursor(&ReaderName("shelf".into())).await.unwrap()
    }

    fn standing(&self) -> SinkStanding {
        self.counts.standing(SinkName("shelf".into()), 0)
    }

    /// Lets time pass until the count is reached.
    async fn until(&self, step: Duration, reached: impl Fn(&SinkStanding) -> bool) {
        while !reached(&self.standing()) {
            tokio::task::yield_now().await;
            self.clock.advance(step);
        }
    }
}

fn seqs(events: &[SealedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

#[tokio::test]
async fn everything_arrives_in_order_and_a_restart_repeats_nothing() {
    let mut scene = Scene::with(3000).await;
    let (stop, running) = scene.start(1);
    assert_eq!(seqs(&scene.shelf.kept(3000).await), (0..3000).collect::<Vec<_>>());
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(scene.cursor().await, 3000);
    scene.log.add(5).await;
    let (_stop, _running) = scene.start(2); // without waiting for the lease of the first to end
    assert_eq!(seqs(&scene.shelf.kept(3005).await), (0..3005).collect::<Vec<_>>());
    scene.log.add(2).await;
    scene.sealed.send_replace(3007); // the sealer of this server tells
    scene.shelf.kept(3007).await;
    scene.log.add(2).await;
    scene.until(EVERY, |standing| standing.emitted == 3009).await; // nobody tells
    assert_eq!(
        scene.standing(),
        SinkStanding { emitted: 3009, ..Counts::default().standing(SinkName("shelf".into()), 0) }
    );
}

#[tokio::test]
async fn a_sink_that_is_gone_is_tried_again_and_loses_nothing() {
    let scene = Scene::with(30).await;
    scene.shelf.break_down(Some(SinkError::later("no route")));
    let (_stop, _running) = scene.start(1);
    scene.until(Duration::from_millis(100), |standing| standing.failed >= 30 * 4).await;
    let passed = scene.clock.now().since(Timestamp::from_secs(1_767_225_600));
    assert!(passed >= Duration::from_secs(5), "1 s, 2 s, 4 s, less at most a quarter: {passed:?}");
    assert!(!scene.standing().parked && scene.cursor().await == 0);
    scene.shelf.break_down(None);
    scene.until(Duration::from_secs(1), |standing| standing.emitted == 30).await;
    assert_eq!(seqs(&scene.shelf.so_far()), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sink_that_refuses_is_parked_and_goes_on_when_it_is_mended() {
    let scene = Scene::with(3).await;
    scene.shelf.break_down(Some(SinkError::never("the token is not accepted")));
    let (_stop, _running) = scene.start(1);
    scene.until(Duration::ZERO, |standing| standing.failed == 3).await;
    assert!(scene.standing().parked);
    scene.clock.advance(PARKED / 2);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.standing().failed, 3, "it is not asked all the time");
    scene.shelf.break_down(None);
    scene.until(Duration::from_secs(10), |standing| standing.emitted == 3).await;
    assert!(!scene.standing().parked);
}

#[tokio::test]
async fn what_is_confirmed_in_part_is_offered_from_there() {
    let scene = Scene::with(20).await;
    scene.shelf.answer(Ok(EventSeq(7)));
    scene.shelf.answer(Ok(EventSeq(3))); // nothing new: that is no progress
    scene.shelf.answer(Ok(EventSeq(u64::MAX)));
    let (_stop, _running) = scene.start(1);
    scene.until(Duration::from_secs(1), |standing| standing.emitted == 20).await;
    assert_eq!(seqs(&scene.shelf.so_far()), (0..20).collect::<Vec<_>>());
    assert_eq!((scene.standing().failed, scene.cursor().await), (12, 20));
}

/// Never answers at first, then panics, then works.
struct Stuck(Shelf, AtomicU64);

#[async_trait]
impl AuditSink for Stuck {
    fn name(&self) -> &SinkName {
        self.0.name()
    }
    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        match self.1.fetch_add(1, Ordering::Relaxed) {
            0 => std::future::pending().await,
            1 => panic!("a bug of the sink"),
            _ => self.0.write(events).await,
        }
    }
}

#[tokio::test]
async fn a_sink_that_hangs_or_panics_gets_the_same_events_again() {
    let scene = Scene::with(5).await;
    let mut pump = scene.pump(1);
    pump.sink = Arc::new(Stuck(scene.shelf.clone(), AtomicU64::new(0)));
    let _running = tokio::spawn(pump.run(std::future::pending()));
    scene.until(Duration::from_secs(1), |standing| standing.failed == 5).await;
    assert!(!scene.standing().parked, "it did not answer within a minute");
    scene.until(Duration::from_secs(1), |standing| standing.failed == 10).await;
    assert!(scene.standing().parked, "it panicked");
    scene.until(Duration::from_secs(10), |standing| standing.emitted == 5).await;
    assert_eq!(seqs(&scene.shelf.so_far()), (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_ships_at_a_time_and_another_takes_over() {
    let mut scene = Scene::with(10).await;
    let (_first, running) = scene.start(1);
    scene.shelf.kept(10).await;
    let (_second, _other) = scene.start(2);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    running.abort(); // killed
    let _ = running.await;
    scene.log.add(10).await;
    scene.until(Duration::from_secs(1), |standing| standing.emitted >= 20).await;
    let kept = seqs(&scene.shelf.so_far());
    let mut seen = HashSet::new();
    let first: Vec<_> = kept.iter().copied().filter(|seq| seen.insert(*seq)).collect();
    assert_eq!(first, (0..20).collect::<Vec<_>>(), "{kept:?}");
}

#[tokio::test]
async fn what_was_pruned_before_it_was_shipped_is_counted() {
    let scene = Scene::with(600).await;
    let store = &scene.log.store;
    let replica = ReplicaId::random(&SeededEntropy::new(9));
    let fence = store.hold(&LeaseName::SWEEP, &replica, Duration::from_secs(9)).await.unwrap().unwrap();
    store.prune(&fence, 2).await.unwrap();
    let (_stop, _running) = scene.start(1);
    assert_eq!(seqs(&scene.shelf.kept(88).await), (512..600).collect::<Vec<_>>());
    scene.until(Duration::ZERO, |standing| standing.emitted == 88).await;
    assert_eq!((scene.standing().dropped, scene.cursor().await), (512, 600));
}

#[tokio::test]
async fn nothing_is_shipped_beyond_an_entry_that_is_none() {
    let scene = Scene::with(300).await;
    let store = &scene.log.store;
    let Bundle { personal, .. } = store.bundles(1, 1).await.unwrap().remove(0);
    let mut other = personal.clone();
    let last = other.len() - 3;
    other[last] ^= 1;
    store.erase(1, &personal, other).await.unwrap();
    let (_stop, _running) = scene.start(1);
    scene.until(Duration::from_secs(1), |standing| standing.parked).await;
    assert!(scene.shelf.so_far().is_empty() && scene.cursor().await == 0);
}

/// Several pumps over one store, interrupted and killed anywhere: each event at least once, first in order.
#[tokio::test]
async fn any_number_of_pumps_interrupted_anywhere_lose_nothing() {
    type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
    for seed in 0..30 {
        let _told = Told(seed);
        let (mut scene, dice) = (Scene::with(0).await, Arc::new(Dice(SeededEntropy::new(seed))));
        let mut starts = 1000 * seed;
        let mut start = |scene: &Scene| -> Running {
            starts += 1;
            let store = Interrupted { inner: Arc::clone(&scene.log.store), dice: Arc::clone(&dice) };
            Box::pin(scene.pump_over(starts, Arc::new(store)).run(std::future::pending()))
        };
        let mut pumps = [start(&scene), start(&scene), start(&scene)];
        let mut made = 0;
        for turn in 0.. {
            tokio::task::yield_now().await; // or the runtime holds everybody up
            match dice.below(100) {
                0 if turn < 1500 => pumps[usize::try_from(dice.below(3)).unwrap()] = start(&scene), // killed
                1..=2 => scene.clock.advance(Duration::from_millis(dice.below(2000))),
                3 if dice.below(20) == 0 => scene.clock.advance(LEASE),
                10..=11 if turn < 1500 => {
                    let more = dice.below(60);
                    scene.log.add(more).await;
                    made += more;
                }
                12 if turn < 1500 => scene.shelf.answer(Err(SinkError::later("busy"))),
                13 if turn < 1500 => scene.shelf.answer(Ok(EventSeq(dice.below(made + 1)))),
                _ => {
                    let mut context = Context::from_waker(Waker::noop());
                    let one = &mut pumps[usize::try_from(dice.below(3)).unwrap()];
                    assert_eq!(one.as_mut().poll(&mut context), Poll::Pending);
                }
            }
            if turn >= 1500 && turn % 100 == 0 && scene.cursor().await == made {
                break;
            }
            assert!(turn < 200_000, "it comes to an end");
        }
        let mut seen = HashSet::new();
        let first: Vec<_> = seqs(&scene.shelf.so_far()).into_iter().filter(|seq| seen.insert(*seq)).collect();
        assert_eq!(first, (0..made).collect::<Vec<_>>());
    }
}
