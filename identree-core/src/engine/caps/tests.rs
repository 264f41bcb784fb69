//! Nobody waits beyond the caps, nobody is locked out below them, and what is counted is what waits.

use proptest::prelude::*;

use super::*;
use crate::actor::{Actor, Strength};
use crate::challenge::FreeChallenge;
use crate::directory::FixedDirectory;
use crate::engine::{Ask, Engine, EngineError, Opened, Refusal, Verdict, Vote, VoteRefusal};
use crate::id::{ChallengeKind, GroupName, HostName, Nonce};
use crate::policy::RuleSet;
use crate::rng::SeededEntropy;
use crate::store::{Journal as _, MemoryStore};
use crate::time::{Clock as _, ManualClock};

const SMALL: Caps = Caps {
    per_requester: 2,
    per_target: 3,
    in_all: 4,
    cool_down: CoolDown { after: 3, within: Duration::from_secs(600), pause: Duration::from_secs(60) },
};

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn host(name: &str) -> Target {
    Target::Host(HostName::parse(name).unwrap())
}

struct World {
    engine: Engine,
    store: Arc<MemoryStore>,
    clock: ManualClock,
    caps: Caps,
}

impl World {
    async fn new(caps: Caps) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
        let engine = engine(&store, &clock, caps).await;
        Self { engine, store, clock, caps }
    }

    /// The same store, a new process.
    async fn restarted(self) -> Self {
        self.engine.shutdown().await;
        Self { engine: engine(&self.store, &self.clock, self.caps).await, ..self }
    }

    async fn ask(&self, requester: &str, on: &str, nonce: u8) -> Result<Opened, EngineError> {
        let kind = ChallengeKind::parse("sudo").unwrap();
        let challenge = FreeChallenge::new(kind, user(requester), host(on), "whoami");
        self.engine.open(Ask { nonce: Some(Nonce::from_bytes([nonce; 32])), ..Ask::new(&challenge) }).await
    }

    async fn limit(&self, requester: &str, on: &str, nonce: u8) -> Limit {
        match self.ask(requester, on, nonce).await {
            Err(EngineError::Limited(limit)) => limit,
            other => panic!("{other:?}"),
        }
    }

    fn person(&self, name: &str) -> Actor {
        Actor::vouched("test", user(name), self.clock.now(), Strength::SignedIn)
    }

    async fn vote(&self, opened: &Opened, by: &str, vote: Vote) -> Verdict {
        self.engine.vote(opened.record.question().id, &self.person(by), vote).await.unwrap()
    }

    async fn deny(&self, opened: &Opened) {
        let verdict = self.vote(opened, "ada", Vote::Deny { reason: None }).await;
        assert!(matches!(verdict, Verdict::Refused(Refusal::Denied { .. })));
    }

    /// Counted in all, by requester, by target, and reserved without being in the table.
    fn counts(&self) -> (u32, u32, u32, usize) {
        self.engine.0.live.tally(|tally| tally.counts())
    }

    fn waiting(&self) -> u32 {
        u32::try_from(self.engine.0.live.pending().len()).unwrap()
    }

    fn assert_counted(&self) {
        let waiting = self.waiting();
        assert_eq!(self.counts(), (waiting, waiting, waiting, 0));
    }
}

async fn engine(store: &Arc<MemoryStore>, clock: &ManualClock, caps: Caps) -> Engine {
    let admins = GroupName::parse("admins").unwrap();
    Engine::builder()
        .store(Arc::clone(store))
        .policy(RuleSet::permissive())
        .directory(FixedDirectory::new([(user("ada"), vec![admins.clone()])]))
        .admin_groups(vec![admins])
        .clock(clock.clone())
        .entropy(SeededEntropy::new(7))
        .caps(caps)
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn each_cap_has_its_own_answer_and_shuts_nobody_else_out() {
    let world = World::new(SMALL).await;
    for nonce in 0..2 {
        world.ask("ann", "web1", nonce).await.unwrap();
    }
    assert_eq!(world.limit("ann", "web1", 2).await, Limit::Requester(2));
    assert_eq!(world.limit("ann", "web2", 2).await, Limit::Requester(2), "wherever ann asks");
    world.ask("bob", "web1", 3).await.unwrap();
    assert_eq!(world.limit("cid", "web1", 4).await, Limit::Target(3));
    let last = world.ask("cid", "web2", 5).await.unwrap();
    assert_eq!(world.limit("dan", "web3", 6).await, Limit::All(4));
    world.deny(&last).await;
    world.ask("dan", "web3", 6).await.unwrap();
    world.assert_counted();
}

#[tokio::test]
async fn nothing_is_stored_of_what_is_not_asked() {
    let world = World::new(Caps { per_requester: 1, ..SMALL }).await;
    world.ask("ann", "web1", 0).await.unwrap();
    let page = crate::store::Page::first(1000);
    let before = world.store.unsealed(page).await.unwrap().items.len();
    for nonce in 1..100 {
        world.limit("ann", "web1", nonce).await;
    }
    assert_eq!(world.store.unsealed(page).await.unwrap().items.len(), before);
    world.assert_counted();
}

#[tokio::test]
async fn the_same_nonce_never_counts_twice_and_is_answered_at_the_cap() {
    let world = World::new(Caps { per_requester: 1, ..SMALL }).await;
    let old = world.ask("ann", "web1", 0).await.unwrap();
    world.deny(&old).await;
    world.clock.advance(Duration::from_secs(3600));
    let world = world.restarted().await; // the first question is in the store only
    world.ask("ann", "web1", 1).await.unwrap();
    assert_eq!(world.counts().0, 1);
    for _ in 0..3 {
        let again = world.ask("ann", "web1", 1).await.unwrap();
        assert_eq!(again.verdict, Verdict::Pending { have: 0, need: 1 });
        let settled = world.ask("ann", "web1", 0).await.unwrap();
        assert!(matches!(settled.verdict, Verdict::Refused(Refusal::Denied { .. })));
    }
    world.assert_counted();
}

#[tokio::test]
async fn what_a_rule_settles_is_not_counted() {
    let world = World::new(Caps { in_all: 0, ..SMALL }).await;
    assert_eq!(world.limit("ann", "web1", 0).await, Limit::All(0));
    let closed = Engine::builder().caps(world.caps).build().await.unwrap(); // without a policy everything is refused
    let challenge = FreeChallenge::new(ChallengeKind::parse("sudo").unwrap(), user("ann"), host("web1"), "whoami");
    let opened = closed.open(Ask::new(&challenge)).await.unwrap();
    assert!(matches!(opened.verdict, Verdict::Refused(Refusal::Rule { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_never_exceeds_the_cap_and_leaves_no_place_behind() {
    let caps = Caps { per_requester: 7, per_target: 1000, in_all: 1000, ..SMALL };
    for round in 0..10 {
        let world = Arc::new(World::new(caps).await);
        // Each nonce comes twice at the same moment.
        let crowd = (0..60u8).map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.ask("ann", "web1", n / 2).await.is_ok() })
        });
        let mut asked = 0;
        for one in crowd.collect::<Vec<_>>() {
            asked += u32::from(one.await.unwrap());
        }
        assert_eq!(world.waiting(), 7, "round {round}");
        assert!((7..=14).contains(&asked), "each question that waits was answered once or twice: {asked}");
        world.assert_counted();
    }
}

#[tokio::test]
async fn a_commit_that_fails_gives_its_place_back() {
    let world = World::new(SMALL).await;
    let plan = world.ask("ann", "web1", 0).await.unwrap().record;
    let other = ChallengeRecord::pending(Question { id: ChallengeId::from_bytes([9; 16]), ..plan.question().clone() });
    let place = world.engine.0.live.reserve(&Arc::new(other), world.clock.now()).unwrap();
    assert_eq!(world.counts(), (2, 2, 2, 1));
    assert_eq!(world.limit("ann", "web1", 1).await, Limit::Requester(2), "reserved is taken");
    drop(place);
    world.assert_counted();
    world.ask("ann", "web1", 1).await.unwrap();
}

#[tokio::test]
async fn who_was_denied_three_times_waits_a_minute_on_that_host() {
    let world = World::new(SMALL).await;
    for nonce in 0..3 {
        let opened = world.ask("ann", "web1", nonce).await.unwrap();
        world.clock.advance(Duration::from_secs(100));
        world.deny(&opened).await;
    }
    world.clock.advance(Duration::from_secs(18));
    let limit = world.limit("ann", "web1", 3).await;
    assert_eq!(limit, Limit::CoolDown { left: Duration::from_secs(42) });
    assert_eq!(limit.to_string(), "denied too often; ask again in 42 s");
    world.ask("ann", "web2", 4).await.unwrap();
    world.ask("bob", "web1", 5).await.unwrap();

    let world = world.restarted().await;
    assert_eq!(world.limit("ann", "web1", 3).await, limit, "a restart forgets nothing");
    world.clock.advance(Duration::from_secs(42));
    let fourth = world.ask("ann", "web1", 3).await.unwrap();
    world.deny(&fourth).await;
    assert!(matches!(world.limit("ann", "web1", 6).await, Limit::CoolDown { .. }), "and once more after each denial");
    world.clock.advance(Duration::from_secs(600));
    let fifth = world.ask("ann", "web1", 7).await.unwrap();
    world.deny(&fifth).await;
    world.ask("ann", "web1", 8).await.unwrap();
}

#[tokio::test]
async fn a_clock_set_back_shuts_nobody_out() {
    let mut tally = Tally::default();
    let world = World::new(SMALL).await;
    for nonce in 0..3 {
        let opened = world.ask("ann", "web1", nonce).await.unwrap();
        world.deny(&opened).await;
        let record = world.engine.record(opened.record.question().id).await.unwrap().unwrap();
        tally.note_denial(&record, &SMALL.cool_down);
    }
    let cooling = |now| tally.cooling(&user("ann"), &host("web1"), &SMALL.cool_down, now);
    let now = world.clock.now();
    assert_eq!(cooling(now), Some(Duration::from_secs(60)));
    assert_eq!(cooling(now - Duration::from_secs(60)), Some(Duration::from_secs(60)));
    assert_eq!(cooling(now - Duration::from_secs(61)), None);
}

#[tokio::test]
async fn a_restart_counts_what_waits() {
    let world = World::new(SMALL).await;
    for nonce in 0..2 {
        world.ask("ann", "web1", nonce).await.unwrap();
    }
    let world = world.restarted().await;
    world.assert_counted();
    assert_eq!(world.limit("ann", "web1", 2).await, Limit::Requester(2));
}

/// What may happen to a question.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask { requester: u8, on: u8, nonce: u8 },
    Approve(u8),
    Deny(u8),
    TakeBack(u8),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 0..2u8, 0..30u8).prop_map(|(requester, on, nonce)| Step::Ask { requester, on, nonce }),
        1 => any::<u8>().prop_map(Step::Approve),
        1 => any::<u8>().prop_map(Step::Deny),
        1 => any::<u8>().prop_map(Step::TakeBack),
        1 => (0..100u8).prop_map(Step::Pass),
    ]
}

async fn take(world: &World, step: Step, opened: &mut Vec<(String, Opened)>) {
    let of = |n: u8| if opened.is_empty() { None } else { Some(&opened[usize::from(n) % opened.len()]) };
    match step {
        Step::Ask { requester, on, nonce } => {
            let name = ["ann", "bob", "cid"][usize::from(requester)];
            match world.ask(name, ["web1", "web2"][usize::from(on)], nonce).await {
                Ok(one) => opened.push((name.to_owned(), one)),
                Err(EngineError::Limited(_) | EngineError::NonceReused) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        Step::Approve(n) => {
            if let Some((name, one)) = of(n) {
                world.vote(one, name, Vote::Approve { reason: None, number: None }).await;
            }
        }
        Step::Deny(n) => {
            if let Some((_, one)) = of(n) {
                let verdict = world.vote(one, "ada", Vote::Deny { reason: None }).await;
                assert_ne!(verdict, Verdict::Refused(Refusal::Vote(VoteRefusal::NotFound)));
            }
        }
        Step::TakeBack(n) => {
            if let Some((name, one)) = of(n) {
                world.engine.cancel(one.record.question().id, &world.person(name)).await.unwrap();
            }
        }
        Step::Pass(secs) => {
            world.clock.advance(Duration::from_secs(secs.into()));
            while world.engine.0.live.next_due().is_some_and(|due| due <= world.clock.now()) {
                tokio::task::yield_now().await; // the sweep ends what is over
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order: what is counted is what waits, and never more than the caps.
    #[test]
    fn what_is_counted_is_what_waits(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (world, mut opened) = (World::new(SMALL).await, Vec::new());
            for step in steps {
                take(&world, step, &mut opened).await;
                world.assert_counted();
                assert!(world.waiting() <= SMALL.in_all);
            }
        });
    }
}
