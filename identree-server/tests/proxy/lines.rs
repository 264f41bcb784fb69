//! What a child prints: kept whole, and waited for.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::PATIENCE;

/// The lines of one or more streams, as they come. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    /// Reads what a program prints to its end, in the background. `name` is what printed it.
    pub(crate) fn follow(&self, name: &str, stream: impl Read + Send + 'static) {
        self.read(identree_evidence::tee(name, stream));
    }

    /// The same with what is for one person's eyes.
    pub(crate) fn read(&self, stream: impl Read + Send + 'static) {
        let (stream, lines) = (BufReader::new(stream), self.clone());
        std::thread::spawn(move || {
            for line in stream.lines().map_while(Result::ok) {
                lines.push(line);
            }
        });
    }

    pub(crate) fn push(&self, line: String) {
        self.0.0.lock().unwrap().push(line);
        self.0.1.notify_all();
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> String {
        self.0.0.lock().unwrap().join("\n")
    }

    /// How many lines there are: what comes later is [`Lines::after`] them.
    pub(crate) fn count(&self) -> usize {
        self.0.0.lock().unwrap().len()
    }

    /// The first line from that one on that is as wanted, as soon as it is there.
    pub(crate) fn after(&self, from: usize, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.within(from, PATIENCE, wanted).unwrap_or_else(|| panic!("no {what} in:\n{}", self.all()))
    }

    /// The same, if it comes within the time.
    pub(crate) fn within(&self, from: usize, time: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let find = |lines: &[String]| lines.iter().skip(from).find(|line| wanted(line)).cloned();
        let lines = self.0.0.lock().unwrap();
        let (lines, _) = self.0.1.wait_timeout_while(lines, time, |lines| find(lines).is_none()).unwrap();
        find(&lines)
    }
}
