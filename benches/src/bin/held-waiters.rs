//! Budget: 10,000 hosts that wait cost the server at most 24 KiB of memory each; of as many as the descriptors allow, up to 19,000, all are
//! told when their questions are settled, the last within 2 times the bare server's time.
//!
//! ```sh
//! cargo build --release -p identree-benches --features server --bins
//! target/release/held-waiters                           # --waiters 10000 --most 19000; --check makes a missed budget a failure
//! ```
//!
//! Each host opens its question on a connection of its own and waits there, over plain HTTP. Memory is the resident set with all of them waiting,
//! less that of the idle server. Then every question is approved at once from within; the time is that until the last host has read its answer.
//! Fewer are held over TLS 1.3, to tell what that costs.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use identree_benches::Result;
use identree_benches::arguments::value;
use identree_benches::figures::{Report, Samples, now};
use identree_benches::load::cycle::{Host, nonces, question};
use identree_benches::load::wire::Failure;
use identree_benches::load::{Plan, Stage, Store, many_descriptors, pause_until, stay_awake, stay_on_core, tls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// How many questions are opened at the same time.
const AT_ONCE: usize = 64;
/// Hosts held over TLS.
const OVER_TLS: usize = 2_000;
/// Descriptors that either side needs besides.
const SPARE: u64 = 500;
/// From the last question opened to the look at the memory: the last requests come to rest.
const REST: Duration = Duration::from_secs(1);
/// Whoever has not been told by then is counted as forgotten.
const PATIENCE: Duration = Duration::from_secs(20);

type Start = fn(Plan) -> Result<Stage>;

/// What holding so many came to.
#[derive(Debug)]
struct Held {
    kib_each: f64,
    told: Samples,
    cpu_us_each: f64,
}

impl Held {
    fn last_ms(&self) -> f64 {
        self.told.percentile(100).as_secs_f64() * 1e3
    }
}

fn main() -> Result<ExitCode> {
    let descriptors = many_descriptors()?;
    let (waiters, most) = (value("--waiters", 10_000)?, value("--most", 19_000)?);
    let most = usize::try_from(descriptors.saturating_sub(SPARE))?.min(most);
    let mut report = Report::begin("held-waiters: hosts that wait, all approved at once; server on one core");
    report.say(format!(
        "  runs        {waiters}, {most}, and {OVER_TLS} over TLS 1.3; memory store, bare and ours in turn"
    ));
    stay_on_core(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { stay_awake() });
    let run = |count: usize, secure: bool| -> Result<[Held; 2]> {
        let subjects: [(&str, Start); 2] = [("bare", Stage::probe), ("identree", Stage::ours)];
        let [bare, ours] = subjects.map(|(name, start)| {
            let held = runtime.block_on(hold(start, count, secure))?;
            report.say(format!(
                "  {name:9} {count:6} {} {:6.2} KiB each; {} told, p50 {:5.0} ms, last {:5.0} ms, {:5.1} us of server CPU each",
                if secure { "TLS  " } else { "plain" },
                held.kib_each,
                held.told.count(),
                held.told.p50(),
                held.last_ms(),
                held.cpu_us_each
            ));
            Result::Ok(held)
        });
        Ok([bare?, ours?])
    };
    let [bare, ours] = run(waiters, false)?;
    let [bare_most, ours_most] = run(most, false)?;
    run(OVER_TLS, true)?;
    report.judge("memory of a held waiter", ours.kib_each, 24.0, "KiB");
    report.say(format!("              ours / bare: {:.2}", ours.kib_each / bare.kib_each));
    report.judge("not told", (waiters + most - ours.told.count() - ours_most.told.count()) as f64, 0.0, "hosts");
    report.judge("last told, ours / bare", ours_most.last_ms() / bare_most.last_ms(), 2.0, "x");
    Ok(report.end())
}

async fn hold(start: Start, count: usize, secure: bool) -> Result<Held> {
    // A person has few questions open at a time, so many people ask.
    let people = count.div_ceil(4);
    let mut stage = start(Plan { store: Store::Memory, hosts: 500, people, administrators: 1 })?;
    let (idle, told) = (stage.rss_kib()?, Arc::new(stage.told.clone()));
    let connector = tls::connector(&stage.ca())?;
    let door = Arc::new(Semaphore::new(AT_ONCE));
    let (waits, mut waiting) = mpsc::unbounded_channel();
    let mut hosts: JoinSet<std::result::Result<Instant, Failure>> = JoinSet::new();
    for number in 0..count {
        let (told, waits) = (Arc::clone(&told), waits.clone());
        let (permit, connector) = (Arc::clone(&door).acquire_owned().await?, connector.clone());
        let asked = question(&told.people[number % people].name, nonces(number));
        hosts.spawn(async move {
            if secure {
                rest(tls::connect(&connector, &told, number).await?, &asked, permit, waits).await
            } else {
                rest(Host::connect(&told, number).await?, &asked, permit, waits).await
            }
        });
    }
    drop(waits);
    let mut resting = 0;
    while resting < count {
        tokio::select! {
            Some(()) = waiting.recv() => resting += 1,
            // Nobody ends before the questions are settled, except with an error.
            Some(ended) = hosts.join_next() => drop(ended?.map_err(|error| format!("a host was sent away: {error}"))?),
        }
    }
    pause_until(now() + REST).await;
    let kib_each = stage.rss_kib()?.saturating_sub(idle) as f64 / count as f64;
    let (settled, cpu) = (now(), stage.cpu_us()?);
    stage.settle()?;
    let mut told = Vec::with_capacity(count);
    while let Ok(Some(ended)) = tokio::time::timeout_at((settled + PATIENCE).into(), hosts.join_next()).await {
        // One that was dropped is missing in the count.
        if let Ok(at) = ended? {
            told.push(at - settled);
        }
    }
    let cpu_us_each = (stage.cpu_us()? - cpu) / count as f64;
    stage.stop()?;
    Ok(Held { kib_each, told: Samples::new(told), cpu_us_each })
}

/// Asks, waits, and tells when it was told.
async fn rest<S: AsyncRead + AsyncWrite + Unpin>(
    mut host: Host<S>,
    asked: &str,
    permit: OwnedSemaphorePermit,
    waits: mpsc::UnboundedSender<()>,
) -> std::result::Result<Instant, Failure> {
    let id = host.ask(asked).await?;
    host.wait(&id).await?;
    drop(permit);
    waits.send(())?;
    drop(waits);
    while !host.told().await? {
        host.wait(&id).await?;
    }
    Ok(now())
}
