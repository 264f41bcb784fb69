//! What the engine promises, each as one test.

use crate::testkit::journal::{recorded, undeclared};
use std::num::NonZeroU32;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::actor::Strength;
use crate::audit::{AuditEvent, EventKind};
use crate::challenge::{FreeChallenge, Settled, State};
use crate::directory::FixedDirectory;
use crate::grant::{Decision, Expected, KeyRing, LocalSigner, Proven, verify};
use crate::id::{ChallengeKind, HostName, Target};
use crate::policy::{Outcome, PolicyInput, Requirement, Revision};
use crate::rng::SeededEntropy;
use crate::store::MemoryStore;
use crate::time::ManualClock;

/// Says what the test says.
struct Says(Mutex<Outcome>);

#[async_trait]
impl Policy for Says {
    async fn evaluate(&self, _: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn revision(&self) -> Revision {
        Revision("test".into())
    }
}

struct World {
    engine: Engine,
    clock: ManualClock,
    policy: Arc<Says>,
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn ask_from(requirement: Requirement) -> Outcome {
    Outcome::Ask(requirement)
}

async fn world(outcome: Outcome) -> World {
    let clock = ManualClock::default();
    let policy = Arc::new(Says(Mutex::new(outcome)));
    let admins = GroupName::parse("admins").unwrap();
    let people = ["ada", "grace", "linus"].map(|name| (user(name), vec![admins.clone()]));
    let engine = Engine::builder()
        .store(MemoryStore::new())
        .policy(Arc::clone(&policy))
        .directory(FixedDirectory::new(people))
        .admin_groups(vec![admins])
        .clock(clock.clone())
        .entropy(SeededEntropy::new(7))
        .build()
        .await
        .unwrap();
    World { engine, clock, policy }
}

impl World {
    fn actor(&self, name: &str) -> Actor {
        Actor::vouched("test", user(name), self.clock.now(), Strength::SignedIn)
    }

    async fn open(&self) -> Opened {
        self.open_with(None).await
    }

    async fn open_with(&self, nonce: Option<Nonce>) -> Opened {
        let challenge = question("whoami");
        self.engine.open(Ask { nonce, ..Ask::new(&challenge) }).await.unwrap()
    }

    async fn vote(&self, opened: &Opened, name: &str, vote: Vote) -> Verdict {
        self.engine.vote(opened.record.question().id, &self.actor(name), vote).await.unwrap()
    }

    async fn kinds(&self) -> Vec<EventKind> {
        self.events().await.iter().map(|event| event.kind).collect()
    }

    async fn events(&self) -> Vec<AuditEvent> {
        let events = recorded(&**self.engine.store()).await;
        assert_eq!(undeclared(&events), Vec::<String>::new());
        events
    }
}

fn question(action: &str) -> FreeChallenge {
    let target = Target::Host(HostName::parse("web1").unwrap());
    FreeChallenge::new(ChallengeKind::parse("sudo").unwrap(), user("ann"), target, action)
}

fn yes() -> Vote {
    Vote::Approve { reason: None, number: None }
}

fn yes_with(opened: &Opened) -> Vote {
    Vote::Approve { reason: None, number: Some(opened.record.question().code.number().to_owned()) }
}

fn no() -> Vote {
    Vote::Deny { reason: Some("not now".into()) }
}

fn refused(why: VoteRefusal) -> Verdict {
    Verdict::Refused(Refusal::Vote(why))
}

#[tokio::test]
async fn a_person_approves_their_own_question_and_the_waiter_has_a_grant() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    assert_eq!(opened.verdict, Verdict::Pending { have: 0, need: 1 });
    let id = opened.record.question().id;
    let (waited, voted) = tokio::join!(world.engine.wait(id, Timestamp::MAX), world.vote(&opened, "ann", yes()));
    assert!(matches!(voted, Verdict::Granted(_)));
    assert_eq!(waited.unwrap(), voted, "both are the same signed answer");
    assert_eq!(world.kinds().await, [EventKind::ChallengeCreated, EventKind::ChallengeApproved]);
}

#[tokio::test]
async fn events_tell_where_their_call_came_from() {
    let world = world(ask_from(Requirement::default())).await;
    let from = |request: &str| Whence {
        via: Some("host credential"),
        address: Some([192, 0, 2, 1].into()),
        request: Some(request.into()),
    };
    let (challenge, whence) = (question("whoami"), from("asks"));
    let opened = world.engine.open(Ask { whence: Some(&whence), ..Ask::new(&challenge) }).await.unwrap();
    let voter = world.actor("ann").calling_from(from("votes"));
    world.engine.vote(opened.record.question().id, &voter, yes()).await.unwrap();
    let events = world.events().await;
    let told = |event: &AuditEvent| {
        assert_eq!(event.details["address"], "192.0.2.1");
        (event.kind, event.via.clone().unwrap(), event.details["request"].clone())
    };
    assert_eq!(told(&events[0]), (EventKind::ChallengeCreated, "host credential".into(), "asks".into()));
    assert_eq!(
        told(&events[1]),
        (EventKind::ChallengeApproved, "test".into(), "votes".into()),
        "the actor's own way in"
    );
}

#[tokio::test]
async fn the_signed_answer_proves_exactly_this_question() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    assert_eq!(world.engine.answer(&opened.record).await.unwrap(), None);
    world.vote(&opened, "ann", yes()).await;
    let record = world.engine.record(opened.record.question().id).await.unwrap().unwrap();
    let signed = world.engine.answer(&record).await.unwrap().unwrap();
    let keys = KeyRing::new(vec![world.engine.decision_key()]).unwrap();
    let question = record.question();
    let expected = Expected {
        nonce: &question.nonce,
        target: &question.target,
        kind: &question.kind,
        requester: &question.requester,
        run_as_user: None,
        run_as_group: None,
        payload_sha256: &question.payload_sha256,
    };
    assert!(
        matches!(verify(&signed, &keys, &expected), Ok(Proven::Grant(grant)) if grant.answer().extra("by") == Some("ann"))
    );
}

#[tokio::test]
async fn a_stranger_sees_nothing_and_decides_nothing() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    let eve = world.actor("eve");
    assert!(world.engine.visible(&eve).is_empty());
    assert!(world.engine.question_by_code(&opened.record.question().code, &eve).await.unwrap().is_none());
    for vote in [yes_with(&opened), no()] {
        assert_eq!(world.vote(&opened, "eve", vote).await, refused(VoteRefusal::NotFound));
    }
    let stated = Actor::vouched("host credential", user("ann"), world.clock.now(), Strength::Stated);
    let id = opened.record.question().id;
    assert_eq!(world.engine.vote(id, &stated, yes()).await.unwrap(), refused(VoteRefusal::NotFound));
    assert!(world.engine.record(id).await.unwrap().unwrap().is_pending());
}

#[tokio::test]
async fn an_administrator_types_the_number_for_somebody_elses_question() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    for number in [None, Some("000000".to_owned())] {
        let vote = Vote::Approve { reason: None, number };
        assert_eq!(world.vote(&opened, "ada", vote).await, refused(VoteRefusal::WrongNumber));
    }
    assert!(matches!(world.vote(&opened, "ada", yes_with(&opened)).await, Verdict::Granted(_)));
}

#[tokio::test]
async fn five_wrong_numbers_end_the_question_whoever_typed_them() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    let wrong = |number: &str| Vote::Approve { reason: None, number: Some(number.to_owned()) };
    for (name, number) in [("ada", "000000"), ("grace", "1"), ("ada", "000001"), ("linus", "12345678")] {
        assert_eq!(world.vote(&opened, name, wrong(number)).await, refused(VoteRefusal::WrongNumber));
        assert_eq!(world.vote(&opened, name, wrong("  ")).await, refused(VoteRefusal::WrongNumber), "nothing typed");
    }
    let text = "a wrong number was typed 5 times".to_owned();
    let ended = Verdict::Refused(Refusal::Rule { rule: None, text });
    assert_eq!(world.vote(&opened, "ada", wrong("000002")).await, ended);
    assert_eq!(world.vote(&opened, "ada", yes_with(&opened)).await, refused(VoteRefusal::AlreadySettled));
    let events = world.events().await;
    let last = events.iter().find(|event| event.kind == EventKind::ChallengeRefused).unwrap();
    assert_eq!(last.actor, Some(user("ada")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_guesses_are_all_counted() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    let id = opened.record.question().id;
    let guesses = (0..40).map(|guess| {
        let (engine, actor) = (world.engine.clone(), world.actor("ada"));
        let vote = Vote::Approve { reason: None, number: Some(format!("{guess:07}")) };
        tokio::spawn(async move { engine.vote(id, &actor, vote).await.unwrap() })
    });
    let mut wrong = 0;
    for guess in guesses.collect::<Vec<_>>() {
        wrong += usize::from(guess.await.unwrap() == refused(VoteRefusal::WrongNumber));
    }
    assert_eq!(wrong, 4);
}

#[tokio::test]
async fn a_quorum_counts_distinct_people() {
    let two = Requirement { approvals: NonZeroU32::new(2).unwrap(), ..Requirement::default() };
    let world = world(ask_from(two)).await;
    let opened = world.open().await;
    assert_eq!(world.vote(&opened, "ann", yes()).await, Verdict::Pending { have: 1, need: 2 });
    assert_eq!(world.vote(&opened, "ann", yes()).await, refused(VoteRefusal::AlreadyVoted));
    assert!(matches!(world.vote(&opened, "ada", yes_with(&opened)).await, Verdict::Granted(_)));
}

#[tokio::test]
async fn rules_on_who_may_approve_hold() {
    let admin_only = Requirement { require_admin: true, ..Requirement::default() };
    let world = world(ask_from(admin_only)).await;
    let opened = world.open().await;
    assert_eq!(world.vote(&opened, "ann", yes()).await, refused(VoteRefusal::AdminOnly));

    *world.policy.0.lock().unwrap() =
        ask_from(Requirement { requester_may_approve: false, fresh_within_secs: Some(300), ..Requirement::default() });
    let opened = world.open().await;
    assert_eq!(world.vote(&opened, "ann", yes()).await, refused(VoteRefusal::NotYourOwn));
    let stale = Actor::vouched("test", user("ada"), world.clock.now() - Duration::from_secs(300), Strength::SignedIn);
    let vote = world.engine.vote(opened.record.question().id, &stale, yes_with(&opened)).await.unwrap();
    assert_eq!(vote, refused(VoteRefusal::StaleSignIn));
}

#[tokio::test]
async fn the_stricter_of_then_and_now_counts() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    *world.policy.0.lock().unwrap() = ask_from(Requirement { require_admin: true, ..Requirement::default() });
    assert_eq!(world.vote(&opened, "ann", yes()).await, refused(VoteRefusal::AdminOnly));
    *world.policy.0.lock().unwrap() = Outcome::Refuse { rule: None, text: "closed".into() };
    let verdict = world.vote(&opened, "ada", yes_with(&opened)).await;
    assert_eq!(verdict, Verdict::Refused(Refusal::Rule { rule: None, text: "closed".into() }));
    assert!(!world.engine.record(opened.record.question().id).await.unwrap().unwrap().is_pending());
}

#[tokio::test]
async fn a_rule_settles_at_once() {
    let rule = RuleName::parse("ci").unwrap();
    let world = world(Outcome::Allow(rule.clone())).await;
    assert!(matches!(world.open().await.verdict, Verdict::Granted(_)));
    *world.policy.0.lock().unwrap() = Outcome::Refuse { rule: Some(rule), text: "never".into() };
    assert!(matches!(world.open().await.verdict, Verdict::Refused(Refusal::Rule { .. })));
    assert_eq!(world.kinds().await, [EventKind::ChallengeAllowed, EventKind::ChallengeRefused]);
}

#[tokio::test]
async fn without_a_policy_everything_is_refused() {
    let engine = Engine::builder().build().await.unwrap();
    let verdict = engine.open(Ask::new(&question("whoami"))).await.unwrap().verdict;
    assert!(matches!(verdict, Verdict::Refused(Refusal::Rule { rule: None, .. })));
}

#[tokio::test]
async fn the_same_nonce_is_the_same_question_and_never_another() {
    let world = world(ask_from(Requirement::default())).await;
    let nonce = Some(Nonce::from_bytes([9; 32]));
    let first = world.open_with(nonce).await;
    let again = world.open_with(nonce).await;
    assert_eq!(first.record, again.record);
    assert_eq!(world.kinds().await.len(), 1);
    let other = question("rm -rf /");
    let reused = world.engine.open(Ask { nonce, ..Ask::new(&other) }).await;
    assert!(matches!(reused, Err(EngineError::NonceReused)));
}

#[tokio::test]
async fn no_question_outlives_its_deadline() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    let id = opened.record.question().id;
    let waiting = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.wait(id, Timestamp::MAX).await.unwrap() }
    });
    world.clock.advance(Duration::from_secs(119));
    assert!(world.engine.record(id).await.unwrap().unwrap().is_pending());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(waiting.await.unwrap(), Verdict::Refused(Refusal::Expired));
    assert_eq!(world.vote(&opened, "ann", yes()).await, refused(VoteRefusal::AlreadySettled));
}

#[tokio::test]
async fn a_vote_after_the_deadline_expires_the_question_even_before_the_sweep_does() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    world.clock.advance(Duration::from_secs(120)); // this test's runtime has not run the sweep yet
    assert_eq!(world.vote(&opened, "ann", yes()).await, refused(VoteRefusal::AlreadySettled));
    let record = world.engine.record(opened.record.question().id).await.unwrap().unwrap();
    assert!(matches!(record.state(), State::Settled { how: Settled::Expired, .. }));
}

#[tokio::test]
async fn a_grant_is_good_for_half_a_minute() {
    let world = world(ask_from(Requirement::default())).await;
    let nonce = Some(Nonce::from_bytes([9; 32]));
    let opened = world.open_with(nonce).await;
    world.vote(&opened, "ann", yes()).await;
    world.clock.advance(Duration::from_secs(30));
    assert!(matches!(world.open_with(nonce).await.verdict, Verdict::Granted(_)));
    world.clock.advance(Duration::from_millis(1));
    let late = world.open_with(nonce).await;
    assert_eq!(late.verdict, Verdict::Refused(Refusal::Lapsed));
    let answer = world.engine.answer(&late.record).await.unwrap().unwrap();
    assert_eq!(crate::grant::Answer::decode(&answer.bytes).unwrap().1.decision, Decision::Expired);
}

#[tokio::test]
async fn only_the_requester_takes_a_question_back() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    let id = opened.record.question().id;
    let cancelled = world.engine.cancel(id, &world.actor("ada")).await.unwrap();
    assert_eq!(cancelled, refused(VoteRefusal::NotFound));
    let cancelled = world.engine.cancel(id, &world.actor("ann")).await.unwrap();
    assert_eq!(cancelled, Verdict::Refused(Refusal::Cancelled { by: user("ann") }));
    assert_eq!(world.vote(&opened, "ann", yes()).await, refused(VoteRefusal::AlreadySettled));
    let again = world.engine.cancel(id, &world.actor("ann")).await.unwrap();
    assert_eq!(again, refused(VoteRefusal::AlreadySettled), "a replayed cancel changes nothing more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_simultaneous_votes_exactly_one_settles() {
    let world = world(ask_from(Requirement::default())).await;
    for _ in 0..20 {
        let opened = world.open().await;
        let id = opened.record.question().id;
        let votes = ["ann", "ada", "grace", "linus"].into_iter().flat_map(|name| {
            let vote = yes_with(&opened);
            [(name, vote), (name, no())].map(|(name, vote)| {
                let (engine, actor) = (world.engine.clone(), world.actor(name));
                tokio::spawn(async move { engine.vote(id, &actor, vote).await.unwrap() })
            })
        });
        let mut settled = 0;
        for vote in votes.collect::<Vec<_>>() {
            match vote.await.unwrap() {
                Verdict::Refused(Refusal::Vote(VoteRefusal::AlreadySettled)) => {}
                Verdict::Granted(_) | Verdict::Refused(Refusal::Denied { .. }) => settled += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(settled, 1);
        world.clock.advance(Duration::from_secs(60)); // whoever was denied often may ask again
    }
}

#[tokio::test]
async fn draining_answers_every_waiter_and_the_question_survives() {
    let world = world(ask_from(Requirement::default())).await;
    let opened = world.open().await;
    let id = opened.record.question().id;
    let (waited, ()) = tokio::join!(world.engine.wait(id, Timestamp::MAX), async { world.engine.drain() });
    assert_eq!(waited.unwrap(), Verdict::Pending { have: 0, need: 1 });
    world.engine.shutdown().await;

    let store = Arc::clone(world.engine.store());
    drop(world.engine);
    let again = Engine::builder().store(store).clock(world.clock.clone()).policy(world.policy).build().await.unwrap();
    assert_eq!(again.visible(&Actor::vouched("test", user("ann"), world.clock.now(), Strength::SignedIn)).len(), 1);
    let ann = Actor::vouched("test", user("ann"), world.clock.now(), Strength::SignedIn);
    assert!(matches!(again.vote(id, &ann, yes()).await.unwrap(), Verdict::Granted(_)));
}

#[tokio::test]
async fn waiting_for_nothing_is_an_error_and_not_an_answer() {
    let world = world(ask_from(Requirement::default())).await;
    let unknown = ChallengeId::from_bytes([0; 16]);
    assert!(matches!(world.engine.wait(unknown, Timestamp::MAX).await, Err(EngineError::NotFound)));
}

#[tokio::test]
async fn what_a_clock_wrote_that_has_gone_back_since_is_over_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let start = async |clock: &ManualClock| {
        let policy = Arc::new(Says(Mutex::new(ask_from(Requirement::default()))));
        Engine::builder().store(Arc::clone(&store)).policy(policy).clock(clock.clone()).build().await.unwrap()
    };
    let (clock, challenge) = (ManualClock::default(), question("whoami"));
    let before = start(&clock).await;
    let nonces = [1, 2].map(|byte| Nonce::from_bytes([byte; 32]));
    let open =
        async |engine: &Engine, nonce| engine.open(Ask { nonce: Some(nonce), ..Ask::new(&challenge) }).await.unwrap();
    open(&before, nonces[0]).await;
    let granted = open(&before, nonces[1]).await.record.question().id;
    let ann = Actor::vouched("test", user("ann"), clock.now(), Strength::SignedIn);
    assert!(matches!(before.vote(granted, &ann, yes()).await.unwrap(), Verdict::Granted(_)));
    before.shutdown().await;

    let after = start(&ManualClock::new(clock.now() - Duration::from_secs(3600))).await;
    let waiting = open(&after, nonces[0]).await.record.question().id;
    assert_eq!(after.wait(waiting, Timestamp::MAX).await.unwrap(), Verdict::Refused(Refusal::Expired));
    let record = after.record(granted).await.unwrap().unwrap();
    let answer = after.answer(&record).await.unwrap().unwrap();
    assert_eq!(crate::grant::Answer::decode(&answer.bytes).unwrap().1.decision, Decision::Expired);
    assert_eq!(after.wait(granted, Timestamp::MAX).await.unwrap(), Verdict::Refused(Refusal::Lapsed));
}

/// Counts what it signs.
struct Counting(LocalSigner, Arc<Mutex<u32>>);

#[async_trait]
impl Signer for Counting {
    fn public_key(&self) -> crate::grant::PublicKey {
        self.0.public_key()
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        *self.1.lock().unwrap() += 1;
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn an_answer_is_signed_once_and_never_outlives_its_grant() {
    let (count, clock) = (Arc::new(Mutex::new(0)), ManualClock::default());
    let signer = Counting(LocalSigner::generate(&SeededEntropy::new(3)), Arc::clone(&count));
    let policy = Arc::new(Says(Mutex::new(ask_from(Requirement::default()))));
    let engine = Engine::builder().policy(Arc::clone(&policy)).signer(signer).clock(clock.clone()).build();
    let world = World { engine: engine.await.unwrap(), clock, policy };
    let opened = world.open().await;
    let id = opened.record.question().id;
    let Verdict::Granted(grant) = world.vote(&opened, "ann", yes()).await else { panic!("not granted") };
    assert_eq!(world.engine.wait(id, world.clock.now()).await.unwrap(), Verdict::Granted(grant.clone()));
    let record = world.engine.record(id).await.unwrap().unwrap();
    let answer = world.engine.answer(&record).await.unwrap().unwrap();
    assert_eq!((answer.bytes, *count.lock().unwrap()), (grant.signed().bytes.clone(), 1));

    world.clock.advance(Duration::from_secs(31));
    let late = world.engine.answer(&record).await.unwrap().unwrap();
    assert_ne!(late.bytes, grant.signed().bytes, "the yes that was kept is not told again");
}
