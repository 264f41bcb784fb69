//! Durable commits per second of the SQLite store; budget: 64 writers together at least twice as fast as one transaction each.
//!
//! `cargo run --release -p identree-benches --features store --bin store-commit -- [DIRECTORY] [SECONDS]`. Give a directory on a real disk: a
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
use identree_core::store::{Batch, Change, SqliteStore, Store as _, StoreError};
use identree_core::testkit::fakes;
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
    Ok(())
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
