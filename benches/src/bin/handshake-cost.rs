//! Budget: a new TLS 1.3 connection with one question on it costs the server at most 1.6 times the bare server's processor time.
//!
//! ```sh
//! cargo build --release -p identree-benches --features server --bins
//! target/release/handshake-cost                         # --connections 1500 --rounds 3; --check makes a missed budget a failure
//! ```
//!
//! A P-256 certificate, ring on both sides, no resumption, eight at a time, memory store; bare and ours in turn.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use identree_benches::Result;
use identree_benches::arguments::value;
use identree_benches::figures::Report;
use identree_benches::load::cycle::{nonces, question};
use identree_benches::load::wire::Failure;
use identree_benches::load::{Plan, Stage, Store, stay_on_core, tls};
use tokio::task::JoinSet;

const AT_ONCE: usize = 8;
/// Connections before the measurement.
const WARM_UP: usize = 100;

type Start = fn(Plan) -> Result<Stage>;

fn main() -> Result<ExitCode> {
    let (connections, rounds) = (value("--connections", 1500)?, value("--rounds", 3)?);
    let mut report = Report::begin("handshake-cost: connect, handshake, ask; server on one core");
    report
        .say(format!("  runs        {rounds} rounds of {connections} connections each, in turn; {AT_ONCE} at a time"));
    stay_on_core(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(runtime.block_on(measure(Stage::probe, connections))?);
        ours.push(runtime.block_on(measure(Stage::ours, connections))?);
    }
    let (bare, ours) = (median(bare), median(ours));
    report.say(format!("  bare        {bare:6.1} us of server CPU per connection"));
    report.say(format!("  identree    {ours:6.1} us of server CPU per connection"));
    report.judge("ours / bare", ours / bare, 1.6, "x");
    Ok(report.end())
}

async fn measure(start: Start, connections: usize) -> Result<f64> {
    // A person has few questions open at a time, so many people ask.
    let people = (connections + WARM_UP).div_ceil(4);
    let stage = start(Plan { store: Store::Memory, hosts: 500, people, administrators: 1 })?;
    ask_all(&stage, 0, WARM_UP).await?;
    let cpu = stage.cpu_us()?;
    ask_all(&stage, WARM_UP, WARM_UP + connections).await?;
    Ok((stage.cpu_us()? - cpu) / connections as f64)
}

async fn ask_all(stage: &Stage, from: usize, to: usize) -> Result<()> {
    let (told, next) = (Arc::new(stage.told.clone()), Arc::new(AtomicUsize::new(from)));
    let connector = tls::connector(&stage.ca())?;
    let mut tasks: JoinSet<std::result::Result<(), Failure>> = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (told, next, connector) = (Arc::clone(&told), Arc::clone(&next), connector.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= to {
                    return Ok(());
                }
                let mut host = tls::connect(&connector, &told, number).await?;
                let person = &told.people[number % told.people.len()];
                host.ask(&question(&person.name, nonces(number))).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done?.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
