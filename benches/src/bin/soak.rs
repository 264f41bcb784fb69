//! Budget: while 500 questions are asked, approved and told each second, the server's memory stays within 5 % of what it was after the first sixth
//! of the time.
//!
//! ```sh
//! cargo build --release -p identree-benches --features server --bins
//! target/release/soak                                   # --minutes 30 --rate 500 --workers 64; some 6 GB under TMPDIR, removed at the end
//! target/release/soak --postgres                        # over a PostgreSQL of its own
//! ```
//!
//! The server is the whole one, with its log sealed and shipped to a file as JSON lines, on one core. Memory is its resident set,
//! looked at once a second; a line tells of each minute: the least and the most, and how long it took until a question was opened and its host was told,
//! counted from the moment at which it was due.

use std::process::ExitCode;
use std::time::Duration;

use identree_benches::Result;
use identree_benches::arguments::{flag, value};
use identree_benches::figures::{Report, now};
use identree_benches::load::paced::{Pace, Paced, paced};
use identree_benches::load::{Plan, Stage, Store, pause_until, stay_on_core};
use identree_benches::process::private_directory;
use identree_evidence::peer::Cluster;

/// How often the memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn main() -> Result<ExitCode> {
    let (minutes, rate, workers) = (value("--minutes", 30)?, value("--rate", 500.0)?, value("--workers", 64)?);
    let mut report = Report::begin("soak: ask -> approve -> told at a steady rate, server on one core");
    let cluster = match flag("--postgres") {
        true => Some(Cluster::start(&["max_wal_size=1GB"]).ok_or("PostgreSQL is not installed")?),
        false => None,
    };
    report.say(format!(
        "  runs        {minutes} min, {rate} questions/s, {workers} workers, 500 hosts; {}",
        if cluster.is_some() { "PostgreSQL, synchronous_commit=on" } else { "SQLite, WAL, synchronous=FULL" }
    ));
    stay_on_core(1)?;
    let plan = Plan { store: Store::Group, hosts: 500, people: workers, administrators: 1 };
    let shipped = private_directory()?;
    let file = ("IDENTREE_AUDIT_LOG", format!("file:{}", shipped.path().join("audit.jsonl").display()));
    let stage = match &cluster {
        Some(cluster) => Stage::over_postgres("bench-server", plan, &cluster.schema())?,
        None => Stage::ours_with(plan, &[file])?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut seen: Vec<(u64, u64)> = Vec::new();
    let mut asked = 0;
    for minute in 1..=minutes {
        let (least, most, paced) = runtime.block_on(one_minute(&stage, Pace { rate, workers }))?;
        asked += paced.told.count();
        report.say(format!(
            "  minute {minute:3}  {least:7} to {most:7} KiB; {} asked; opened p50 {:5.2} p99 {:6.2} ms; told p50 {:5.2} p99 {:6.2} ms",
            paced.told.count(),
            paced.opened.p50(),
            paced.opened.p99(),
            paced.told.p50(),
            paced.told.p99()
        ));
        seen.push((least, most));
    }
    let kept = seen.split_off(seen.len() / 6);
    let base = kept.first().map_or(0, |(least, most)| u64::midpoint(*least, *most)) as f64;
    let (least, most) = kept.iter().fold((u64::MAX, 0), |(least, most), one| (least.min(one.0), most.max(one.1)));
    report.say(format!(
        "  {asked} asked, approved and told; {base:.0} KiB after a sixth of the time, then {least} to {most}"
    ));
    report.judge("most, above that", (most as f64 / base - 1.0) * 100.0, 5.0, "%");
    report.judge("least, below that", (1.0 - least as f64 / base) * 100.0, 5.0, "%");
    stage.stop()?;
    Ok(report.end())
}

/// The least and the most of memory, in KiB, and what came of the questions.
async fn one_minute(stage: &Stage, pace: Pace) -> Result<(u64, u64, Paced)> {
    let until = now() + Duration::from_secs(60);
    let load = paced(&stage.told, pace, until);
    tokio::pin!(load);
    let (mut least, mut most) = (u64::MAX, 0);
    loop {
        tokio::select! {
            done = &mut load => return Ok((least, most, done?)),
            () = pause_until(now() + LOOK_EVERY) => {
                let kib = stage.rss_kib()?;
                (least, most) = (least.min(kib), most.max(kib));
            }
        }
    }
}
