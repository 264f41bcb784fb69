//! What the dispatch promises, each as one test.

use crate::testkit::journal::{recorded, undeclared};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::actor::{Actor, Strength};
use crate::audit::{AuditEvent, EventKind};
use crate::challenge::{FreeChallenge, Settled};
use crate::directory::FixedDirectory;
use crate::engine::{Ask, Engine, Opened, Vote};
use crate::id::{ChallengeKind, GroupName, HostName, Target};
use crate::policy::{Outcome, Policy, PolicyError, PolicyInput, Requirement, Revision};
use crate::store::{Documents as _, MemoryStore, Page};
use crate::testkit::fakes::user;
use crate::testkit::recorder::{Received, Recorder};
use crate::time::{Clock as _, ManualClock};

/// Asks for two approvals.
struct Two(Requirement);

#[async_trait]
impl Policy for Two {
    async fn evaluate(&self, _: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
        Ok(Outcome::Ask(self.0.clone()))
    }
    fn revision(&self) -> Revision {
        Revision::default()
    }
}

fn two() -> Requirement {
    Requirement { approvals: NonZeroU32::new(2).unwrap(), number_match: false, ..Requirement::default() }
}

struct World {
    engine: Engine,
    clock: ManualClock,
}

/// An engine on this store, with a change to its builder.
async fn world(
    store: &Arc<MemoryStore>,
    clock: &ManualClock,
    with: impl FnOnce(crate::engine::EngineBuilder) -> crate::engine::EngineBuilder,
) -> World {
    let admins = GroupName::parse("admins").unwrap();
    let people = ["ada", "grace"].map(|name| (user(name), vec![admins.clone()]));
    let builder = Engine::builder()
        .store(Arc::clone(store))
        .policy(Two(two()))
        .directory(FixedDirectory::new(people))
        .admin_groups(vec![admins])
        .clock(clock.clone());
    World { engine: with(builder).build().await.unwrap(), clock: clock.clone() }
}

async fn simple(recorder: &Recorder) -> World {
    world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(recorder.clone())).await
}

impl World {
    async fn open(&self) -> Opened {
        self.open_by("ann").await
    }

    async fn open_by(&self, name: &str) -> Opened {
        let target = Target::Host(HostName::parse("web1").unwrap());
        let challenge = FreeChallenge::new(ChallengeKind::parse("deploy").unwrap(), user(name), target, "deploy");
        self.engine.open(Ask::new(&challenge)).await.unwrap()
    }

    async fn vote(&self, opened: &Opened, name: &str, yes: bool) {
        let vote = if yes { Vote::Approve { reason: None, number: None } } else { Vote::Deny { reason: None } };
        let actor = Actor::vouched("test", user(name), self.clock.now(), Strength::SignedIn);
        self.engine.vote(opened.record.question().id, &actor, vote).await.unwrap();
    }

    async fn events(&self) -> Vec<AuditEvent> {
        let all = recorded(&**self.engine.store()).await;
        assert_eq!(undeclared(&all), Vec::<String>::new());
        all.into_iter()
            .filter(|event| matches!(event.kind, EventKind::NoticeDelivered | EventKind::NoticeFailed))
            .collect()
    }

    /// Waits until so many outcomes are in the journal: a fact of the store, so it is looked up at each turn.
    async fn outcomes(&self, count: usize) -> Vec<AuditEvent> {
        loop {
            let events = self.events().await;
            if events.len() >= count {
                return events;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn documents(&self) -> usize {
        let of = super::delivery::DELIVERIES;
        self.engine.store().documents(of, self.clock.now(), Page::first(10)).await.unwrap().items.len()
    }

    /// Lets everything run that can, then says what the recorder has.
    async fn quiet(&self, recorder: &Recorder) -> Vec<Received> {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        recorder.so_far()
    }
}

fn stages(received: &[Received]) -> Vec<(&'static str, Option<&str>)> {
    let stage = |received: &Received| match received.notice.stage {
        Stage::Opened => "opened",
        Stage::Updated => "updated",
        Stage::Settled { .. } => "settled",
    };
    received.iter().map(|call| (stage(call), call.prior.as_ref().map(|prior| prior.0.as_str()))).collect()
}

#[tokio::test]
async fn a_question_is_told_updated_and_settled_with_what_went_before() {
    let recorder = Recorder::new("room");
    let world = simple(&recorder).await;
    let opened = world.open().await;
    recorder.received(1).await;
    world.vote(&opened, "ada", true).await;
    recorder.received(2).await;
    world.vote(&opened, "grace", true).await;
    let all = recorder.received(3).await;
    assert_eq!(stages(&all), [("opened", None), ("updated", Some("1")), ("settled", Some("2"))]);
    assert!(matches!(all[2].notice.stage, Stage::Settled { how: Settled::Granted(_), .. }));
    assert_eq!(all[0].notice.recipients, [user("ann"), user("ada"), user("grace")]);
    let events = world.outcomes(3).await;
    assert!(events.iter().all(|event| event.kind == EventKind::NoticeDelivered));
    assert_eq!(world.documents().await, 0, "what is over leaves nothing behind");
}

#[tokio::test]
async fn no_notice_holds_the_code_of_its_question() {
    let recorder = Recorder::new("room");
    let world = world(&Arc::default(), &ManualClock::default(), |builder| {
        builder.notifier(recorder.clone()).page_url(|id| format!("https://approve.example/{id}"))
    })
    .await;
    let opened = world.open().await;
    let [call] = &recorder.received(1).await[..] else { panic!("one") };
    let code = &opened.record.question().code;
    let shown = format!("{:?} {}", call.notice, call.notice);
    assert!(!shown.contains(code.as_str()) && !shown.contains(code.number()), "{shown}");
    assert_eq!(call.notice.url, Some(format!("https://approve.example/{}", opened.record.question().id)));
}

#[tokio::test]
async fn the_requester_is_left_out_where_the_rule_forbids_their_vote() {
    let recorder = Recorder::new("room");
    let rule = Requirement { requester_may_approve: false, ..two() };
    let world =
        world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(recorder.clone()).policy(Two(rule)))
            .await;
    world.open().await;
    assert_eq!(recorder.received(1).await[0].notice.recipients, [user("ada"), user("grace")]);
}

#[tokio::test]
async fn routes_choose_channel_and_people() {
    let (room, pager) = (Recorder::new("room"), Recorder::new("pager"));
    let world = world(&Arc::default(), &ManualClock::default(), |builder| {
        builder.notifier(room.clone()).notifier(pager.clone()).routes(|_: &Notice| {
            let to = |name: &str, who: &str| Route {
                channel: ChannelName::parse(name).unwrap(),
                recipients: vec![user(who)],
            };
            vec![to("pager", "ada"), to("pager", "grace"), to("pager", "ada"), to("nowhere", "ada")]
        })
    })
    .await;
    world.open().await;
    assert_eq!(pager.received(1).await[0].notice.recipients, [user("ada"), user("grace")]);
    assert!(world.quiet(&room).await.is_empty());
}

#[tokio::test]
async fn what_a_rule_settles_at_once_is_nobodys_business() {
    struct Never;
    #[async_trait]
    impl Policy for Never {
        async fn evaluate(&self, _: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
            Ok(Outcome::Refuse { rule: None, text: "no".into() })
        }
        fn revision(&self) -> Revision {
            Revision::default()
        }
    }
    let recorder = Recorder::new("room");
    let world =
        world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(recorder.clone()).policy(Never))
            .await;
    world.open().await;
    assert!(world.quiet(&recorder).await.is_empty());
}

#[tokio::test]
async fn later_is_tried_again_with_growing_pauses() {
    let recorder = Recorder::new("room");
    for _ in 0..3 {
        recorder.answer(Err(NotifyError::later("busy")));
    }
    let world = simple(&recorder).await;
    world.open().await;
    for (calls, pause) in [(1, 1), (2, 2), (3, 4)] {
        recorder.received(calls).await;
        world.clock.advance(Duration::from_millis(pause * 1000 - 1));
        assert_eq!(world.quiet(&recorder).await.len(), calls, "not before {pause} s");
        world.clock.advance(Duration::from_millis(1));
    }
    recorder.received(4).await;
    assert_eq!(world.outcomes(1).await[0].kind, EventKind::NoticeDelivered);
}

#[tokio::test]
async fn the_end_of_the_question_ends_the_tries() {
    let recorder = Recorder::new("room");
    for _ in 0..100 {
        recorder.answer(Err(NotifyError::later("busy")));
    }
    let world = simple(&recorder).await;
    let opened = world.open().await;
    recorder.received(1).await;
    world.vote(&opened, "ada", false).await;
    let events = world.outcomes(1).await;
    assert_eq!((events[0].kind, events[0].details["error"].as_str()), (EventKind::NoticeFailed, "busy"));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.quiet(&recorder).await.len(), 1, "who was never told is not told of the end");
}

#[tokio::test]
async fn never_waits_for_the_next_change() {
    let recorder = Recorder::new("room");
    recorder.answer(Err(NotifyError::never("the room is gone")));
    let world = simple(&recorder).await;
    let opened = world.open().await;
    assert_eq!(world.outcomes(1).await[0].kind, EventKind::NoticeFailed);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.quiet(&recorder).await.len(), 1);
    world.vote(&opened, "ada", true).await;
    assert_eq!(stages(&recorder.received(2).await)[1], ("opened", None), "the first that arrives");
}

/// Waits until it is let go, or for ever; panics when told.
struct Odd {
    name: ChannelName,
    gate: tokio::sync::Semaphore,
    under_way: tokio::sync::watch::Sender<usize>,
    most: Mutex<usize>,
    panics: bool,
}

impl Odd {
    fn new(panics: bool) -> Arc<Self> {
        Arc::new(Self {
            name: ChannelName::parse("odd").unwrap(),
            gate: tokio::sync::Semaphore::new(0),
            under_way: tokio::sync::watch::Sender::new(0),
            most: Mutex::default(),
            panics,
        })
    }

    async fn busy(&self, count: usize) {
        self.under_way.subscribe().wait_for(|now| *now >= count).await.unwrap();
    }
}

#[async_trait]
impl Notifier for Odd {
    fn name(&self) -> &ChannelName {
        &self.name
    }
    async fn deliver(&self, _: &Notice, _: Option<&DeliveryRef>) -> Result<Option<DeliveryRef>, NotifyError> {
        assert!(!self.panics, "as told");
        self.under_way.send_modify(|now| *now += 1);
        {
            let mut most = self.most.lock().unwrap();
            *most = (*most).max(*self.under_way.borrow());
        }
        self.gate.acquire().await.unwrap().forget();
        self.under_way.send_modify(|now| *now -= 1);
        Ok(None)
    }
}

#[tokio::test]
async fn a_hanging_channel_delays_no_question_and_no_vote_and_meets_its_deadline() {
    let odd = Odd::new(false);
    let world = world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(Arc::clone(&odd))).await;
    let opened = world.open().await;
    odd.busy(1).await;
    world.vote(&opened, "ada", true).await;
    world.vote(&opened, "grace", true).await;
    assert!(!world.engine.record(opened.record.question().id).await.unwrap().unwrap().is_pending());
    world.clock.advance(Duration::from_secs(30));
    assert!(world.outcomes(1).await[0].details["error"].contains("no answer within 30 s"));
}

#[tokio::test]
async fn a_burst_is_bounded() {
    let odd = Odd::new(false);
    let world = world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(Arc::clone(&odd))).await;
    for n in 0..40 {
        world.open_by(&format!("person{n}")).await;
    }
    odd.busy(8).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    odd.gate.add_permits(1000);
    world.outcomes(40).await;
    assert_eq!(*odd.most.lock().unwrap(), 8);
}

#[tokio::test]
async fn a_panic_is_the_failure_of_the_channel() {
    let (odd, recorder) = (Odd::new(true), Recorder::new("room"));
    let world =
        world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(odd).notifier(recorder.clone()))
            .await;
    world.open().await;
    recorder.received(1).await;
    let events = world.outcomes(2).await;
    let failed = events.iter().find(|event| event.kind == EventKind::NoticeFailed).unwrap();
    assert_eq!(failed.details["error"], "the channel panicked");
}

#[tokio::test]
async fn a_restart_tells_what_is_missing_and_repeats_nothing() {
    let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
    let (first, second) = (Recorder::new("room"), Recorder::new("room"));
    let before = world(&store, &clock, |builder| builder.notifier(first.clone())).await;
    let told = before.open().await;
    before.outcomes(1).await;
    first.answer(Err(NotifyError::later("busy")));
    let missing = before.open().await;
    first.received(2).await;
    before.engine.shutdown().await;

    let after = world(&store, &clock, |builder| builder.notifier(second.clone())).await;
    let received = second.received(1).await;
    assert_eq!(received[0].notice.id, missing.record.question().id);
    after.outcomes(2).await;
    assert_eq!(after.quiet(&second).await.len(), 1, "what was delivered is not repeated");
    after.vote(&told, "ada", false).await;
    let received = second.received(2).await;
    assert_eq!((received[1].notice.id, stages(&received)[1]), (told.record.question().id, ("settled", Some("1"))));
}

#[tokio::test]
async fn an_end_that_was_not_told_before_the_stop_is_told_after_it() {
    let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
    let (first, second) = (Recorder::new("room"), Recorder::new("room"));
    let before = world(&store, &clock, |builder| builder.notifier(first.clone())).await;
    let told = before.open().await;
    before.outcomes(1).await;
    first.answer(Err(NotifyError::later("busy")));
    before.vote(&told, "ada", false).await;
    first.received(2).await;
    before.engine.shutdown().await;

    let after = world(&store, &clock, |builder| builder.notifier(second.clone())).await;
    assert_eq!(stages(&second.received(1).await), [("settled", Some("1"))]);
    after.outcomes(2).await;
    assert_eq!(after.documents().await, 0);
}

#[tokio::test]
async fn a_stop_lets_a_delivery_finish_and_starts_none() {
    let odd = Odd::new(false);
    let world = world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(Arc::clone(&odd))).await;
    world.open().await;
    odd.busy(1).await;
    let engine = world.engine.clone();
    let stop = tokio::spawn(async move { engine.shutdown().await });
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!stop.is_finished());
    odd.gate.add_permits(1);
    stop.await.unwrap();
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn a_stop_waits_for_a_hanging_delivery_no_longer_than_its_grace() {
    let odd = Odd::new(false);
    let world = world(&Arc::default(), &ManualClock::default(), |builder| builder.notifier(Arc::clone(&odd))).await;
    world.open().await;
    odd.busy(1).await;
    let engine = world.engine.clone();
    let stop = tokio::spawn(async move { engine.shutdown().await });
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    world.clock.advance(Duration::from_secs(5));
    stop.await.unwrap();
    assert_eq!(world.events().await.len(), 0, "it is told again after the next start");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever fails and whenever votes come: one notice at a time, in order, the first is `opened`, the last is the end.
    #[test]
    fn each_channel_hears_a_story_in_order(fails in prop::collection::vec(0..3u8, 0..6), early in any::<bool>(), yes in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (received, delivered) = runtime.block_on(async {
            let recorder = Recorder::new("room");
            for fail in fails {
                recorder.answer(match fail {
                    0 => Err(NotifyError::later("busy")),
                    1 => Err(NotifyError::never("gone")),
                    _ => Ok(None),
                });
            }
            let world = simple(&recorder).await;
            let opened = world.open().await;
            for (name, yes) in [("ada", true), ("grace", yes)] {
                if !early {
                    world.quiet(&recorder).await;
                    world.clock.advance(Duration::from_secs(5));
                    world.quiet(&recorder).await;
                }
                world.vote(&opened, name, yes).await;
            }
            for _ in 0..12 {
                world.quiet(&recorder).await;
                world.clock.advance(Duration::from_secs(31));
            }
            world.quiet(&recorder).await;
            let events = world.events().await;
            (recorder.so_far(), events.iter().filter(|event| event.kind == EventKind::NoticeDelivered).count())
        });
        prop_assert!(received.windows(2).all(|pair| pair[0].notice.revision <= pair[1].notice.revision));
        prop_assert!(received.first().is_none_or(|first| first.notice.stage == Stage::Opened));
        let ends = received.iter().filter(|call| matches!(call.notice.stage, Stage::Settled { .. })).count();
        prop_assert!(ends == 0 || delivered > 0, "the end goes only to whom was told");
    }
}
