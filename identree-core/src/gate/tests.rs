//! What the gate promises: above all that nothing but a grant lets a request through.

use crate::testkit::journal::{recorded, undeclared};
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tower::limit::ConcurrencyLimitLayer;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::*;
use crate::actor::{Actor, Strength};
use crate::audit::EventKind;
use crate::challenge::FreeChallenge;
use crate::directory::FixedDirectory;
use crate::engine::Vote;
use crate::id::{ChallengeKind, GroupName, Target, TargetName};
use crate::policy::{Outcome as Says, Policy, PolicyError, PolicyInput, Requirement, Revision};
use crate::store::MemoryStore;
use crate::time::{Clock as _, ManualClock};

#[derive(Debug, Clone, Default)]
struct Request {
    asks: bool,
    key: Option<&'static str>,
    grant: Option<Grant>,
}

const ASKED: Request = Request { asks: true, key: None, grant: None };

/// Says what the test says; `None` is an error.
struct Rule(Mutex<Option<Says>>);

#[async_trait]
impl Policy for Rule {
    async fn evaluate(&self, _: &PolicyInput<'_>) -> Result<Says, PolicyError> {
        self.0.lock().unwrap().clone().ok_or_else(|| PolicyError::Unavailable("told to fail".into()))
    }
    fn revision(&self) -> Revision {
        Revision::default()
    }
}

struct World {
    engine: Engine,
    clock: ManualClock,
    calls: Arc<AtomicUsize>,
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn needs(approvals: u32) -> Option<Says> {
    let approvals = NonZeroU32::new(approvals).unwrap();
    Some(Says::Ask(Requirement { approvals, number_match: false, ..Requirement::default() }))
}

async fn world(says: Option<Says>) -> World {
    let clock = ManualClock::default();
    let admins = GroupName::parse("admins").unwrap();
    let people = ["ada", "grace"].map(|name| (user(name), vec![admins.clone()]));
    let engine = Engine::builder()
        .store(MemoryStore::new())
        .policy(Rule(Mutex::new(says)))
        .directory(FixedDirectory::new(people))
        .admin_groups(vec![admins])
        .clock(clock.clone())
        .build()
        .await
        .unwrap();
    World { engine, clock, calls: Arc::default() }
}

fn question() -> Box<dyn Challenge> {
    let target = Target::Named(TargetName::parse("shop/production").unwrap());
    Box::new(FreeChallenge::new(ChallengeKind::parse("deploy").unwrap(), user("ann"), target, "deploy shop 4.2"))
}

impl World {
    fn gate(&self) -> GateLayer<Request> {
        GateLayer::new(self.engine.clone(), |request: &Request| request.asks.then(question))
            .nonce(|request: &Request| request.key.map(|key| nonce_of(&user("ann"), key)))
            .attach(|request, grant| request.grant = Some(grant))
    }

    /// Sends a request to a service that answers whether it saw a grant.
    async fn send_through(&self, gate: GateLayer<Request>, request: Request) -> Result<bool, BoxError> {
        let calls = Arc::clone(&self.calls);
        let inner = service_fn(move |request: Request| {
            calls.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, Infallible>(request.grant.is_some()) }
        });
        gate.layer(inner).oneshot(request).await
    }

    async fn send(&self, request: Request) -> Result<bool, BoxError> {
        self.send_through(self.gate(), request).await
    }

    /// Sends it as its own task and gives the question that it then waits for.
    async fn held(self: &Arc<Self>, request: Request) -> (JoinHandle<Result<bool, BoxError>>, Arc<ChallengeRecord>) {
        let world = Arc::clone(self);
        let task = tokio::spawn(async move { world.send(request).await });
        (task, self.waiting().await)
    }

    async fn waiting(&self) -> Arc<ChallengeRecord> {
        let mut changes = self.engine.changes();
        loop {
            if let Some(record) = self.engine.visible(&self.actor("ann")).pop() {
                return record;
            }
            changes.changed().await.unwrap();
        }
    }

    async fn none_waits(&self) {
        let mut changes = self.engine.changes();
        while !self.engine.visible(&self.actor("ann")).is_empty() {
            changes.changed().await.unwrap();
        }
    }

    fn actor(&self, name: &str) -> Actor {
        Actor::vouched("test", user(name), self.clock.now(), Strength::SignedIn)
    }

    async fn vote(&self, record: &ChallengeRecord, name: &str, yes: bool) {
        let vote = if yes { Vote::Approve { reason: None, number: None } } else { Vote::Deny { reason: None } };
        self.engine.vote(record.question().id, &self.actor(name), vote).await.unwrap();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn count(&self, kind: EventKind) -> usize {
        let events = recorded(&**self.engine.store()).await;
        assert_eq!(undeclared(&events), Vec::<String>::new());
        events.iter().filter(|event| event.kind == kind).count()
    }
}

fn why(result: Result<bool, BoxError>) -> Withheld {
    *result.unwrap_err().downcast::<Withheld>().expect("the gate's own reason")
}

#[tokio::test]
async fn what_needs_no_question_passes_at_once() {
    let world = world(None).await;
    assert!(!world.send(Request::default()).await.unwrap());
    assert_eq!(world.calls(), 1);
    assert!(recorded(&**world.engine.store()).await.is_empty());
}

#[tokio::test]
async fn a_granted_request_goes_ahead_once_with_its_grant() {
    let world = Arc::new(world(needs(2)).await);
    let (task, record) = world.held(ASKED).await;
    world.vote(&record, "ada", true).await;
    assert_eq!(world.calls(), 0, "one of two is not enough");
    world.vote(&record, "grace", true).await;
    assert!(task.await.unwrap().unwrap(), "the inner service saw the grant");
    assert_eq!((world.calls(), world.count(EventKind::GrantSpent).await), (1, 1));
}

#[tokio::test]
async fn a_rule_may_let_it_pass_or_refuse_it_without_asking() {
    let allowed = world(Some(Says::Allow(crate::id::RuleName::parse("staging").unwrap()))).await;
    assert!(allowed.send(ASKED).await.unwrap());
    let refused = world(Some(Says::Refuse { rule: None, text: "never".into() })).await;
    assert!(matches!(why(refused.send(ASKED).await), Withheld::Refused(Refusal::Rule { .. })));
    assert_eq!((allowed.calls(), refused.calls()), (1, 0));
}

#[tokio::test]
async fn no_is_no() {
    let world = Arc::new(world(needs(1)).await);
    let (task, record) = world.held(ASKED).await;
    world.vote(&record, "ada", false).await;
    assert!(matches!(why(task.await.unwrap()), Withheld::Refused(Refusal::Denied { .. })));
    assert_eq!(world.calls(), 0);
}

#[tokio::test]
async fn silence_is_no() {
    let world = Arc::new(world(needs(1)).await);
    let (task, record) = world.held(ASKED).await;
    world.clock.set(record.question().expires_at);
    assert!(matches!(why(task.await.unwrap()), Withheld::Refused(Refusal::Expired)));
    assert_eq!(world.calls(), 0);
}

#[tokio::test]
async fn an_error_is_no() {
    let world = world(None).await;
    assert!(matches!(why(world.send(ASKED).await), Withheld::Failed(EngineError::Policy(_))));
    assert_eq!(world.calls(), 0);
}

#[tokio::test]
async fn a_stop_is_no_and_leaves_no_question() {
    let world = Arc::new(world(needs(1)).await);
    let (task, _) = world.held(ASKED).await;
    world.engine.drain();
    assert!(matches!(why(task.await.unwrap()), Withheld::Failed(EngineError::ShuttingDown)));
    world.none_waits().await;
    world.engine.shutdown().await;
    assert_eq!((world.calls(), world.count(EventKind::ChallengeCancelled).await), (0, 1));
}

#[tokio::test]
async fn a_caller_that_hangs_up_takes_its_question_back() {
    let world = Arc::new(world(needs(1)).await);
    let (task, _) = world.held(ASKED).await;
    task.abort();
    world.none_waits().await;
    assert_eq!((world.calls(), world.count(EventKind::ChallengeCancelled).await), (0, 1));
}

#[tokio::test]
async fn a_caller_that_hangs_up_while_its_question_is_opened_leaves_none() {
    let world = world(needs(1)).await;
    let mut changes = world.engine.changes();
    {
        let mut call = std::pin::pin!(world.send(ASKED));
        let first = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        assert!(first.is_pending());
    }
    changes.changed().await.unwrap();
    world.none_waits().await;
    assert_eq!(world.count(EventKind::ChallengeCancelled).await, 1);
}

#[tokio::test]
async fn a_caller_with_a_key_may_come_back_and_goes_ahead_once() {
    let world = Arc::new(world(needs(1)).await);
    let keyed = Request { key: Some("4711"), ..ASKED };
    let (task, record) = world.held(keyed.clone()).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    world.vote(&record, "ada", true).await;
    assert!(world.send(keyed.clone()).await.unwrap());
    assert!(matches!(why(world.send(keyed).await), Withheld::Spent));
    assert_eq!((world.calls(), world.count(EventKind::ChallengeCreated).await), (1, 1));
}

#[tokio::test]
async fn of_simultaneous_requests_with_one_key_one_goes_ahead() {
    let world = Arc::new(world(needs(1)).await);
    let keyed = Request { key: Some("4711"), ..ASKED };
    let (first, record) = world.held(keyed.clone()).await;
    let (second, _) = world.held(keyed).await;
    world.vote(&record, "ada", true).await;
    let ahead = [first.await.unwrap(), second.await.unwrap()].iter().filter(|result| result.is_ok()).count();
    assert_eq!((ahead, world.calls()), (1, 1));
}

#[tokio::test]
async fn impatience_answers_at_once_where_to_look() {
    let world = world(needs(1)).await;
    let keyed = Request { key: Some("4711"), ..ASKED };
    let gate = world.gate().patience(Duration::ZERO);
    let Withheld::Pending { record, have: 0, need: 1 } = why(world.send_through(gate, keyed.clone()).await) else {
        panic!("it waits")
    };
    assert_eq!(record.question().nonce, nonce_of(&user("ann"), "4711"));
    world.vote(&record, "ada", true).await;
    assert!(world.send(keyed).await.unwrap());
}

#[tokio::test]
async fn the_reason_becomes_a_response() {
    let world = world(Some(Says::Refuse { rule: None, text: "never".into() })).await;
    let inner = service_fn(|_: Request| async { Ok::<_, Infallible>("done".to_owned()) });
    let gate = world.gate().otherwise(|request: &Request, why| format!("{} {why}", request.asks));
    assert_eq!(gate.layer(inner).oneshot(ASKED).await.unwrap(), "true refused by the policy: never");
}

#[tokio::test]
async fn held_requests_keep_no_place_of_the_inner_service() {
    let world = Arc::new(world(needs(1)).await);
    let inner = service_fn(|request: Request| async move { Ok::<_, Infallible>(request.grant.is_some()) });
    let service = ServiceBuilder::new().layer(world.gate()).layer(ConcurrencyLimitLayer::new(1)).service(inner);
    let held = tokio::spawn(service.clone().oneshot(ASKED));
    let record = world.waiting().await;
    assert!(!service.clone().oneshot(Request::default()).await.unwrap(), "the one place is free");
    world.vote(&record, "ada", true).await;
    assert!(held.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_grant_that_lapses_while_the_inner_service_is_busy_is_worth_nothing() {
    let world = Arc::new(world(needs(1)).await);
    let (calls, busy) = (Arc::clone(&world.calls), Arc::new(tokio::sync::Semaphore::new(0)));
    let inner = service_fn(move |_: Request| {
        calls.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(true) }
    });
    let limit = tower::limit::GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&busy));
    let task = tokio::spawn(ServiceBuilder::new().layer(world.gate()).layer(limit).service(inner).oneshot(ASKED));
    let record = world.waiting().await;
    world.vote(&record, "ada", true).await;
    world.none_waits().await;
    tokio::task::yield_now().await;
    world.clock.advance(Duration::from_secs(3600));
    busy.add_permits(1);
    assert!(matches!(why(task.await.unwrap()), Withheld::Refused(Refusal::Lapsed)));
    assert_eq!(world.calls(), 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Vote(&'static str, bool),
    Pass(u64),
    HangUp,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::sample::select(vec!["ann", "ada", "grace", "mallory"]), prop::bool::weighted(0.8))
            .prop_map(|(who, yes)| Step::Vote(who, yes)),
        2 => (0..70u64).prop_map(Step::Pass),
        1 => Just(Step::HangUp),
        1 => Just(Step::Drain),
    ]
}

fn outcome() -> impl Strategy<Value = Option<Says>> {
    prop_oneof![
        4 => (1..4u32).prop_map(needs),
        1 => Just(Some(Says::Allow(crate::id::RuleName::parse("staging").unwrap()))),
        1 => Just(Some(Says::Refuse { rule: None, text: String::new() })),
        1 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_inner_service_is_never_called_without_a_grant(
        says in outcome(), keyed in any::<bool>(), patience in prop::option::of(0..90u64), steps in prop::collection::vec(step(), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (calls, granted, spent, went) = runtime.block_on(async {
            let world = Arc::new(world(says).await);
            let gate = match patience {
                Some(secs) => world.gate().patience(Duration::from_secs(secs)),
                None => world.gate(),
            };
            let (sender, request) = (Arc::clone(&world), Request { key: keyed.then_some("1"), ..ASKED });
            let task = tokio::spawn(async move { sender.send_through(gate, request).await });
            for _ in 0..20 { tokio::task::yield_now().await; }
            let all = [world.engine.visible(&world.actor("ann"))].concat();
            for step in steps {
                match step {
                    Step::Vote(who, yes) => for record in &all { world.vote(record, who, yes).await; },
                    Step::Pass(secs) => world.clock.advance(Duration::from_secs(secs)),
                    Step::HangUp => task.abort(),
                    Step::Drain => world.engine.drain(),
                }
                for _ in 0..20 { tokio::task::yield_now().await; }
            }
            world.engine.drain();
            let went = task.await.is_ok_and(|result| result.is_ok());
            world.engine.shutdown().await;
            let granted = world.count(EventKind::ChallengeApproved).await + world.count(EventKind::ChallengeAllowed).await;
            (world.calls(), granted, world.count(EventKind::GrantSpent).await, went)
        });
        prop_assert!(calls <= granted && calls <= 1, "{calls} calls, {granted} grants");
        prop_assert!(calls <= spent, "what goes ahead is on record");
        prop_assert_eq!(usize::from(went), calls);
    }
}
