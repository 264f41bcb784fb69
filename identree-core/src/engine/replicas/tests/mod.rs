//! What several engines over one store promise, each as one test.

use std::time::Duration;

use super::*;
use crate::actor::{Actor, Strength};
use crate::audit::EventKind;
use crate::challenge::{FreeChallenge, Settled, State};
use crate::directory::FixedDirectory;
use crate::engine::{
    Ask, Caps, ClockOff, CoolDown, Engine, EngineBuilder, EngineError, Limit, Opened, Refusal, Side, Verdict, Vote,
    VoteRefusal,
};
use crate::grant::LocalSigner;
use crate::id::{ChallengeKind, GroupName, HostName, Nonce, Target, UserName};
use crate::policy::RuleSet;
use crate::rng::SeededEntropy;
use crate::store::{Batch, Challenges as _, Change, Store as _};
use crate::testkit::journal::recorded;
use crate::testkit::recorder::Recorder;
use crate::testkit::shared::{Handle, Shared};
use crate::time::{Clock as _, ManualClock};

mod order;

pub(super) const MINUTES: Duration = Duration::from_secs(120);

/// Some engines over one store, each with a clock of its own.
struct Cluster {
    shared: Shared,
    clock: ManualClock,
    nodes: Vec<Node>,
}

struct Node {
    engine: Engine,
    handle: Handle,
    clock: ManualClock,
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

const RULES: &str = "
    [[policies]]\nname = \"two\"\nmatch_hosts = [\"two\"]\nmin_approvals = 2\nnumber_match = false
    [[policies]]\nname = \"free\"\nmatch_hosts = [\"free\"]\naction = \"allow\"
    [[policies]]\nname = \"default\"\nnumber_match = false";

async fn node(
    shared: &Shared,
    clock: &ManualClock,
    seed: u64,
    with: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Node {
    let admins = GroupName::parse("admins").unwrap();
    let people = ["ada", "grace", "linus"].map(|name| (user(name), vec![admins.clone()]));
    let (handle, clock) = (shared.handle(), ManualClock::new(clock.now()));
    let builder = Engine::builder()
        .store(handle.clone())
        .policy(RuleSet::parse(RULES).unwrap())
        .directory(FixedDirectory::new(people))
        .admin_groups(vec![admins])
        .signer(LocalSigner::generate(&SeededEntropy::new(4711)))
        .clock(clock.clone())
        .entropy(SeededEntropy::new(seed));
    Node { engine: with(builder).build().await.unwrap(), handle, clock }
}

impl Cluster {
    async fn new(size: u64) -> Self {
        Self::with(size, |builder| builder).await
    }

    async fn with(size: u64, with: impl Fn(EngineBuilder) -> EngineBuilder) -> Self {
        let clock = ManualClock::default();
        let shared = Shared::new(clock.clone());
        let mut nodes = Vec::new();
        for number in 0..size {
            nodes.push(node(&shared, &clock, 100 + number, &with).await);
        }
        Self { shared, clock, nodes }
    }

    /// Everybody's time goes on.
    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        for node in &self.nodes {
            node.clock.advance(by);
        }
    }

    async fn kinds(&self) -> Vec<EventKind> {
        recorded(self.shared.store()).await.iter().map(|event| event.kind).collect()
    }
}

fn question(host: &str) -> FreeChallenge {
    let target = Target::Host(HostName::parse(host).unwrap());
    FreeChallenge::new(ChallengeKind::parse("sudo").unwrap(), user("ann"), target, "whoami")
}

impl Node {
    async fn try_open(&self, host: &str, nonce: Option<u8>) -> Result<Opened, EngineError> {
        let nonce = nonce.map(|nonce| Nonce::from_bytes([nonce; 32]));
        self.engine.open(Ask { nonce, ..Ask::new(&question(host)) }).await
    }

    async fn open(&self, host: &str) -> ChallengeId {
        self.try_open(host, None).await.unwrap().record.question().id
    }

    fn actor(&self, name: &str) -> Actor {
        Actor::vouched("test", user(name), self.clock.now(), Strength::SignedIn)
    }

    async fn approve(&self, id: ChallengeId, by: &str) -> Result<Verdict, EngineError> {
        self.engine.vote(id, &self.actor(by), Vote::Approve { reason: None, number: None }).await
    }

    async fn deny(&self, id: ChallengeId, by: &str) -> Verdict {
        self.engine.vote(id, &self.actor(by), Vote::Deny { reason: None }).await.unwrap()
    }

    async fn wait(&self, id: ChallengeId) -> Verdict {
        self.engine.wait(id, Timestamp::MAX).await.unwrap()
    }

    /// Until so many questions wait here.
    async fn has_waiting(&self, count: usize) {
        let mut changes = self.engine.changes();
        while self.engine.visible(&self.actor("ann")).len() != count {
            changes.changed().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_asked_here_and_decided_there_is_known_everywhere() {
    let cluster = Cluster::new(3).await;
    let [a, b, c] = &cluster.nodes[..] else { unreachable!() };
    let id = a.open("web1").await;
    let waits = [a, b, c].map(|node| {
        let engine = node.engine.clone();
        tokio::spawn(async move { engine.wait(id, Timestamp::MAX).await.unwrap() })
    });
    b.has_waiting(1).await;
    let voted = b.approve(id, "ada").await.unwrap();
    assert!(matches!(voted, Verdict::Granted(_)));
    for wait in waits {
        assert_eq!(wait.await.unwrap(), voted, "every server signs the same bytes");
    }
    assert_eq!(cluster.kinds().await, [EventKind::ChallengeCreated, EventKind::ChallengeApproved]);
    assert!(a.engine.visible(&a.actor("ann")).is_empty() && c.engine.visible(&c.actor("ann")).is_empty());
}

#[tokio::test]
async fn what_another_server_did_is_read_once_and_told_to_whoever_follows() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let (reads, mut feed) = (b.handle.reads(), b.engine.follow());
    let id = a.open("web1").await;
    assert_eq!(feed.recv().await.unwrap().question().id, id);
    assert_eq!(b.handle.reads() - reads, 1);
    let code = a.engine.record(id).await.unwrap().unwrap().question().code.clone();
    assert!(b.engine.question_by_code(&code, &b.actor("ann")).await.unwrap().is_some());
    assert_eq!(b.handle.reads() - reads, 1, "from memory");
    a.deny(id, "ada").await;
    assert!(!feed.recv().await.unwrap().is_pending());
    assert_eq!(b.handle.reads() - reads, 2);
    assert_eq!(a.engine.load().questions + b.engine.load().questions, 0);
}

#[tokio::test]
async fn who_follows_is_told_also_where_somebody_waits_before_the_nudge_comes() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let mut feed = b.engine.follow();
    let id = a.open("web1").await;
    // Nothing has run on the other one since: it reads the question for whoever waits, and is told of it afterwards.
    let now = b.clock.now();
    assert!(matches!(b.engine.wait(id, now).await.unwrap(), Verdict::Pending { .. }));
    assert_eq!(feed.recv().await.unwrap().question().id, id);
    a.approve(id, "ada").await.unwrap();
    assert!(!feed.recv().await.unwrap().is_pending());
}

#[tokio::test]
async fn what_comes_in_one_go_is_read_with_one_query() {
    let cluster = Cluster::with(2, |builder| builder.caps(Caps { per_requester: 1000, ..Caps::default() })).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let reads = b.handle.reads();
    for number in 0..200 {
        a.open(&format!("web{number}")).await;
    }
    b.has_waiting(200).await;
    assert!(b.handle.reads() - reads <= 2, "{}", b.handle.reads() - reads);
}

#[tokio::test]
async fn one_nonce_on_two_servers_is_one_question() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    a.handle.cut();
    assert!(a.try_open("web1", Some(7)).await.is_err());
    a.handle.mend();
    let (one, other) = tokio::join!(a.try_open("web1", Some(7)), b.try_open("web1", Some(7)));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.record, other.record);
    assert_eq!(cluster.kinds().await, [EventKind::ChallengeCreated]);
    for node in [a, b] {
        node.has_waiting(1).await;
    }
}

#[tokio::test]
async fn votes_on_a_state_that_is_old_are_planned_anew() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let id = a.open("two").await;
    b.has_waiting(1).await;
    let (one, again) = tokio::join!(a.approve(id, "ada"), b.approve(id, "ada"));
    assert_eq!(one.unwrap(), Verdict::Pending { have: 1, need: 2 });
    assert_eq!(again.unwrap(), Verdict::Refused(Refusal::Vote(VoteRefusal::AlreadyVoted)));
    let (yes, no) = tokio::join!(a.approve(id, "grace"), b.deny(id, "linus"));
    assert!(matches!(yes.unwrap(), Verdict::Granted(_)));
    assert_eq!(no, Verdict::Refused(Refusal::Vote(VoteRefusal::AlreadySettled)));
    assert_eq!(a.wait(id).await, b.wait(id).await);
}

#[tokio::test]
async fn the_end_of_a_question_is_written_once() {
    let cluster = Cluster::new(3).await;
    let id = cluster.nodes[0].open("web1").await;
    for node in &cluster.nodes {
        node.has_waiting(1).await;
    }
    cluster.advance(MINUTES + Duration::from_secs(3));
    for node in &cluster.nodes {
        assert_eq!(node.wait(id).await, Verdict::Refused(Refusal::Expired));
    }
    assert_eq!(cluster.kinds().await, [EventKind::ChallengeCreated, EventKind::ChallengeExpired]);
}

#[tokio::test]
async fn a_question_whose_server_is_gone_is_ended_by_another() {
    let mut cluster = Cluster::new(2).await;
    let id = cluster.nodes[0].open("web1").await;
    cluster.nodes[1].has_waiting(1).await;
    let gone = cluster.nodes.remove(0);
    gone.engine.shutdown().await;
    drop(gone);
    let node = &cluster.nodes[0];
    let waits = tokio::spawn({
        let engine = node.engine.clone();
        async move { engine.wait(id, Timestamp::MAX).await }
    });
    cluster.advance(MINUTES);
    cluster.advance(Duration::from_millis(1250));
    assert_eq!(waits.await.unwrap().unwrap(), Verdict::Refused(Refusal::Expired));
}

#[tokio::test]
async fn what_was_missed_is_read_when_the_way_is_mended() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let settled = a.open("web1").await;
    let forgotten = a.open("web2").await;
    b.has_waiting(2).await;
    let waits = [settled, forgotten].map(|id| {
        let engine = b.engine.clone();
        tokio::spawn(async move { engine.wait(id, Timestamp::MAX).await })
    });
    b.handle.cut();
    a.deny(settled, "ada").await;
    a.handle.commit(Batch::unrecorded(vec![Change::Forget(forgotten)])).await.unwrap();
    let new = a.open("web3").await;
    b.handle.mend();
    let [settled, forgotten] = waits;
    assert!(matches!(settled.await.unwrap().unwrap(), Verdict::Refused(Refusal::Denied { .. })));
    assert!(matches!(forgotten.await.unwrap(), Err(EngineError::NotFound)));
    b.has_waiting(1).await;
    assert_eq!(b.engine.visible(&b.actor("ann"))[0].question().id, new);
}

#[tokio::test]
async fn what_nobody_told_is_found_within_half_a_minute() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let id = a.open("web1").await;
    b.has_waiting(1).await;
    // Straight into the store: no nudge.
    let record = cluster.shared.store().challenge(id).await.unwrap().unwrap();
    let denied = crate::testkit::fakes::expired(&record, cluster.clock.now());
    cluster.shared.store().commit(Batch::unrecorded(vec![Change::Advance(denied)])).await.unwrap();
    let waits = tokio::spawn({
        let engine = b.engine.clone();
        async move { engine.wait(id, Timestamp::MAX).await }
    });
    cluster.advance(LOOK_EVERY);
    assert_eq!(waits.await.unwrap().unwrap(), Verdict::Refused(Refusal::Expired));
    assert_eq!(a.wait(id).await, Verdict::Refused(Refusal::Expired));
}

#[tokio::test]
async fn what_waits_elsewhere_takes_places_and_denials_there_cool_down_here() {
    let caps = Caps { per_requester: 2, cool_down: CoolDown { after: 2, ..CoolDown::default() }, ..Caps::default() };
    let cluster = Cluster::with(2, |builder| builder.caps(caps)).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let ids = [a.open("web1").await, a.open("web1").await];
    b.has_waiting(2).await;
    let limit = |answer: Result<Opened, EngineError>| match answer {
        Err(EngineError::Limited(limit)) => limit,
        other => panic!("{other:?}"),
    };
    assert_eq!(limit(b.try_open("web2", None).await), Limit::Requester(2));
    for id in ids {
        a.deny(id, "ada").await;
    }
    b.has_waiting(0).await;
    assert!(matches!(limit(b.try_open("web1", None).await), Limit::CoolDown { .. }));
    assert!(b.try_open("web2", None).await.is_ok());
}

#[tokio::test]
async fn what_a_rule_settles_elsewhere_is_no_question_here() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let mut feed = b.engine.follow();
    let id = a.open("free").await;
    let record = feed.recv().await.unwrap();
    assert!(matches!(record.state(), State::Settled { how: Settled::Granted(_), .. }));
    assert_eq!(b.engine.load().questions, 0);
    assert!(matches!(b.wait(id).await, Verdict::Granted(_)));
}

fn is_off(answer: Result<impl std::fmt::Debug, EngineError>) -> ClockOff {
    match answer {
        Err(EngineError::ClockOff(off)) => off,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_off_decides_nothing() {
    const HOUR: Duration = Duration::from_secs(3600);
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let id = a.open("web1").await;
    b.has_waiting(1).await;
    let right = b.clock.now();
    b.clock.advance(HOUR);
    let ahead = ClockOff { by: HOUR, side: Side::Ahead, only_a_restart_helps: false };
    assert_eq!(is_off(b.approve(id, "ada").await), ahead);
    assert_eq!(is_off(b.try_open("web2", None).await), ahead);
    assert_eq!(is_off(b.engine.cancel(id, &b.actor("ann")).await), ahead);
    assert_eq!(is_off(b.engine.withdraw(|_| true, "gone").await), ahead);
    assert_eq!(b.engine.clock_off(), Some(ahead));
    assert_eq!(b.engine.wait(id, b.clock.now()).await.unwrap(), Verdict::Pending { have: 0, need: 1 }, "not over");
    assert!(matches!(a.approve(id, "ada").await.unwrap(), Verdict::Granted(_)));
    assert_eq!(is_off(b.engine.wait(id, Timestamp::MAX).await), ahead, "nor does it say that the grant has lapsed");

    b.clock.set(right);
    b.engine.check_clock().await.unwrap();
    assert_eq!(b.engine.clock_off(), None);
    assert!(matches!(b.wait(id).await, Verdict::Granted(_)));

    // The machine's clock is an hour behind, although time here went on.
    b.clock.set_wall_back(HOUR);
    b.clock.advance(COUNTS_NOT);
    a.clock.advance(COUNTS_NOT);
    cluster.clock.advance(COUNTS_NOT);
    assert_eq!(is_off(b.try_open("web2", None).await).side, Side::Behind);
    assert!(a.try_open("web2", None).await.is_ok());
}

#[tokio::test]
async fn a_server_whose_clock_was_ahead_and_is_right_again_waits_for_a_restart() {
    const HOUR: Duration = Duration::from_secs(3600);
    let cluster = Cluster::new(2).await;
    let [_, b] = &cluster.nodes[..] else { unreachable!() };
    let waits = tokio::spawn({
        let engine = b.engine.clone();
        async move { engine.until_only_a_restart_helps().await }
    });
    b.clock.advance(HOUR);
    assert!(!is_off(b.try_open("web1", None).await).only_a_restart_helps, "the machine's clock is wrong still");
    assert!(!waits.is_finished());
    b.clock.set_wall_back(HOUR);
    cluster.advance(COUNTS_NOT);
    let off = is_off(b.try_open("web1", None).await);
    assert_eq!(off, ClockOff { by: HOUR, side: Side::Ahead, only_a_restart_helps: true });
    assert_eq!(waits.await.unwrap(), off);
}

/// After this long a look at the clock does not count any more.
const COUNTS_NOT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn clocks_that_are_each_just_right_get_along() {
    let cluster = Cluster::new(2).await;
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    cluster.clock.advance(Duration::from_secs(10));
    a.clock.advance(Duration::from_secs(12));
    b.clock.advance(Duration::from_secs(8));
    let id = a.open("web1").await;
    b.has_waiting(1).await;
    assert!(matches!(b.approve(id, "ada").await.unwrap(), Verdict::Granted(_)));
    assert!(matches!(a.wait(id).await, Verdict::Granted(_)));
    let id = a.open("web1").await;
    a.approve(id, "ada").await.unwrap();
    assert!(matches!(b.wait(id).await, Verdict::Granted(_)));
}

#[tokio::test]
async fn one_server_tells_and_another_goes_on_when_it_is_gone() {
    let clock = ManualClock::default();
    let shared = Shared::new(clock.clone());
    let (first, second) = (Recorder::new("chat"), Recorder::new("chat"));
    let teller = node(&shared, &clock, 1, |builder| builder.notifier(first.clone())).await;
    let other = node(&shared, &clock, 2, |builder| builder.notifier(second.clone())).await;
    let id = other.open("two").await;
    assert_eq!(first.received(1).await[0].notice.id, id, "whoever opened it");
    other.has_waiting(1).await;
    assert!(second.so_far().is_empty());

    // It is gone without a word.
    teller.handle.cut();
    other.approve(id, "ada").await.unwrap();
    let unseen = other.open("web1").await;
    for _ in 0..20 {
        for clock in [&clock, &other.clock, &teller.clock] {
            clock.advance(Duration::from_secs(1));
        }
        tokio::task::yield_now().await;
    }
    let received = second.received(2).await;
    let told: std::collections::HashSet<_> = received.iter().map(|one| one.notice.id).collect();
    assert_eq!(told, [id, unseen].into(), "the vote and the new question, and nothing that was told before");
    assert_eq!(received.iter().find(|one| one.notice.id == id).unwrap().prior.as_ref().unwrap().0, "1");
    other.deny(id, "grace").await;
    second.received(3).await;
    assert_eq!(first.so_far().len(), 1);
}

#[tokio::test]
async fn a_server_that_stops_leaves_telling_to_another_at_once() {
    let clock = ManualClock::default();
    let shared = Shared::new(clock.clone());
    let (first, second) = (Recorder::new("chat"), Recorder::new("chat"));
    let teller = node(&shared, &clock, 1, |builder| builder.notifier(first.clone())).await;
    let other = node(&shared, &clock, 2, |builder| builder.notifier(second.clone())).await;
    let id = teller.open("two").await;
    first.received(1).await;
    teller.engine.shutdown().await;
    for clock in [&clock, &other.clock] {
        clock.advance(Duration::from_secs(4));
    }
    other.approve(id, "ada").await.unwrap();
    assert_eq!(second.received(1).await[0].notice.id, id);
}

#[tokio::test]
async fn one_server_sweeps() {
    let cluster = Cluster::new(3).await;
    let mut held = Vec::new();
    for node in &cluster.nodes {
        tokio::task::yield_now().await;
        let lease = crate::store::LeaseName::SWEEP;
        let ttl = Duration::from_secs(1);
        held.push(
            crate::store::Leases::hold(&node.handle, &lease, node.engine.replica(), ttl).await.unwrap().is_some(),
        );
    }
    assert_eq!(held.iter().filter(|held| **held).count(), 1, "{held:?}");
}
