//! `identree serve` as a child process, and what it says.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// Killed when dropped.
pub(crate) struct Serving {
    child: Child,
    log: Receiver<String>,
    said: String,
}

impl Serving {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(identree_evidence::tee("serve", child.stderr.take().unwrap()));
        let (sender, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, log, said: String::new() }
    }

    /// What it has said, as far as it was read.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads on until the server has said this.
    pub(crate) fn until(&mut self, text: &str) {
        let mut seen = 0;
        while !self.said[seen..].contains(text) {
            seen = self.said.len();
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {text:?} in:\n{}", self.said));
            self.said.push_str(&line);
            self.said.push('\n');
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the process is gone; its status, and all it has said.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let mut said = std::mem::take(&mut self.said);
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            said.push_str(&line);
            said.push('\n');
        }
        (status, said)
    }

    /// Seconds of CPU that the process has used.
    pub(crate) fn cpu_secs(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0 // USER_HZ is 100 on every architecture we know
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
