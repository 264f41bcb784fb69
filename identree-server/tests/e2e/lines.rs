//! A child process that is spoken to line by line in JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// One of the scripts, running. Ends when dropped.
pub(crate) struct Lines {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Lines {
    /// Starts a script and returns it with its first line.
    pub(crate) fn start(script: &str, argument: &str) -> (Self, Value) {
        let mut child = Command::new("node")
            .args(["--no-warnings", script, argument])
            .current_dir(crate::HERE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut lines = Self { child, input, output };
        let first = lines.read();
        (lines, first)
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn call(&mut self, command: &Value) -> Value {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
        self.read()
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the script ended");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // The scripts end with their input and take their own children along.
        self.input.take();
        let _ = self.child.wait();
    }
}
