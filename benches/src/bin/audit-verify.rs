//! How fast an exported log is verified; budget: at least half as fast as a bare loop that parses and hashes its entries.
//!
//! `cargo run --release -p identree-benches --features log --bin audit-verify -- [ENTRIES] [DIRECTORY]`. Makes a log of sample events with a
//! checkpoint every 256, exports it without and with personal data, and verifies it. The yardstick reads the same files on one thread, parses
//! each leaf as JSON without keeping anything, and takes its hash: no tree, no checkpoints, no times, no identities. Best of five each, in turn.
//! With a directory the copy stays there, for `identree audit verify`.

use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use identree_benches::figures::{Report, now};
use identree_core::audit::copy::{Export, Piece, Place, export};
use identree_core::audit::verify::{Known, verify};
use identree_core::audit::{Entry, LogKey, leaf_hash};
use identree_core::store::MemoryStore;
use identree_core::testkit::log::LogOf;

type Failure = Box<dyn Error + Send + Sync>;

/// Times each is run.
const RUNS: usize = 5;

fn main() -> Result<ExitCode, Failure> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--check");
    let entries = arguments.next().map_or(Ok(400_000), |text| text.parse())?;
    let scratch = tempfile::tempdir()?;
    let directory = arguments.next().map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let mut report = Report::begin(&format!("verifying an exported log of {entries} entries"));
    let (bare_copy, personal_copy) = (directory.join("without"), directory.join("with-personal"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let key = runtime.block_on(make(entries, &bare_copy, &personal_copy))?;
    report.say(format!("  the key     {key}"));
    let (mut bare, mut one, mut two, mut personal) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..RUNS {
        bare = bare.max(rate(entries, || bare_loop(&bare_copy, entries))?);
        one = one.max(rate(entries, || verified(&bare_copy, &key, 1))?);
        two = two.max(rate(entries, || verified(&bare_copy, &key, 2))?);
        personal = personal.max(rate(entries, || verified(&personal_copy, &key, 2))?);
    }
    for (what, rate) in [
        ("bare parse and hash, one thread", bare),
        ("verify, one reader beside the tree", one),
        ("verify, two readers (as the verb does here)", two),
        ("verify with personal data, two readers", personal),
    ] {
        report.say(format!("  {what:<46} {rate:>10.0} entries/s  {:.2} x bare", rate / bare));
    }
    report.reach("verify, one reader / bare", one / bare, 0.5, "x");
    report.reach("verify, two readers / bare", two / bare, 0.5, "x");
    Ok(report.end())
}

async fn make(entries: u64, without: &Path, with: &Path) -> Result<LogKey, Failure> {
    let mut log: LogOf<MemoryStore> = LogOf::events(entries.min(256)).await;
    let mut made = entries.min(256);
    while made < entries {
        let more = (entries - made).min(256);
        log.add(more).await;
        made += more;
    }
    let key = log.key();
    for (dir, with_personal) in [(without, false), (with, true)] {
        export(&*log.store, &Export { key: &key, dir, with_personal, from: 0 }).await?;
    }
    Ok(key)
}

fn rate(entries: u64, run: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = now();
    run()?;
    Ok(entries as f64 / start.elapsed().as_secs_f64())
}

fn verified(dir: &Path, key: &LogKey, threads: usize) -> Result<(), Failure> {
    let report = verify(dir, key, &Known { threads, ..Known::default() })?;
    if report.worst().is_some() {
        return Err(format!("{:?}", report.findings).into());
    }
    Ok(())
}

fn bare_loop(dir: &Path, entries: u64) -> Result<(), Failure> {
    for number in 0..entries.div_ceil(256) {
        let whole = Place::whole(Piece::Entries, number);
        let place = Place::partial(Piece::Entries, entries).filter(|last| last.number == number).unwrap_or(whole);
        let bytes = std::fs::read(dir.join(place.to_string()))?;
        for leaf in Entry::leaves(number, &bytes)? {
            black_box(serde_json::from_slice::<serde::de::IgnoredAny>(leaf)?);
            black_box(leaf_hash(leaf));
        }
    }
    Ok(())
}
