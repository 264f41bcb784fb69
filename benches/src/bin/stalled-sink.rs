//! Budget: a sink that takes nothing, or says nothing any more, costs the requests beside it at most a tenth of their time (p50), and no event.
//!
//! ```sh
//! cargo build --release -p identree-benches --features server --bins
//! target/release/stalled-sink                           # --seconds 10 --rounds 3 --rate 500 --workers 64
//! ```
//!
//! The whole server over SQLite, asked at a steady rate: without a sink, with a Splunk whose port is closed, and with one that takes connections
//! and never answers. A figure is the median of its rounds; how far the rounds without a sink are apart is the noise. That what was
//! not taken is shipped later is a test (`identree-server/tests/faults/shipped.rs`).

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use identree_benches::Result;
use identree_benches::arguments::value;
use identree_benches::figures::{Report, now};
use identree_benches::load::paced::{Pace, Paced, paced};
use identree_benches::load::{Plan, Stage, Store, stay_on_core};

const SUBJECTS: [&str; 3] = ["no sink", "closed port", "never answers"];

fn main() -> Result<ExitCode> {
    let (seconds, rounds) = (value("--seconds", 10)?, value("--rounds", 3)?);
    let pace = Pace { rate: value("--rate", 500.0)?, workers: value("--workers", 64)? };
    let mut report =
        Report::begin("stalled-sink: ask -> approve -> told beside a sink that takes nothing; server on one core");
    report.say(format!(
        "  runs        {rounds} rounds of {seconds} s each, in turn; {} questions/s, {} workers; SQLite, synchronous=FULL",
        pace.rate, pace.workers
    ));
    stay_on_core(1)?;
    let stalled = TcpListener::bind("127.0.0.1:0")?;
    let closed = closed_port()?;
    let ports = [None, Some(closed), Some(stalled.local_addr()?.port())];
    std::thread::spawn(move || stalled.incoming().collect::<Vec<_>>());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut figures = SUBJECTS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (port, figures) in ports.iter().zip(&mut figures) {
            let settings = port.map(|port| {
                [
                    ("IDENTREE_AUDIT_SPLUNK_HEC_URL", format!("http://127.0.0.1:{port}/services/collector/event")),
                    ("IDENTREE_AUDIT_SPLUNK_TOKEN", "nobody-takes-this-token".to_owned()),
                ]
            });
            let plan = Plan { store: Store::Group, hosts: 500, people: pace.workers, administrators: 1 };
            let stage = Stage::ours_with(plan, settings.as_ref().map_or(&[], |settings| settings))?;
            let until = now() + Duration::from_secs(seconds);
            figures.push(runtime.block_on(paced(&stage.told, pace, until))?);
            stage.stop()?;
        }
    }
    for (name, figures) in SUBJECTS.iter().zip(&figures) {
        let all =
            |of: fn(&Paced) -> f64| figures.iter().map(|one| format!("{:.2}", of(one))).collect::<Vec<_>>().join(" ");
        report.say(format!(
            "  {name:14} told p50 {} ms, p99 {} ms",
            all(|one| one.told.p50()),
            all(|one| one.told.p99())
        ));
    }
    let [none, closed, stalled] = figures.map(|figures| middle(figures.iter().map(|one| one.told.p50()).collect()));
    report.judge("closed port / no sink, p50", closed / none, 1.1, "x");
    report.judge("never answers / no sink, p50", stalled / none, 1.1, "x");
    Ok(report.end())
}

/// A port that refuses.
fn closed_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
