//! The process under test.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, what fails says where")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::PATIENCE;

/// A running `identree dev` with a temporary directory of its own.
pub(crate) struct Demo {
    child: Child,
    lines: Receiver<String>,
    temporary: TempDir,
    seen: String,
}

impl Demo {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_identree"))
            .arg("dev")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .env("IDENTREE_LOG_LEVEL", identree_evidence::log_level())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(identree_evidence::stdio("dev"))
            .spawn()
            .unwrap();
        let stdout = BufReader::new(identree_evidence::tee("dev-terminal", child.stdout.take().unwrap()));
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, temporary, seen: String::new() }
    }

    /// Everything it has said up to and including the next line with this text.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {text:?} in:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return self.seen.clone();
            }
        }
    }

    /// Ctrl-C; then no file may be left.
    pub(crate) fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status} after:\n{}", self.seen);
        let left: Vec<_> = std::fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Both fail when it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
