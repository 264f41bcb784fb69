//! Trying a door to root for real, and leaving no trace: in a mount and process namespace of its own, over a copy of `/etc`,
//! against a server of our own on loopback that writes down what it is asked.
//!
//! The namespace is made by `unshare(1)`; in it this program runs again ([`inside`]), builds the room and starts the command.
//! All of it ends with the process that started it.

pub mod door;
mod room;
mod server;

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use identree_core::grant::Decision;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

pub use self::room::inside;
use self::server::Scripted;
use crate::clock::now;
use crate::setup::file::Snapshot;

/// The word that starts this program in the room; for itself alone.
pub const INSIDE: &str = "--inside-trial";

/// The most of a command's output that is kept, in bytes.
const MAX_OUTPUT: usize = 64 * 1024;

/// Who tries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// One attempt.
#[derive(Debug)]
pub struct Trial<'a> {
    /// This program.
    pub program: &'a Path,
    /// An empty folder of root's, to build the room on.
    pub room: &'a Path,
    /// Files of `/etc` as they are in the room; `None` is no file.
    pub files: Vec<(PathBuf, Option<Snapshot>)>,
    /// Who tries.
    pub account: &'a Account,
    /// What is run; it prints `0` on a line of its own when it runs as root (`id -u`).
    pub command: Vec<String>,
    /// How the server answers, one question after the other; the last one goes on. Empty: there is no server.
    pub answers: Vec<Decision>,
    /// How long it may take.
    pub within: Duration,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct End {
    /// What the server was asked: service, person and run-as.
    pub asked: Vec<String>,
    /// How often something ran as root.
    pub root: usize,
    /// Whether the command said that all went well.
    pub success: bool,
    /// What it printed.
    pub output: String,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// A step of building or running failed.
    #[error("trying {what} failed: {cause}")]
    System {
        /// Which step.
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// The room could not be built.
    #[error("no room to try in could be made ({0}); it takes root, unshare(1) and mount namespaces")]
    Room(String),
    /// It took too long.
    #[error("the try did not end within {0:?}: {1}")]
    Late(Duration, String),
}

/// What the room is told, on its standard input: some of it is secret.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    room: PathBuf,
    host_file: String,
    files: Vec<(PathBuf, Option<Snapshot>)>,
    account: Account,
    command: Vec<String>,
}

/// What the room prints first when everything in it stands.
const READY: &str = "identree: the room is ready";

impl Trial<'_> {
    /// Tries.
    ///
    /// # Errors
    /// [`TrialError`]: then nothing is known about the door.
    pub fn run(&self) -> Result<End, TrialError> {
        let failed = |what| move |cause| TrialError::System { what, cause };
        let mut server = Scripted::start(&self.answers).map_err(failed("the server of the test"))?;
        let order = Order {
            room: self.room.to_owned(),
            host_file: server.host_file(),
            files: self.files.clone(),
            account: self.account.clone(),
            command: self.command.clone(),
        };
        let order = serde_json::to_vec(&order).map_err(|e| failed("the order")(e.into()))?;
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(self.program).arg(INSIDE).env_clear().process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed("unshare(1)"))?;
        let mut started = Started { pid: child.id(), over: false };
        if let Some(mut stdin) = child.stdin.take() {
            // A room that could not be made does not read; its own words say more.
            let _ = stdin.write_all(&order);
        }
        let (out, ended) = self.attend(&mut child, &mut server).map_err(failed("the command"))?;
        if !ended {
            return Err(TrialError::Late(self.within, out));
        }
        let status = child.wait().map_err(failed("the command"))?;
        started.over = true;
        let Some((_, output)) = out.split_once(READY) else {
            return Err(TrialError::Room(identree_core::text::visible(out.trim()).into_owned()));
        };
        let root = output.lines().filter(|line| line.trim_end() == "0").count();
        Ok(End { asked: server.asked(), root, success: status.success(), output: output.to_owned() })
    }

    /// Answers questions and collects what is printed until the command has ended; whether it has.
    fn attend(&self, child: &mut std::process::Child, server: &mut Scripted) -> io::Result<(String, bool)> {
        let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("it has no output"));
        };
        let until = now() + self.within;
        let (mut output, mut open) = (Vec::new(), [true, true]);
        while open[0] || open[1] {
            let left = until.since(now());
            if left.is_zero() {
                return Ok((String::from_utf8_lossy(&output).into_owned(), false));
            }
            let wait = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let ready = {
                let mut watched = Vec::new();
                if open[0] {
                    watched.push(PollFd::new(&out, PollFlags::IN));
                }
                if open[1] {
                    watched.push(PollFd::new(&err, PollFlags::IN));
                }
                if let Some(listener) = server.listener() {
                    watched.push(PollFd::new(listener, PollFlags::IN));
                }
                poll(&mut watched, Some(&wait))?;
                let mut ready = watched.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
                let mut next = |there: bool| there && ready.next().unwrap_or(false);
                (next(open[0]), next(open[1]), next(true))
            };
            let mut chunk = [0; 4096];
            if ready.0 {
                let length = out.read(&mut chunk)?;
                open[0] = length > 0;
                keep(&mut output, &chunk[..length]);
            }
            if ready.1 {
                let length = err.read(&mut chunk)?;
                open[1] = length > 0;
                keep(&mut output, &chunk[..length]);
            }
            if ready.2 {
                server.answer();
            }
        }
        Ok((String::from_utf8_lossy(&output).into_owned(), true))
    }
}

fn keep(output: &mut Vec<u8>, chunk: &[u8]) {
    let room = MAX_OUTPUT.saturating_sub(output.len());
    output.extend_from_slice(&chunk[..chunk.len().min(room)]);
}

/// A process group that does not outlive its trial.
struct Started {
    pid: u32,
    over: bool,
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw).filter(|_| !self.over) {
            // unshare(1) takes everything in the namespace with it.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
