//! Durable commits per second of the PostgreSQL store; budget: 64 who open and settle questions at least 0.4 times as fast as a bare loop that
//! batches as many rows, and at least 2.5 times as fast as one transaction each.
//!
//! `cargo run --release -p identree-benches --features store --bin postgres-commit -- [SECONDS] [ROUNDS]`. It starts PostgreSQL by itself, in a directory
//! of its own under `TMPDIR` (which should be a real disk), with `synchronous_commit` and `fsync` on. All run in turn; a figure is the
//! median of its rounds. One transaction each is measured twice: as our own store lets commits through one at a time, and as 64
//! connections do it without anything of ours.

mod bare;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use identree_benches::figures::{Report, now};
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::challenge::ChallengeRecord;
use identree_core::store::{Batch, Change, PostgresOptions, PostgresStore, Store as _};
use identree_core::testkit::fakes;
use identree_evidence::peer::Cluster;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use self::bare::{Batched, Each, Row};

type Failure = Box<dyn Error + Send + Sync>;

const WRITERS: u64 = 64;

/// What takes the commits.
#[derive(Clone)]
enum Subject {
    Batched(Batched),
    Each(Each),
    Ours(PostgresStore, Arc<Semaphore>),
}

impl Subject {
    async fn commit(&self, change: Change, record: &ChallengeRecord, event: AuditEvent) -> Result<(), Failure> {
        let row = |new| {
            let (record, event) = (serde_json::to_string(record)?, serde_json::to_string(&event)?);
            Ok::<_, Failure>(Row { id: record_id(&change), record, event, new })
        };
        let new = matches!(change, Change::Open(_));
        match self {
            Self::Batched(bare) => bare.commit(row(new)?).await,
            Self::Each(bare) => bare.commit(row(new)?).await,
            Self::Ours(store, gate) => {
                let _turn = gate.acquire().await?;
                Ok(store.commit(Batch::of(change, event)).await?)
            }
        }
    }
}

fn record_id(change: &Change) -> Vec<u8> {
    match change {
        Change::Open(record) | Change::Advance(record) => record.question().id.as_bytes().to_vec(),
        _ => Vec::new(),
    }
}

fn main() -> Result<ExitCode, Failure> {
    let mut arguments = std::env::args().skip(1);
    let seconds = Duration::from_secs(arguments.next().map_or(Ok(3), |text| text.parse())?);
    let rounds: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let cluster = Cluster::start(&["max_connections=200", "max_wal_size=4GB"]).ok_or("PostgreSQL is not installed")?;
    let mut report = Report::begin("postgres-commit: 64 who open a question and settle it, each with its event");
    report.say(format!("  runs        {rounds} rounds of {seconds:?} each, in turn; synchronous_commit=on, fsync=on"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let address = cluster.schema();
        bare::prepare(&address).await?;
        let ours = PostgresStore::connect(&cluster.schema(), PostgresOptions::default()).await?;
        let subjects = [
            ("bare, batched, 2 connections", Subject::Batched(Batched::start(&address).await?)),
            ("bare, one each, 64 connections", Subject::Each(Each::start(&address)?)),
            ("identree, one each", Subject::Ours(ours.clone(), Arc::new(Semaphore::new(1)))),
            (
                "identree, group commit",
                Subject::Ours(ours.clone(), Arc::new(Semaphore::new(usize::try_from(WRITERS)?))),
            ),
        ];
        let next = Arc::new(AtomicU64::new(0));
        let mut rates = [const { Vec::new() }; 4];
        let mut transactions = 0;
        for _ in 0..rounds {
            for ((_, subject), rates) in subjects.iter().zip(&mut rates) {
                let before = ours.transactions();
                rates.push(run(subject, &next, seconds).await?);
                transactions = ours.transactions() - before;
            }
        }
        let rates = rates.map(|mut rates: Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied().unwrap_or_default()
        });
        for ((name, _), rate) in subjects.iter().zip(rates) {
            report.say(format!("  {name:32} {rate:8.0} changes/s"));
        }
        let [batched, each, gated, group] = rates;
        report.say(format!("  {:.1} changes per transaction", group * seconds.as_secs_f64() / transactions as f64));
        report.reach("group commit / bare batched", group / batched, 0.4, "x");
        report.reach("group commit / one each through our store", group / gated, 2.5, "x");
        report.reach("group commit / bare, one each, 64 connections", group / each, 2.5, "x");
        Ok(report.end())
    })
}

/// Changes per second.
async fn run(subject: &Subject, next: &Arc<AtomicU64>, time: Duration) -> Result<f64, Failure> {
    let start = now();
    let mut tasks: JoinSet<Result<u64, Failure>> = JoinSet::new();
    for person in 0..WRITERS {
        let (subject, next) = (subject.clone(), Arc::clone(next));
        tasks.spawn(async move {
            let (name, mut count) = (format!("user-{person}"), 0);
            while start.elapsed() < time {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let record = Arc::new(ChallengeRecord::pending(fakes::question_of(n, &name)));
                let event = fakes::event_about(2 * n, EventKind::ChallengeCreated, &record);
                subject.commit(Change::Open(Arc::clone(&record)), &record, event).await?;
                yield_now().await;
                let settled = fakes::approved(&record, &name, fakes::START + Duration::from_millis(n));
                let event = fakes::event_about(2 * n + 1, EventKind::ChallengeApproved, &settled);
                subject.commit(Change::Advance(Arc::clone(&settled)), &settled, event).await?;
                yield_now().await;
                count += 2;
            }
            Ok(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done??;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
