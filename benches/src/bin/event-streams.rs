//! Budget: 500 pages that follow `/api/events` cost the server at most 16 KiB of memory each, and all of them see a new question within
//! 100 ms at p99.
//!
//! ```sh
//! cargo build --release -p identree-benches --features server --bins
//! target/release/event-streams                          # --streams 500 --questions 200; --check makes a missed budget a failure
//! ```
//!
//! 500 administrators follow, over plain HTTP; questions are opened one after the other. The clock starts before the host's request and stops when
//! the last of the pages has read the event. Memory is the resident set with all of them following, less that before.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use identree_benches::Result;
use identree_benches::arguments::value;
use identree_benches::figures::{Report, Samples, now};
use identree_benches::load::cycle::{Browser, Host, nonces, question};
use identree_benches::load::wire::Failure;
use identree_benches::load::{Plan, Stage, Store, many_descriptors, pause_until, stay_on_core};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// From the last page that follows to the look at the memory.
const REST: Duration = Duration::from_secs(1);
/// A page that has not seen a question by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

type Start = fn(Plan) -> Result<Stage>;

/// What following came to.
struct Followed {
    kib_each: f64,
    seen: Samples,
}

fn main() -> Result<ExitCode> {
    many_descriptors()?;
    let (streams, questions) = (value("--streams", 500)?, value("--questions", 200)?);
    let mut report = Report::begin("event-streams: pages that follow, and questions that they see; server on one core");
    report.say(format!("  runs        {streams} streams, {questions} questions, memory store; bare and ours in turn"));
    stay_on_core(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = |name: &str, start: Start| -> Result<Followed> {
        let followed = runtime.block_on(follow(start, streams, questions))?;
        report.say(format!(
            "  {name:11} {:6.2} KiB each; seen by all p50 {:5.1} ms, p99 {:5.1} ms",
            followed.kib_each,
            followed.seen.p50(),
            followed.seen.p99()
        ));
        Ok(followed)
    };
    run("bare", Stage::probe)?;
    let ours = run("identree", Stage::ours)?;
    report.judge("memory of a stream", ours.kib_each, 16.0, "KiB");
    report.judge("seen by all, p99", ours.seen.p99(), 100.0, "ms");
    Ok(report.end())
}

async fn follow(start: Start, streams: usize, questions: usize) -> Result<Followed> {
    // A person has few questions open at a time, so many people ask.
    let people = questions.div_ceil(4);
    let stage = start(Plan { store: Store::Memory, hosts: 500, people, administrators: streams })?;
    let (told, idle) = (stage.told.clone(), stage.rss_kib()?);
    let (sees, mut seen) = mpsc::unbounded_channel();
    let mut pages: JoinSet<std::result::Result<(), Failure>> = JoinSet::new();
    for (number, person) in told.administrators.iter().enumerate() {
        let mut page = Browser::connect(&told, number).await.map_err(|error| error.to_string())?;
        page.follow(person).await.map_err(|error| error.to_string())?;
        let sees = sees.clone();
        pages.spawn(async move {
            loop {
                sees.send(page.event("challenge_created").await?)?;
            }
        });
    }
    drop(sees);
    pause_until(now() + REST).await;
    let kib_each = stage.rss_kib()?.saturating_sub(idle) as f64 / streams as f64;
    let mut host = Host::connect(&told, streams).await.map_err(|error| error.to_string())?;
    let mut delays = Vec::new();
    for number in 0..questions {
        let asked = now();
        host.ask(&question(&told.people[number % people].name, nonces(number)))
            .await
            .map_err(|error| error.to_string())?;
        let mut last = asked;
        for _ in 0..streams {
            let at: Option<Instant> = tokio::time::timeout(PATIENCE, seen.recv()).await?;
            last = last.max(at.ok_or("every stream has ended")?);
        }
        delays.push(last - asked);
    }
    Ok(Followed { kib_each, seen: Samples::new(delays) })
}
