//! Whatever is delivered in whatever order: all servers agree in the end, each question is decided once, whoever waits is told,
//! and what the callers were told fits together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use super::*;
use crate::rng::bytes;
use crate::testkit::history::{Call, Recorded, Rules, Told, check};

const SEEDS: u64 = 64;
const STEPS: usize = 60;
const PEOPLE: [&str; 3] = ["ada", "grace", "linus"];

/// What everybody was told, by a clock that counts.
#[derive(Default)]
struct History {
    tick: AtomicU64,
    calls: Mutex<HashMap<ChallengeId, Vec<Recorded>>>,
    expired: Mutex<HashMap<ChallengeId, u64>>,
}

impl History {
    fn tick(&self) -> u64 {
        self.tick.fetch_add(1, Ordering::Relaxed)
    }

    async fn record(&self, id: ChallengeId, call: Call, told: impl Future<Output = Result<Verdict, EngineError>>) {
        let began = self.tick();
        let told = told_by(&told.await);
        let one = Recorded { call, told, began, ended: self.tick() };
        self.calls.lock().unwrap().entry(id).or_default().push(one);
    }
}

fn told_by(answer: &Result<Verdict, EngineError>) -> Told {
    match answer {
        Ok(Verdict::Pending { have, .. }) => Told::Waits(*have),
        Ok(Verdict::Granted(_) | Verdict::Refused(Refusal::Lapsed)) => Told::Granted,
        Ok(Verdict::Refused(Refusal::Denied { .. })) => Told::Denied,
        Ok(Verdict::Refused(Refusal::Expired)) => Told::Expired,
        Ok(Verdict::Refused(Refusal::Cancelled { .. })) => Told::Cancelled,
        Ok(Verdict::Refused(Refusal::Vote(VoteRefusal::AlreadySettled | VoteRefusal::AlreadyVoted))) => {
            Told::NotCounted
        }
        Ok(Verdict::Refused(Refusal::Vote(VoteRefusal::NotFound))) => Told::Unknown,
        Ok(other) => panic!("{other:?}"),
        Err(_) => Told::Nothing,
    }
}

struct Run {
    cluster: Arc<Cluster>,
    history: Arc<History>,
    draws: SeededEntropy,
    ids: Vec<ChallengeId>,
    waits: JoinSet<(ChallengeId, Told)>,
    calls: JoinSet<()>,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let clock = ManualClock::default();
        let shared = Shared::mischievous(clock.clone(), seed);
        let mut nodes = Vec::new();
        for number in 0..3 {
            let caps = Caps {
                per_requester: 1000,
                cool_down: CoolDown { after: 0, ..CoolDown::default() },
                ..Caps::default()
            };
            nodes.push(node(&shared, &clock, seed * 10 + number, |builder| builder.caps(caps)).await);
        }
        Self {
            cluster: Arc::new(Cluster { shared, clock, nodes }),
            history: Arc::default(),
            draws: SeededEntropy::new(!seed),
            ids: Vec::new(),
            waits: JoinSet::new(),
            calls: JoinSet::new(),
        }
    }

    fn draw(&self, below: usize) -> usize {
        usize::from(u16::from_be_bytes(bytes(&self.draws))) % below
    }

    async fn step(&mut self) {
        match self.draw(12) {
            0..=2 => self.open(),
            3..=6 => self.decide(),
            7 => self.wait(),
            8 => self.cluster.nodes[self.draw(3)].handle.cut(),
            9 => self.cluster.nodes[self.draw(3)].handle.mend(),
            10 => self.advance(Duration::from_secs(self.draw(30) as u64)),
            _ => {
                for _ in 0..self.draw(20) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Asks on one server, or on two at once with one nonce.
    fn open(&mut self) {
        let nonce = Nonce::from_bytes(bytes(&self.draws));
        let id = ChallengeId::derive(&Target::Host(HostName::parse("two").unwrap()), &nonce);
        for _ in 0..=self.draw(2) {
            let (cluster, history, at) = (Arc::clone(&self.cluster), Arc::clone(&self.history), self.draw(3));
            self.calls.spawn(async move {
                let challenge = question("two");
                let ask = Ask { nonce: Some(nonce), ..Ask::new(&challenge) };
                let opened = async { cluster.nodes[at].engine.open(ask).await.map(|opened| opened.verdict) };
                history.record(id, Call::Open, opened).await;
            });
        }
        self.ids.push(id);
    }

    fn pick(&self) -> Option<ChallengeId> {
        (!self.ids.is_empty()).then(|| self.ids[self.ids.len() - 1 - self.draw(self.ids.len().min(4))])
    }

    fn decide(&mut self) {
        let Some(id) = self.pick() else { return };
        for _ in 0..=self.draw(2) {
            let (cluster, history, at) = (Arc::clone(&self.cluster), Arc::clone(&self.history), self.draw(3));
            let (person, what) = (self.draw(3), self.draw(8));
            self.calls.spawn(async move {
                let node = &cluster.nodes[at];
                let by = node.actor(PEOPLE[person]);
                let number = u8::try_from(person).unwrap();
                let no = Vote::Deny { reason: None };
                let yes = Vote::Approve { reason: None, number: None };
                match what {
                    0 => history.record(id, Call::Deny(number), node.engine.vote(id, &by, no)).await,
                    1 => history.record(id, Call::Cancel, node.engine.cancel(id, &node.actor("ann"))).await,
                    _ => history.record(id, Call::Approve(number), node.engine.vote(id, &by, yes)).await,
                }
            });
        }
    }

    /// Waits as a host does: whatever goes wrong, it asks again.
    fn wait(&mut self) {
        let Some(id) = self.pick() else { return };
        let (cluster, at) = (Arc::clone(&self.cluster), self.draw(3));
        self.waits.spawn(async move {
            loop {
                match cluster.nodes[at].engine.wait(id, Timestamp::MAX).await {
                    Err(EngineError::NotFound) => return (id, Told::Unknown),
                    Err(_) => tokio::task::yield_now().await,
                    told => return (id, told_by(&told)),
                }
            }
        });
    }

    fn advance(&self, by: Duration) {
        self.cluster.advance(by);
        let over = |id: &&ChallengeId| {
            let known = self.cluster.nodes.iter().filter_map(|node| node.engine.0.live.get(**id));
            known.map(|record| record.question().expires_at).min().is_some_and(|end| self.cluster.clock.now() >= end)
        };
        for id in self.ids.iter().filter(over) {
            self.history.expired.lock().unwrap().entry(*id).or_insert_with(|| self.history.tick());
        }
    }

    async fn finish(mut self) {
        for node in &self.cluster.nodes {
            node.handle.mend();
        }
        while let Some(done) = self.calls.join_next().await {
            done.unwrap();
        }
        let mut waits = std::mem::take(&mut self.waits);
        let all = async {
            let mut all = Vec::new();
            while let Some(told) = waits.join_next().await {
                all.push(told.unwrap());
            }
            for node in &self.cluster.nodes {
                for id in &self.ids {
                    // One that was never opened is none.
                    let _ = node.engine.wait_for_record(*id, Timestamp::MAX).await;
                }
            }
            all
        };
        let time = async {
            loop {
                self.cluster.shared.settle();
                self.advance(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
        };
        let told: Vec<_> = tokio::select! { told = all => told, () = time => unreachable!() };
        self.check(told).await;
    }

    async fn check(self, told: Vec<(ChallengeId, Told)>) {
        for (id, told) in told {
            let stored = self.cluster.shared.store().challenge(id).await.unwrap();
            assert_eq!(told, stored.map_or(Told::Unknown, |record| told_of(&record)));
        }
        for id in &self.ids {
            let Some(stored) = self.cluster.shared.store().challenge(*id).await.unwrap() else { continue };
            for node in &self.cluster.nodes {
                let known = node.engine.record(*id).await.unwrap().unwrap();
                assert_eq!(known, stored, "everybody agrees");
            }
            let events = recorded(self.cluster.shared.store()).await;
            let ends = |kind| {
                use EventKind::{ChallengeApproved, ChallengeCancelled, ChallengeDenied, ChallengeExpired};
                [ChallengeApproved, ChallengeCancelled, ChallengeDenied, ChallengeExpired].contains(&kind)
            };
            let ended = events.iter().filter(|event| event.challenge == Some(*id) && ends(event.kind)).count();
            assert_eq!(ended, 1, "decided once");
            let expires = self.history.expired.lock().unwrap().get(id).copied().unwrap_or(u64::MAX);
            let calls = self.history.calls.lock().unwrap().get(id).cloned().unwrap_or_default();
            check(Rules { need: 2, expires }, &calls).unwrap();
        }
    }
}

fn told_of(record: &crate::challenge::ChallengeRecord) -> Told {
    match record.state() {
        State::Pending { .. } => panic!("{record:?}"),
        State::Settled { how: Settled::Granted(_), .. } => Told::Granted,
        State::Settled { how: Settled::Denied { .. }, .. } => Told::Denied,
        State::Settled { how: Settled::Expired, .. } => Told::Expired,
        State::Settled { how: Settled::Cancelled { .. }, .. } => Told::Cancelled,
        State::Settled { how: Settled::Refused { .. }, .. } => Told::NotCounted,
    }
}

impl Run {
    /// Settles what is left, and has everybody told although time stands still: nobody is told by the look twice a minute.
    async fn finish_at_once(mut self) {
        while let Some(done) = self.calls.join_next().await {
            done.unwrap();
        }
        for id in &self.ids {
            self.cluster.nodes[0].deny(*id, "ada").await;
        }
        self.cluster.shared.settle();
        let mut told = Vec::new();
        while let Some(one) = self.waits.join_next().await {
            told.push(one.unwrap());
        }
        for node in &self.cluster.nodes {
            node.has_waiting(0).await;
        }
        self.check(told).await;
    }
}

#[tokio::test]
async fn whoever_waits_is_told_as_soon_as_the_nudge_arrives() {
    for seed in 0..SEEDS {
        let work = async {
            let mut run = Run::new(seed).await;
            for _ in 0..STEPS {
                match run.draw(8) {
                    0..=1 => run.open(),
                    2..=4 => run.decide(),
                    5..=6 => run.wait(),
                    _ => tokio::task::yield_now().await,
                }
            }
            run.finish_at_once().await;
        };
        let done = tokio::time::timeout(Duration::from_secs(20), work);
        assert!(done.await.is_ok(), "seed {seed}: somebody waits for ever");
    }
}

#[tokio::test]
async fn whatever_is_delivered_in_whatever_order_all_agree_and_decide_once() {
    for seed in 0..SEEDS {
        let work = async {
            let mut run = Run::new(seed).await;
            for _ in 0..STEPS {
                run.step().await;
            }
            run.finish().await;
        };
        let done = tokio::time::timeout(Duration::from_secs(20), work);
        assert!(done.await.is_ok(), "seed {seed}: somebody waits for ever");
    }
}
