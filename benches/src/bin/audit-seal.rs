//! Budgets: sealing in memory at least 0.5 times the bare serialise-and-hash loop on one thread; an event costs a request at most 5 µs; into SQLite
//! at least 10,000 events/s, and at 5,000/s an event is sealed within 1 s (p99); a backlog drains at 20,000/s or more.
//!
//! `cargo run --release -p identree-benches --features sinks --bin audit-seal -- [DIRECTORY] [memory|storage|postgres|drain|all] [EVENTS]`. Give a directory on
//! a real disk. `drain` writes a sealed log of EVENTS (3,600,000 unless told, some 2.5 GB) and ships it to a sink that takes everything, and to
//! a file as JSON lines with one fsync per batch. What is measured is the engine as it is embedded; the bare loop runs in the same process.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use identree_benches::Result;
use identree_benches::figures::{Report, Samples, now};
use identree_core::Engine;
use identree_core::actor::{Actor, Strength};
use identree_core::audit::tree::Tree;
use identree_core::audit::{
    AuditEvent, AuditSink, Entry, EventKind, EventSeq, LogSettings, Origin, SealedEvent, SinkError, SinkName, leaf_hash,
};
use identree_core::grant::LocalSigner;
use identree_core::id::EventId;
use identree_core::rng::{self, DrawnAhead, OsEntropy};
use identree_core::store::{
    Batch, Bundle, Journal as _, LeaseName, Leases as _, Log as _, LogHead, MemoryStore, PostgresOptions,
    PostgresStore, ReplicaId, Sealing, SqliteStore, Store, TILE,
};
use identree_core::testkit::fakes;
use identree_core::time::Timestamp;
use identree_evidence::peer::Cluster;
use identree_notify::jsonl::{FileSettings, Fsync, JsonLines};

fn main() -> Result<ExitCode> {
    let given: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let directory = given.first().map_or(".", String::as_str);
    let part = given.get(1).map_or("all", String::as_str);
    let events = given.get(2).map_or(Ok(3_600_000), |text| text.parse())?;
    let scratch = tempfile::tempdir_in(directory)?;
    let mut report = Report::begin("audit-seal: from the journal into the log, and on to sinks");
    if matches!(part, "memory" | "all") {
        memory(&mut report)?;
        request(&mut report);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if matches!(part, "storage" | "all") {
        let open = async |name| Ok(Arc::new(SqliteStore::open(scratch.path().join(name)).await?) as Arc<dyn Store>);
        runtime.block_on(storage(&mut report, "SQLite", open))?;
    }
    if matches!(part, "postgres" | "all") {
        let cluster = Cluster::start(&[]).ok_or("PostgreSQL is not installed")?;
        let open = async |_| {
            Ok(Arc::new(PostgresStore::connect(&cluster.schema(), PostgresOptions::default()).await?) as Arc<dyn Store>)
        };
        runtime.block_on(storage(&mut report, "PostgreSQL", open))?;
    }
    if matches!(part, "drain" | "all") {
        runtime.block_on(drain(&mut report, scratch.path(), events))?;
    }
    Ok(report.end())
}

/// An event like those of a question that people decide.
fn event(n: u64) -> AuditEvent {
    let mut event = AuditEvent::new(
        EventId::from_bytes(id(n)),
        fakes::START + Duration::from_millis(n),
        EventKind::ChallengeApproved,
    )
    .with("kind", "sudo")
    .with("rule", "production")
    .with("command", "/usr/bin/systemctl restart postgresql.service")
    .with("address", "192.0.2.17")
    .with("user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    event.subject = Some(fakes::user("ann"));
    event.actor = Some(fakes::user("grace"));
    event.via = Some("oidc".to_owned());
    event.target = Some(fakes::host("web-1.example"));
    event
}

fn id(n: u64) -> [u8; 16] {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    id
}

fn log() -> LogSettings {
    let origin = Origin::parse("bench.example/log").expect("a valid origin");
    LogSettings { signer: Arc::new(LocalSigner::from_seed(&[7; 32])), origin }
}

/// Events per second.
fn rate(events: u64, since: Instant) -> f64 {
    events as f64 / since.elapsed().as_secs_f64()
}

/// Commits events by the thousand, as many writers together do.
async fn journal(store: &dyn Store, events: std::ops::Range<u64>) -> Result<()> {
    let all: Vec<_> = events.map(event).collect();
    for some in all.chunks(1000) {
        let batch = some.iter().cloned().fold(Batch::default(), Batch::also);
        store.commit(batch).await?;
    }
    Ok(())
}

/// The whole engine over memory, on one thread.
fn memory(report: &mut Report) -> Result<()> {
    const EVENTS: u64 = 200_000;
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    let start = now();
    let mut all = 0;
    for event in &events {
        let bytes = serde_json::to_vec(black_box(event))?;
        all ^= leaf_hash(&bytes)[0];
    }
    black_box(all);
    let bare = rate(EVENTS, start);
    report.say(format!("  bare        {bare:.0} /s: the event as JSON, and its SHA-256"));
    let start = now();
    let (mut tree, mut bundle) = (Tree::new(), Bundle { number: 0, entries: vec![], personal: vec![] });
    for event in &events {
        let leaf = Entry::append(black_box(event), rng::bytes(&DrawnOnce), &mut bundle)?;
        tree.push(leaf, |tile| drop(black_box(tile)));
        if tree.size().is_multiple_of(TILE) {
            // As the sealer does, and the whole one is gone.
            let room = |part: &Vec<u8>| Vec::with_capacity(part.len() + part.len() / 8);
            let (entries, personal) = (room(&bundle.entries), room(&bundle.personal));
            drop(black_box(std::mem::replace(&mut bundle, Bundle { number: tree.size() / TILE, entries, personal })));
        }
    }
    black_box(tree.root());
    let entries = rate(EVENTS, start);
    report.say(format!("  entries     {entries:.0} /s: leaf, personal part, commitment, tree, bundles"));
    report.reach("sealing in memory / bare", entries / bare, 0.5, "x");
    drop(events);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sealed = runtime.block_on(async {
        let store = Arc::new(MemoryStore::new());
        journal(&*store, 0..EVENTS).await?;
        sealing(store, EVENTS).await
    })?;
    report.say(format!(
        "  engine      {sealed:.0} /s: the same out of the journal of the memory store and into its log; {:.2} x",
        sealed / bare
    ));
    Ok(())
}

/// A salt that costs nothing: the sealer draws its salts in bulk.
#[derive(Debug)]
struct DrawnOnce;

impl rng::Entropy for DrawnOnce {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

/// An engine seals what waits; how fast.
async fn sealing(store: Arc<dyn Store>, events: u64) -> Result<f64> {
    let start = now();
    let engine = Engine::builder().store(store).entropy(DrawnAhead::new(OsEntropy)).log(log()).build().await?;
    let mut sealed = engine.log().ok_or("the engine has a log")?.sealed();
    sealed.wait_for(|size| *size >= events).await?;
    let rate = rate(events, start);
    engine.shutdown().await;
    Ok(rate)
}

/// What a request pays for its event: building it, and putting it into the batch.
fn request(report: &mut Report) {
    const TIMES: u32 = 200_000;
    let entropy = DrawnAhead::new(OsEntropy);
    let actor = Actor::vouched("oidc", fakes::user("grace"), Timestamp::default(), Strength::SignedIn);
    let (subject, target) = (fakes::user("ann"), fakes::host("web-1.example"));
    let start = now();
    for n in 0..TIMES {
        let at = Timestamp::from_secs(i64::from(n));
        let mut event = AuditEvent::new(EventId::from_bytes(rng::bytes(&entropy)), at, EventKind::ChallengeApproved)
            .with("kind", "sudo")
            .with("rule", "production")
            .with("command", "/usr/bin/systemctl restart postgresql.service")
            .by(black_box(&actor));
        event.subject = Some(subject.clone());
        event.target = Some(target.clone());
        black_box(Batch::event(event));
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
    report.judge("an event, built and batched", each, 5.0, "us");
}

/// A database: as fast as it goes, and at a steady pace.
async fn storage(
    report: &mut Report,
    kind: &str,
    open: impl AsyncFn(&'static str) -> Result<Arc<dyn Store>>,
) -> Result<()> {
    const EVENTS: u64 = 200_000;
    let store = open("seal.db").await?;
    journal(&*store, 0..EVENTS).await?;
    let fast = sealing(store, EVENTS).await?;
    report.reach(&format!("{kind}, out of the journal into the log"), fast, 10_000.0, "events/s");

    let (pace, seconds) = (5_000, 10);
    let store = open("pace.db").await?;
    let engine = Engine::builder().store(Arc::clone(&store)).log(log()).build().await?;
    let mut sealed = engine.log().ok_or("the engine has a log")?.sealed();
    let all = pace * seconds;
    let told = tokio::spawn(async move {
        let mut steps = Vec::new();
        while steps.last().is_none_or(|(size, _)| *size < all) {
            if sealed.changed().await.is_err() {
                break;
            }
            steps.push((*sealed.borrow(), now()));
        }
        steps
    });
    let (start, mut committed) = (now(), Vec::new());
    // A hundred commits a second, each of the events that came meanwhile.
    for (turn, from) in (0..all).step_by(50).enumerate() {
        let due = Duration::from_millis(10 * turn as u64);
        wait(due.saturating_sub(start.elapsed())).await;
        let batch = (from..from + 50).map(event).fold(Batch::default(), Batch::also);
        store.commit(batch).await?;
        committed.push(now());
    }
    let steps = told.await?;
    let mut lags = Vec::new();
    for (turn, at) in committed.into_iter().enumerate() {
        let size = 50 * (turn as u64 + 1);
        let when = steps.iter().find(|(sealed, _)| *sealed >= size).ok_or("every event is sealed")?.1;
        lags.push(when.saturating_duration_since(at));
    }
    let lags = Samples::new(lags);
    report.say(format!(
        "  pace        {pace} events/s for {seconds} s: sealed after p50 {:.0} ms in {} steps",
        lags.p50(),
        steps.len()
    ));
    report.judge(&format!("{kind}, sealed after, p99"), lags.p99(), 1000.0, "ms");
    engine.shutdown().await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Takes everything.
struct Null(SinkName);

#[async_trait]
impl AuditSink for Null {
    fn name(&self) -> &SinkName {
        &self.0
    }
    async fn write(&self, events: &[SealedEvent]) -> std::result::Result<EventSeq, SinkError> {
        black_box(events).last().map(|last| last.seq).ok_or_else(|| SinkError::later("nothing was offered"))
    }
}

/// A backlog, shipped to two sinks, one after the other.
async fn drain(report: &mut Report, directory: &Path, events: u64) -> Result<()> {
    let store = Arc::new(SqliteStore::open(directory.join("drain.db")).await?);
    let start = now();
    write(&store, events).await?;
    report.say(format!("  backlog     {events} events, sealed at {:.0} /s", rate(events, start)));
    let file = FileSettings { path: directory.join("audit.jsonl"), max_size: None, max_files: 1, fsync: Fsync::Batch };
    let jsonl = Arc::new(JsonLines::file(file)?) as Arc<dyn AuditSink>;
    for (what, sink) in [("null", Arc::new(Null(SinkName("null".into()))) as Arc<dyn AuditSink>), ("JSON lines", jsonl)]
    {
        let start = now();
        let engine = Engine::builder().store(Arc::clone(&store)).log(log()).audit(sink).build().await?;
        let log = engine.log().ok_or("the engine has a log")?;
        while log.standing().await?.sinks.iter().any(|sink| sink.backlog > 0) {
            wait(Duration::from_millis(50)).await;
        }
        report.reach(&format!("drained into: {what}"), rate(events, start), 20_000.0, "events/s");
        engine.shutdown().await;
    }
    Ok(())
}

/// Writes a log without a journal, as fast as the store takes it.
async fn write(store: &SqliteStore, events: u64) -> Result<()> {
    let replica = ReplicaId::random(&OsEntropy);
    let (mut tree, mut head) = (Tree::new(), LogHead::EMPTY);
    while tree.size() < events {
        let fence =
            store.hold(&LeaseName::SEAL, &replica, Duration::from_secs(60)).await?.ok_or("nobody else seals")?;
        let (mut bundles, mut tiles) = (Vec::new(), Vec::new());
        while bundles.len() < 32 && tree.size() < events {
            let mut bundle = Bundle { number: tree.size() / TILE, entries: vec![], personal: vec![] };
            for seq in tree.size()..events.min(tree.size() + TILE) {
                tree.push(Entry::append(&event(seq), id(seq), &mut bundle)?, |tile| tiles.push(tile));
            }
            bundles.push(bundle);
        }
        tiles.extend(tree.short_tiles());
        let to = LogHead { size: tree.size(), root: tree.root(), erasures: 0 };
        store.seal(&fence, Sealing { from: head, to, places: vec![], bundles, tiles, checkpoint: None }).await?;
        head = to;
    }
    store.release(&store.hold(&LeaseName::SEAL, &replica, Duration::from_secs(1)).await?.ok_or("it is ours")?).await?;
    let waiting = store.unsealed_count().await?;
    if waiting == 0 { Ok(()) } else { Err("nothing waits".into()) }
}
