//! Budget: the helper on an `allow` rule takes at most 1.6 times a bare rustls(ring) POST process (wall, p50), 5 million instructions,
//! 4 MiB of file and 6 MiB of resident memory.
//!
//! ```sh
//! cargo build -p identree-pam --profile host            # apart: a workspace build would unify features
//! cargo build -p identree-benches --profile host --bins
//! cargo build -p identree-server --release
//! target/host/helper-cost                               # as root; --check makes a missed budget a failure
//! ```
//!
//! Both programs open a new question at the real `identree serve` over TLS 1.3 on loopback and run in turn, so the server does the same for
//! both: a commit with `synchronous=FULL` and a signature. The yardstick is given its credential and body ready made and looks at nothing in
//! the reply; the helper finds out who asks for what, keeps its claims, and proves the signed grant. Without root it cannot keep them.

use std::path::Path;
use std::process::{Command, ExitCode};

use identree_benches::Result;
use identree_benches::figures::{Report, Samples};
use identree_benches::host::{Host, question};
use identree_benches::process::{built, instructions, peak_rss_kib, rehearsed, sibling, timed};
use identree_benches::server::{ALLOW, Server};
use identree_core::wire::v1::CHALLENGES;

const ROUNDS: usize = 2;
const RUNS: usize = 300;

fn main() -> Result<ExitCode> {
    let helper = sibling("identree-pam", "cargo build -p identree-pam --profile host")?;
    let bare = sibling("bare-post", "cargo build -p identree-benches --profile host --bins")?;
    let server = Server::start(&built("release", "identree", "cargo build -p identree-server --release")?, ALLOW, &[])?;
    let mut report = Report::begin("helper-cost: the helper on an allow rule, beside a bare POST over TLS");
    report.say(format!(
        "  runs        {ROUNDS} x {RUNS} of each, in turn; TLS 1.3, P-256, loopback, SQLite synchronous=FULL"
    ));

    let ask = || asking(&helper, &server);
    let host = Host::read(&server.client_conf())?;
    let post = || posting(&bare, &server, &host);
    // Once each, unmeasured: the disk's cache, and the boot key of the claims.
    rehearsed(&mut ask(), &[0])?;
    rehearsed(&mut post()?, &[0])?;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (mut ours, mut bare) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS));
        for _ in 0..RUNS {
            bare.push(timed(&mut post()?, &[0])?);
            ours.push(timed(&mut ask(), &[0])?);
        }
        let (ours, bare) = (Samples::new(ours), Samples::new(bare));
        let ratio = ours.p50() / bare.p50();
        ratios.push(ratio);
        report.say(format!(
            "  round {round}     helper p50 {:.2} ms, p99 {:.2} ms; bare POST p50 {:.2} ms, p99 {:.2} ms; ratio {ratio:.2}",
            ours.p50(), ours.p99(), bare.p50(), bare.p99(),
        ));
    }
    let best = ratios.into_iter().fold(f64::INFINITY, f64::min);
    report.judge("wall p50 over the bare POST's (the quieter round)", best, 1.6, "x");
    match (instructions(&ask())?, instructions(&post()?)?) {
        (Some(ours), Some(bare)) => {
            report.judge("instructions", millions(ours), 5.0, "M");
            report.say(format!("              bare POST: {:.2} M", millions(bare)));
        }
        _ => report.say("              valgrind is not installed: instructions not counted"),
    }
    report.judge("binary", mib(std::fs::metadata(&helper)?.len()), 4.0, "MiB");
    report.judge("peak RSS", mib(peak_rss_kib(&ask())? * 1024), 6.0, "MiB");
    report.say(format!("              bare POST: {:.2} MiB", mib(peak_rss_kib(&post()?)? * 1024)));
    Ok(report.end())
}

fn posting(program: &Path, server: &Server, host: &Host) -> Result<Command> {
    let mut command = Command::new(program);
    let body = question()?;
    let authorization = host.authorization("POST", CHALLENGES, &body)?;
    command.arg(server.tls().to_string()).arg(server.ca()).arg(authorization).arg(String::from_utf8(body)?);
    Ok(command)
}

/// As `pam_exec` starts it. The service is `su`, for which the caller's arguments (ours) are not read as sudo's options.
fn asking(program: &Path, server: &Server) -> Command {
    let mut command = Command::new(program);
    command.arg("--config").arg(server.client_conf()).env_clear();
    command.envs([("PAM_TYPE", "auth"), ("PAM_SERVICE", "su"), ("PAM_USER", "root")]);
    command
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn millions(count: u64) -> f64 {
    count as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
