//! Across two servers, from the approval on one to the waiter being told on the other; budget: p50 at most 5 ms, p99 at most 50 ms.
//!
//! `cargo run --release -p identree-benches --features store --bin cross-replica -- [RUNS]`. It starts PostgreSQL by itself, with `synchronous_commit`
//! and `fsync` on. Two engines, each with connections of its own: in the time are the vote, its commit, the notification, the other one's
//! read, the wake-up and the signature; HTTP is not. One at a time; beside it, while 16 others open, wait and approve without a
//! pause, which fills both cores.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use identree_benches::figures::{Report, Samples, now};
use identree_core::actor::{Actor, Strength};
use identree_core::challenge::FreeChallenge;
use identree_core::engine::{Ask, Caps, Engine, Vote};
use identree_core::grant::LocalSigner;
use identree_core::id::{ChallengeKind, HostName, Target, UserName};
use identree_core::policy::RuleSet;
use identree_core::rng::SeededEntropy;
use identree_core::store::{PostgresOptions, PostgresStore};
use identree_core::time::Timestamp;
use identree_evidence::peer::Cluster;
use tokio::task::{JoinSet, yield_now};

type Failure = Box<dyn Error + Send + Sync>;

const OTHERS: usize = 16;

fn main() -> Result<ExitCode, Failure> {
    let runs: usize = std::env::args().nth(1).map_or(Ok(2000), |text| text.parse())?;
    let cluster = Cluster::start(&[]).ok_or("PostgreSQL is not installed")?;
    let mut report = Report::begin("cross-replica: approved on one server -> told on another");
    report.say(format!(
        "  runs        {runs} each; PostgreSQL with synchronous_commit=on, fsync=on; two engines in one process"
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let address = cluster.schema();
        let (one, other) = (engine(&address).await?, engine(&address).await?);
        for who in 0..20 {
            once(&one, &other, who).await?;
        }
        let mut alone = Vec::with_capacity(runs);
        for _ in 0..runs {
            alone.push(once(&one, &other, 0).await?);
        }
        let mut load = JoinSet::new();
        for who in 0..OTHERS {
            let (one, other) = (one.clone(), other.clone());
            load.spawn(async move {
                while once(&one, &other, 1 + who).await.is_ok() {}
            });
        }
        let began = now();
        let mut among = Vec::with_capacity(runs);
        for _ in 0..runs {
            among.push(once(&one, &other, 0).await?);
        }
        let took = began.elapsed().as_secs_f64();
        load.shutdown().await;
        let (alone, among) = (Samples::new(alone), Samples::new(among));
        report.judge("p50", alone.p50(), 5.0, "ms");
        report.judge("p99", alone.p99(), 50.0, "ms");
        report.say(format!(
            "              among {OTHERS} others as fast as they can, {:.0} questions/s in all: p50 {:.1} ms, p99 {:.1} ms",
            (1 + OTHERS) as f64 * runs as f64 / took,
            among.p50(),
            among.p99()
        ));
        Ok(report.end())
    })
}

async fn engine(address: &str) -> Result<Engine, Failure> {
    let store = PostgresStore::connect(address, PostgresOptions::default()).await?;
    let signer = LocalSigner::generate(&SeededEntropy::new(1));
    let caps = Caps { per_target: 1000, ..Caps::default() };
    Ok(Engine::builder().store(store).policy(RuleSet::permissive()).signer(signer).caps(caps).build().await?)
}

/// Opens on one, waits on the other, approves on the first; how long that took.
async fn once(one: &Engine, other: &Engine, who: usize) -> Result<Duration, Failure> {
    let user = UserName::parse(&format!("user{who}"))?;
    let target = Target::Host(HostName::parse("web1")?);
    let challenge = FreeChallenge::new(ChallengeKind::parse("sudo")?, user.clone(), target, "whoami");
    let id = one.open(Ask::new(&challenge)).await?.record.question().id;
    let waits = tokio::spawn({
        let other = other.clone();
        async move { other.wait(id, Timestamp::MAX).await.map(|_| now()) }
    });
    // It rests on the question before the clock starts.
    while other.record(id).await?.is_none() || other.load().waiters == 0 {
        yield_now().await;
    }
    let actor = Actor::vouched("bench", user, one.clock().now(), Strength::SignedIn);
    let began: Instant = now();
    one.vote(id, &actor, Vote::Approve { reason: None, number: None }).await?;
    Ok(waits.await??.duration_since(began))
}
