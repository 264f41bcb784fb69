//! Two engines that write to one SQLite file, as two processes would that the lock of the data directory did not part.

use identree_core::testkit::journal::recorded;
use std::sync::Arc;
use std::time::Duration;

use identree_core::actor::{Actor, Strength};
use identree_core::challenge::FreeChallenge;
use identree_core::engine::{Caps, CoolDown, Refusal, Verdict, Vote, VoteRefusal};
use identree_core::id::{ChallengeKind, HostName, Target, UserName};
use identree_core::policy::RuleSet;
use identree_core::store::{Challenges as _, SqliteStore};
use identree_core::time::{Clock as _, SystemClock};
use identree_core::{Ask, Engine};

use crate::load::{by_question, consistent};
use crate::provider::RUNTIME;

const QUESTIONS: usize = 40;

async fn engine(store: &SqliteStore) -> Engine {
    // One person asks much here and is denied half of it.
    let cool_down = CoolDown { pause: Duration::ZERO, ..CoolDown::default() };
    let caps = Caps { per_requester: 1000, cool_down, ..Caps::default() };
    Engine::builder().store(store.clone()).policy(RuleSet::permissive()).caps(caps).build().await.unwrap()
}

#[test]
fn two_engines_on_one_file_settle_each_question_once() {
    let dir = tempfile::tempdir().unwrap();
    RUNTIME.block_on(async {
        let stores = [SqliteStore::open_in(dir.path()).await.unwrap(), SqliteStore::open_in(dir.path()).await.unwrap()];
        let [one, two] = [Arc::new(engine(&stores[0]).await), Arc::new(engine(&stores[1]).await)];
        let ann = Actor::vouched("test", UserName::parse("ann").unwrap(), SystemClock.now(), Strength::SignedIn);
        let mut votes = tokio::task::JoinSet::new();
        for n in 0..QUESTIONS {
            let target = Target::Host(HostName::parse("web1").unwrap());
            let kind = ChallengeKind::parse("deploy").unwrap();
            let challenge = FreeChallenge::new(kind, ann.name().clone(), target, format!("release {n}"));
            let id = one.open(Ask::new(&challenge)).await.unwrap().record.question().id;
            for (engine, vote) in [
                (Arc::clone(&one), Vote::Approve { reason: None, number: None }),
                (Arc::clone(&two), Vote::Deny { reason: None }),
            ] {
                let ann = ann.clone();
                votes.spawn(async move { (id, engine.vote(id, &ann, vote).await.unwrap()) });
            }
        }
        let mut counted = std::collections::HashMap::new();
        for (id, verdict) in votes.join_all().await {
            if verdict != Verdict::Refused(Refusal::Vote(VoteRefusal::AlreadySettled)) {
                assert!(counted.insert(id, verdict).is_none(), "{id} was settled twice");
            }
        }
        assert_eq!(counted.len(), QUESTIONS);

        let mut events = recorded(&stores[1]).await;
        events.retain(|event| event.kind != identree_core::audit::EventKind::VoteRefused);
        let kinds = by_question(&events);
        for (id, verdict) in counted {
            let record = stores[1].challenge(id).await.unwrap().unwrap();
            let status = consistent(&record, &kinds[&id]);
            let granted = matches!(verdict, Verdict::Granted(_));
            assert_eq!(granted, status == identree_core::wire::v1::Status::Approved, "{id}: {verdict:?}");
        }
    });
}
