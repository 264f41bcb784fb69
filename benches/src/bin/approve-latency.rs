//! Budget: from the approval being sent to the helper's process being gone p50 at most 3 ms and p99 at most 20 ms, over TLS 1.3 on loopback.
//!
//! ```sh
//! cargo build -p identree-pam --profile host            # apart: a workspace build would unify features
//! cargo build -p identree-benches --profile host --bins
//! cargo build -p identree-server --release --features dev-idp
//! target/host/approve-latency                           # as root; --check makes a missed budget a failure
//! ```
//!
//! The real `identree dev` (SQLite, `synchronous=FULL`), the real helper, and a person signed in over OpenID Connect who approves their own
//! question on a kept connection. The clock starts before the request's first byte and stops when the process is reaped: the vote, its
//! commit, the signature, the wake-up, the proof and the exit are all in it. Beside it, in turn: a loop that asks every 2 s.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use identree_benches::Result;
use identree_benches::browser::Browser;
use identree_benches::figures::{Report, Samples, now};
use identree_benches::process::{built, private_directory, sibling};

const RUNS: usize = 300;
/// One in so many runs is followed by one of the slow loop.
const POLL_EVERY: usize = 12;

fn main() -> Result<ExitCode> {
    let helper = sibling("identree-pam", "cargo build -p identree-pam --profile host")?;
    let poll = sibling("poll-loop", "cargo build -p identree-benches --profile host --bins")?;
    let server = built("release", "identree", "cargo build -p identree-server --release --features dev-idp")?;
    let data = private_directory()?;
    let dev = Dev::start(&server, data.path())?;
    let client_conf = data.path().join("client.conf");
    let mut browser = Browser::sign_in(dev.pages, "root")?;

    let mut report = Report::begin("approve-latency: approval sent -> the waiting process is gone");
    report.say(format!("  runs        {RUNS} of the helper, {} of a 2 s poll loop, in turn; TLS 1.3, loopback, SQLite synchronous=FULL", RUNS / POLL_EVERY));
    let (mut ours, mut polled) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let mut ask = Command::new(&helper);
        ask.arg("--config").arg(&client_conf).env_clear();
        ask.envs([("PAM_TYPE", "auth"), ("PAM_SERVICE", "su"), ("PAM_USER", "root")]);
        ours.push(approved(&mut ask, &mut browser, Duration::from_millis(30))?);
        if run % POLL_EVERY == 0 {
            // Spread over the interval, as people are.
            let phase = Duration::from_millis((run / POLL_EVERY * 1236 % 2000) as u64);
            polled.push(approved(Command::new(&poll).arg(&client_conf), &mut browser, phase)?);
        }
    }
    let (ours, polled) = (Samples::new(ours), Samples::new(polled));
    report.judge("helper p50", ours.p50(), 3.0, "ms");
    report.judge("helper p99", ours.p99(), 20.0, "ms");
    report.say(format!(
        "              2 s poll loop: p50 {:.0} ms, p99 {:.0} ms; {:.0} times the helper's p50",
        polled.p50(),
        polled.p99(),
        polled.p50() / ours.p50()
    ));
    Ok(report.end())
}

/// Starts a process that asks, approves after `phase`, and returns how long the process then lived.
fn approved(command: &mut Command, browser: &mut Browser, phase: Duration) -> Result<Duration> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
    let mut said = String::new();
    let path = loop {
        let Some(line) = lines.next().transpose()? else {
            child.wait()?;
            return Err(format!("the process ended without a question: {said}").into());
        };
        if let Some((_, path)) = line.split_once("/approve/") {
            break format!("/approve/{}", path.trim());
        }
        said += &line;
    };
    let form = browser.open(&path)?;
    // The helper must be back in its wait, and the loop at the place in its interval that this run is for.
    std::thread::sleep(phase);
    let sent = now();
    browser.press(&form)?;
    let status = child.wait()?;
    let took = sent.elapsed();
    browser.pressed()?;
    if status.success() { Ok(took) } else { Err(format!("not approved: {status}").into()) }
}

/// The running `identree dev`; ended on drop.
struct Dev {
    child: Child,
    pages: SocketAddr,
}

impl Dev {
    fn start(program: &Path, data: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["dev", "--no-question", "--user", "root", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let pages = loop {
            let Some(line) = lines.next().transpose()? else {
                child.wait()?;
                return Err("identree dev did not start".into());
            };
            if let Some((_, url)) = line.split_once("Browser") {
                let url = url.split_once("http://").ok_or("the browser's address is not http")?.1;
                let authority: String =
                    url.chars().take_while(|c| c.is_ascii_alphanumeric() || ".:".contains(*c)).collect();
                break authority.replace("localhost", "127.0.0.1").parse()?;
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, pages })
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
