//! A program at a terminal of its own: what is on the screen is read, what is typed is sent.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::sandbox::Sandbox;
use crate::server::PATIENCE;

/// `script(1)` around a command line: it makes the terminal, shows it on its output and types what comes on its input.
pub(crate) struct Screen {
    child: Child,
    keys: Option<ChildStdin>,
    chunks: Receiver<String>,
    seen: String,
}

impl Screen {
    /// Runs a command line as ann.
    pub(crate) fn of_ann(sandbox: &Sandbox, line: &str) -> Self {
        let script = format!("exec script -qec \"{line}\" /dev/null");
        let drop = "exec setpriv --reuid=64001 --regid=64001 --clear-groups sh -c \"$1\"";
        Self::of(sandbox.command(drop, &script))
    }

    /// Runs a command that makes its terminal itself.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut stdout = identree_evidence::tee("terminal", child.stdout.take().unwrap());
        let (sender, chunks) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                if sender.send(String::from_utf8_lossy(&buffer[..read]).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { keys: child.stdin.take(), child, chunks, seen: String::new() }
    }

    /// Waits until the text stands on the screen, and returns all of it.
    pub(crate) fn wait_for(&mut self, text: &str) -> &str {
        while !self.seen.contains(text) {
            let chunk = self.chunks.recv_timeout(PATIENCE);
            assert!(chunk.is_ok(), "no '{text}' on the screen:\n{}", self.seen);
            self.seen.push_str(&chunk.unwrap());
        }
        &self.seen
    }

    pub(crate) fn keys(&mut self, keys: &str) {
        let stdin = self.keys.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for the end: exit code and all that was shown.
    pub(crate) fn finish(mut self) -> (i32, String) {
        while let Ok(chunk) = self.chunks.recv_timeout(PATIENCE) {
            self.seen.push_str(&chunk);
        }
        self.keys = None;
        (self.child.wait().unwrap().code().unwrap_or(-1), self.seen.replace('\r', ""))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Ok(None) = self.child.try_wait()
            && let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
