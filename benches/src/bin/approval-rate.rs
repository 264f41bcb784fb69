//! Budget: ask, approve, be told, 64 at a time, server on one core: in SQLite at least 0.45 times the bare server's rate and 2 times that of
//! one commit each; in memory at most 4 times the bare server's processor time. With `--postgres`: in PostgreSQL at least 0.4 times the
//! bare server's rate and 2.5 times that of one commit each.
//!
//! ```sh
//! cargo build --release -p identree-benches --features server --bins
//! target/release/approval-rate                          # --seconds 3 --rounds 3 --workers 64; --check makes a missed budget a failure;
//!                                                       # --only "group commit" measures what is so named, and judges nothing
//! target/release/approval-rate --postgres               # starts a PostgreSQL of its own under TMPDIR, on both cores
//! ```
//!
//! Ours is the whole server: host credentials, policy, journal, sessions, forms, signatures. The yardstick, `bare-probe`, takes the same requests
//! and commits as many rows. All of them run in turn; a figure is the median of its rounds. Rates are given by the clock, and by the server's own
//! processor time, which neighbours disturb less.

use std::process::ExitCode;
use std::time::Duration;

use identree_benches::Result;
use identree_benches::arguments::{flag, value};
use identree_benches::figures::{Report, Samples, now};
use identree_benches::load::cycle::{Done, work};
use identree_benches::load::wire::Failure;
use identree_benches::load::{Plan, Stage, Store, pause_until, stay_awake, stay_on_core};
use identree_evidence::peer::Cluster;
use tokio::task::JoinSet;

/// Cycles before the measurement, per worker, are not counted for this long.
const WARM_UP: Duration = Duration::from_millis(500);

type Start = fn(Plan) -> Result<Stage>;

/// One server and its store.
struct Subject {
    name: &'static str,
    start: Start,
    store: Store,
}

const SUBJECTS: [Subject; 6] = [
    Subject { name: "bare, memory", start: Stage::probe, store: Store::Memory },
    Subject { name: "identree, memory", start: Stage::ours, store: Store::Memory },
    Subject { name: "bare, one commit each", start: Stage::probe, store: Store::Each },
    Subject { name: "identree, one commit each", start: Stage::ours, store: Store::Each },
    Subject { name: "bare, group commit", start: Stage::probe, store: Store::Group },
    Subject { name: "identree, group commit", start: Stage::ours, store: Store::Group },
];

/// One measurement.
#[derive(Debug, Clone, Copy, Default)]
struct Figure {
    rate: f64,
    cpu_us: f64,
    p50: f64,
    p99: f64,
    per_commit: f64,
}

fn main() -> Result<ExitCode> {
    if flag("--postgres") {
        return over_postgres();
    }
    let (seconds, rounds, workers) = (value("--seconds", 3)?, value("--rounds", 3)?, value("--workers", 64)?);
    let only: String = value("--only", String::new())?;
    let mut report =
        Report::begin("approval-rate: ask -> approve -> told, server on one core, who asks and approves on the other");
    report.say(format!(
        "  runs        {rounds} rounds of {seconds} s each, in turn; {workers} workers, 500 hosts; WAL, synchronous=FULL"
    ));
    stay_on_core(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { stay_awake() });
    let mut figures = SUBJECTS.map(|_| Vec::new());
    for _ in 0..rounds {
        let wanted = SUBJECTS.iter().zip(&mut figures).filter(|(subject, _)| subject.name.contains(&only));
        for (subject, figures) in wanted {
            let stage = (subject.start)(plan(subject.store, workers))?;
            figures.push(runtime.block_on(measure(stage, workers, Duration::from_secs(seconds)))?);
        }
    }
    let figures = figures.map(|figures| middle(&figures));
    for (subject, figure) in SUBJECTS.iter().zip(&figures).filter(|(subject, _)| subject.name.contains(&only)) {
        say(&report, subject.name, figure);
    }
    if !only.is_empty() {
        return Ok(report.end());
    }
    let [bare_memory, memory, _, each, bare_group, group] = figures;
    report.reach("SQLite, rate, ours / bare", group.rate / bare_group.rate, 0.45, "x");
    report.reach("SQLite, rate per server CPU, ours / bare", bare_group.cpu_us / group.cpu_us, 0.45, "x");
    report.reach("group commit / one commit each", group.rate / each.rate, 2.0, "x");
    report.judge("memory, server CPU, ours / bare", memory.cpu_us / bare_memory.cpu_us, 4.0, "x");
    Ok(report.end())
}

fn plan(store: Store, workers: usize) -> Plan {
    Plan { store, hosts: 500, people: workers, administrators: 1 }
}

fn say(report: &Report, name: &str, figure: &Figure) {
    report.say(format!(
        "  {name:26} {:6.0} /s  {:6.1} us of server CPU each  asked in p50 {:5.2} ms p99 {:5.2} ms  {:.1} changes per commit",
        figure.rate, figure.cpu_us, figure.p50, figure.p99, figure.per_commit
    ));
}

/// The same over PostgreSQL, which takes its share of both cores.
fn over_postgres() -> Result<ExitCode> {
    let (seconds, rounds, workers) = (value("--seconds", 3)?, value("--rounds", 3)?, value("--workers", 64)?);
    let mut report = Report::begin("approval-rate --postgres: ask -> approve -> told, over PostgreSQL");
    report.say(format!(
        "  runs        {rounds} rounds of {seconds} s each, in turn; {workers} workers, 500 hosts; synchronous_commit=on, fsync=on"
    ));
    let cluster = Cluster::start(&["max_wal_size=4GB"]).ok_or("PostgreSQL is not installed")?;
    stay_on_core(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let subjects = [
        ("bare, group commit", "bare-probe", Store::Group),
        ("identree, one commit each", "bench-server", Store::Each),
        ("identree, group commit", "bench-server", Store::Group),
    ];
    let mut figures = subjects.map(|_| Vec::new());
    for _ in 0..rounds {
        for ((_, program, store), figures) in subjects.iter().zip(&mut figures) {
            let stage = Stage::over_postgres(program, plan(*store, workers), &cluster.schema())?;
            figures.push(runtime.block_on(measure(stage, workers, Duration::from_secs(seconds)))?);
        }
    }
    let figures = figures.map(|figures| middle(&figures));
    for ((name, ..), figure) in subjects.iter().zip(&figures) {
        say(&report, name, figure);
    }
    let [bare, each, group] = figures;
    report.reach("PostgreSQL, rate, ours / bare", group.rate / bare.rate, 0.4, "x");
    report.reach("PostgreSQL, group commit / one commit each", group.rate / each.rate, 2.5, "x");
    Ok(report.end())
}

async fn measure(stage: Stage, workers: usize, time: Duration) -> Result<Figure> {
    let begun = now();
    let (from, until) = (begun + WARM_UP, begun + WARM_UP + time);
    let mut tasks: JoinSet<std::result::Result<(Done, Done), Failure>> = JoinSet::new();
    for number in 0..workers {
        let told = stage.told.clone();
        tasks.spawn(async move { Ok((work(&told, number, from).await?, work(&told, number, until).await?)) });
    }
    pause_until(from).await;
    let cpu = stage.cpu_us()?;
    let (mut opened, mut cycles, mut all) = (Vec::new(), 0, 0);
    while let Some(done) = tasks.join_next().await {
        let (warm, done) = done?.map_err(|error| format!("{}: {error}", stage.told.plain))?;
        cycles += done.cycles;
        all += warm.cycles + done.cycles;
        opened.extend(done.opened);
    }
    let (cpu, took) = (stage.cpu_us()? - cpu, from.elapsed());
    let transactions = stage.stop()?.transactions;
    let opened = Samples::new(opened);
    Ok(Figure {
        rate: cycles as f64 / took.as_secs_f64(),
        cpu_us: cpu / cycles as f64,
        p50: opened.p50(),
        p99: opened.p99(),
        per_commit: if transactions == 0 { 0.0 } else { 2.0 * all as f64 / transactions as f64 },
    })
}

/// The median of each figure.
fn middle(figures: &[Figure]) -> Figure {
    let of = |figure: fn(&Figure) -> f64| {
        let mut values: Vec<_> = figures.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Figure {
        rate: of(|figure| figure.rate),
        cpu_us: of(|figure| figure.cpu_us),
        p50: of(|figure| figure.p50),
        p99: of(|figure| figure.p99),
        per_commit: of(|figure| figure.per_commit),
    }
}
