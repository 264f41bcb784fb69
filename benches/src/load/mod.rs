//! Loading a server: one in a process of its own on core 0, whoever asks and approves in this process on core 1.
//!
//! Ours (`bench-server`) and the yardstick (`bare-probe`) take the same requests, byte for byte, and say in the same words who may send
//! them ([`Told`]).

pub mod cycle;
pub mod paced;
mod stage;
pub mod tls;
pub mod wire;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

pub use self::stage::{Plan, Stage, Store};
use crate::Result;

/// What a server prints in one line once it is ready: where it is and who may come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// Where it speaks plain HTTP.
    pub plain: SocketAddr,
    /// Where it speaks TLS 1.3.
    pub tls: SocketAddr,
    /// Hosts.
    pub hosts: Vec<Registered>,
    /// People who ask and approve their own questions.
    pub people: Vec<SignedIn>,
    /// People who see everybody's questions.
    pub administrators: Vec<SignedIn>,
}

/// What the server prints in one line at its end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ended {
    /// Transactions of the store; zero in memory.
    pub transactions: u64,
}

/// A host that may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    /// Its name.
    pub name: String,
    /// Its secret, as in `client.conf`.
    pub secret: String,
}

/// A browser session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedIn {
    /// Who.
    pub name: String,
    /// The cookie, as the browser sends it.
    pub cookie: String,
    /// The token of every form.
    pub csrf: String,
}

/// Keeps this process, and what it starts, on one core. Where there is none of this number all are used.
///
/// # Errors
/// If the kernel refuses.
pub fn stay_on_core(core: usize) -> Result<()> {
    if core < std::thread::available_parallelism()?.get() {
        let mut cores = CpuSet::new();
        cores.set(core)?;
        sched_setaffinity(Pid::from_raw(0), &cores)?;
    }
    Ok(())
}

/// Raises the number of descriptors to what the machine allows; returns it.
///
/// # Errors
/// If the kernel refuses.
pub fn many_descriptors() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Calls for each line of standard input, until it ends.
///
/// # Errors
/// If it cannot be read.
pub async fn each_line(mut call: impl FnMut() + Send + 'static) -> Result<()> {
    let lines = move || std::io::stdin().lines().try_for_each(|line| line.map(|_| call()));
    Ok(tokio::task::spawn_blocking(lines).await??)
}

/// Never lets the thread of this runtime sleep: to wake it would be work of the server, more of it the slower the server is.
/// Who asks in earnest sits behind a network.
pub fn stay_awake() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}

/// Waits until this time.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn pause_until(time: std::time::Instant) {
    tokio::time::sleep_until(time.into()).await;
}
