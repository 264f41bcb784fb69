//! Durable commits per second of the SQLite store; budget: 64 writers together at least twice as fast as one transaction each, and at most 50 µs
//! of processor time more than the memory store to open and settle a question.
//!
//! `cargo run --release -p identree-benches --features store --bin store-commit -- [DIRECTORY] [SECONDS] [cycles]`. Give a directory on a real disk: a
//! temporary directory may be memory. The yardstick runs in the same process: what the disk gives for an append of 4 KiB
//! and `fdatasync`, and 64 writers whose commits are let through one at a time, so that each is a transaction of its own.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use identree_core::audit::EventKind;
use identree_core::challenge::ChallengeRecord;
use identree_core::store::{Batch, Change, MemoryStore, SqliteStore, Store, StoreError};
use identree_core::testkit::fakes;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn say(line: &str) {
    println!("{line}");
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let seconds = Duration::from_secs(arguments.next().map_or(Ok(3), |text| text.parse())?);
    let scratch = tempfile::tempdir_in(&directory)?;
    say(&format!(
        "directory {directory}, {seconds:?} each, WAL, synchronous=FULL, a question and its event per commit"
    ));
    say(&format!("{:<44} {:>9.0} /s", "append 4 KiB + fdatasync", appends(scratch.path(), seconds)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if arguments.next().as_deref() == Some("cycles") {
        return say_cycles(&runtime, scratch.path(), seconds);
    }
    let mut rates = Vec::new();
    for (name, writers, at_once) in
        [("1 writer", 1, 1), ("64 writers, one transaction each", 64, 1), ("64 writers, group commit", 64, 64)]
    {
        let file = scratch.path().join(format!("{writers}-{at_once}.sqlite3"));
        let (commits, transactions, took) = runtime.block_on(run(&file, writers, at_once, seconds))?;
        let rate = commits as f64 / took.as_secs_f64();
        let share = commits as f64 / transactions as f64;
        say(&format!("{name:<44} {rate:>9.0} /s  {commits} commits in {transactions} transactions, {share:.1} each"));
        rates.push(rate);
    }
    if let [_, each, group] = rates[..] {
        say(&format!("group commit / one each: {:.2} (budget: at least 2)", group / each));
    }
    say_cycles(&runtime, scratch.path(), seconds)
}

fn say_cycles(runtime: &Runtime, directory: &Path, seconds: Duration) -> Result<(), Failure> {
    let sqlite = runtime.block_on(SqliteStore::open(directory.join("cycles.sqlite3")))?;
    let before = sqlite.transactions();
    let durable = runtime.block_on(cycles(Arc::new(sqlite.clone()), seconds))?;
    let transactions = sqlite.transactions() - before;
    // Last: what it leaves to the allocator would slow the other down.
    let memory = runtime.block_on(cycles(Arc::new(MemoryStore::new()), seconds))?;
    let share = 2.0 * durable.count as f64 / transactions as f64;
    for (name, cycles) in [("64 who open and settle, memory", &memory), ("64 who open and settle, SQLite", &durable)] {
        say(&format!("{name:<44} {:>9.0} /s  {:.1} us of CPU each", cycles.rate, cycles.cpu_us));
    }
    say(&format!(
        "SQLite adds {:.1} us (budget: at most 50); {share:.1} changes per transaction",
        durable.cpu_us - memory.cpu_us
    ));
    Ok(())
}

struct Cycles {
    count: u64,
    rate: f64,
    cpu_us: f64,
}

/// Processor time of this process so far, in microseconds.
fn cpu_us() -> Result<f64, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok([usage.user_time(), usage.system_time()].iter().map(|t| t.tv_sec() as f64 * 1e6 + t.tv_usec() as f64).sum())
}

/// 64 tasks that open questions of their own and settle each at once. What it takes to make records and events is part of both figures.
async fn cycles(store: Arc<dyn Store>, time: Duration) -> Result<Cycles, Failure> {
    let (next, start, cpu) = (Arc::new(AtomicU64::new(0)), now(), cpu_us()?);
    let mut tasks: JoinSet<Result<u64, StoreError>> = JoinSet::new();
    for person in 0..64 {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        tasks.spawn(async move {
            let (name, mut count) = (format!("user-{person}"), 0);
            while start.elapsed() < time {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let record = Arc::new(ChallengeRecord::pending(fakes::question_of(n, &name)));
                let opened = fakes::event_about(2 * n, EventKind::ChallengeCreated, &record);
                store.commit(Batch::of(Change::Open(Arc::clone(&record)), opened)).await?;
                tokio::task::yield_now().await;
                let settled = fakes::approved(&record, &name, fakes::START + Duration::from_millis(n));
                let approved = fakes::event_about(2 * n + 1, EventKind::ChallengeApproved, &settled);
                store.commit(Batch::of(Change::Advance(settled), approved)).await?;
                tokio::task::yield_now().await;
                count += 1;
            }
            Ok(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done??;
    }
    let (cpu, took) = (cpu_us()? - cpu, start.elapsed().as_secs_f64());
    Ok(Cycles { count, rate: count as f64 / took, cpu_us: cpu / count as f64 })
}

fn appends(directory: &Path, time: Duration) -> Result<f64, Failure> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(directory.join("appends"))?;
    let (block, start, mut count) = ([0x5a; 4096], now(), 0_u32);
    while start.elapsed() < time / 3 {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

async fn run(file: &Path, writers: u64, at_once: usize, time: Duration) -> Result<(u64, u64, Duration), Failure> {
    let store = SqliteStore::open(file).await?;
    let (next, gate, start) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(at_once)), now());
    let mut tasks: JoinSet<Result<u64, StoreError>> = JoinSet::new();
    for _ in 0..writers {
        let (store, next, gate) = (store.clone(), Arc::clone(&next), Arc::clone(&gate));
        tasks.spawn(async move {
            let mut commits = 0;
            while start.elapsed() < time {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let record = fakes::pending(n);
                let event = fakes::event_about(n, EventKind::ChallengeCreated, &record);
                let permit = gate.acquire().await;
                store.commit(Batch::of(Change::Open(record), event)).await?;
                drop(permit);
                commits += 1;
            }
            Ok(commits)
        });
    }
    let mut commits = 0;
    while let Some(done) = tasks.join_next().await {
        commits += done??;
    }
    Ok((commits, store.transactions(), start.elapsed()))
}
