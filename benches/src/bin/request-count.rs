//! Budget: at most 1 + ceil(wait / 25 s) + 1 HTTP requests per question.
//!
//! Built and run as `helper-cost` (as root). The helper talks plain HTTP over loopback through a relay that counts what looks like the
//! first line of a request; nobody answers the question, so it lasts its whole life of 30 s. A poll loop of 2 s would need 16.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use identree_benches::Result;
use identree_benches::figures::Report;
use identree_benches::process::{built, sibling, timed};
use identree_benches::server::{ASK, Server};

/// The shortest life that the server accepts for a question.
const LIFE_SECS: u32 = 30;

fn main() -> Result<ExitCode> {
    let helper = sibling("identree-pam", "cargo build -p identree-pam --profile host")?;
    let program = built("release", "identree", "cargo build -p identree-server --release")?;
    let relay = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", relay.local_addr()?);
    let life = format!("{LIFE_SECS}s");
    let server = Server::start(&program, ASK, &[("IDENTREE_INSTALL_URL", &url), ("IDENTREE_CHALLENGE_TTL", &life)])?;
    let conf = std::fs::read_to_string(server.client_conf())?;
    let conf = conf.replace(&format!("https://{}", server.tls()), &url);
    std::fs::write(server.client_conf(), conf)?;

    let requests = Arc::new(AtomicU32::new(0));
    let (counting, to) = (Arc::clone(&requests), server.plain());
    std::thread::spawn(move || {
        for from in relay.incoming().flatten() {
            let counting = Arc::clone(&counting);
            std::thread::spawn(move || relayed(&from, to, &counting));
        }
    });

    let mut report = Report::begin("request-count: one question that nobody answers");
    let mut ask = Command::new(helper);
    ask.arg("--config").arg(server.client_conf()).env_clear();
    ask.envs([("PAM_TYPE", "auth"), ("PAM_SERVICE", "su"), ("PAM_USER", "root")]);
    let waited = timed(&mut ask, &[2])?;
    report.say(format!("  waited      {:.1} s until the question expired", waited.as_secs_f64()));
    let budget = 1 + LIFE_SECS.div_ceil(25) + 1;
    report.judge("requests", f64::from(requests.load(Ordering::Relaxed)), f64::from(budget), "requests");
    Ok(report.end())
}

/// Both ways until either side ends; errors end a connection, as they do on a wire.
fn relayed(from: &TcpStream, to: SocketAddr, requests: &AtomicU32) {
    let copies = || -> std::io::Result<()> {
        let server = TcpStream::connect(to)?;
        let (mut answers, mut back) = (server.try_clone()?, from.try_clone()?);
        std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let (mut asking, mut server) = (from, server);
        let mut buffer = [0; 16 * 1024];
        loop {
            let length = asking.read(&mut buffer)?;
            if length == 0 {
                return server.shutdown(std::net::Shutdown::Write);
            }
            // The helper writes each request at once.
            if buffer[..length].windows(10).any(|bytes| bytes == b" HTTP/1.1\r") {
                requests.fetch_add(1, Ordering::Relaxed);
            }
            server.write_all(&buffer[..length])?;
        }
    };
    drop(copies());
}
