//! Verifying a [copy](super::copy) of the log, with nothing but the log's public key.
//!
//! Everything is computed anew from the entries: their hashes, each tile, the root at each checkpoint. The signed roots are what is believed;
//! tiles that lead to them tell which entry is the one that was changed. Memory is bounded, however long the log is: one bundle per thread, and
//! at most 256 MiB to see that no event stands twice. Time goes with what is in the copy, whatever size was signed: of places of which
//! nothing is there, only so many are searched.

mod bundle;
mod finding;
mod ids;
mod judge;
mod marks;
mod source;
mod strays;
mod tops;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Checkpoint, LogKey};

pub use self::finding::{Finding, Findings, Grade};

/// What the auditor knows of the log from elsewhere.
#[derive(Debug, Clone)]
pub struct Known {
    /// It had this many entries at least.
    pub size: Option<u64>,
    /// Checkpoints that were kept: what to call each, and its note.
    pub checkpoints: Vec<(String, String)>,
    /// By how much the time of an entry may lie before that of its neighbour, or after that of the checkpoint over it.
    pub tolerance: Duration,
    /// Threads that read entries, one at least.
    pub threads: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { size: None, checkpoints: Vec::new(), tolerance: Duration::from_secs(5), threads: 2 }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The newest checkpoint of the copy that the key has signed.
    pub newest: Option<Checkpoint>,
    /// The first entry of the copy: what is before it is proven by tiles alone.
    pub first: u64,
    /// Checkpoints whose root is that of the entries.
    pub checkpoints: u64,
    /// Checkpoints with a good signature whose root could not be compared, since what they speak of is not in the copy.
    pub unchecked: u64,
    /// Personal parts that are there and the ones their entries commit to.
    pub personal: u64,
    /// Entries that tell of persons, whose personal part is empty: erased, or withheld, which a copy cannot tell apart. None of a copy
    /// without personal data.
    pub erased: u64,
    /// What is wrong, odd, or worth a remark.
    pub findings: Findings,
}

impl Report {
    /// The worst that was found; `None` if everything is as it was signed and nothing is odd.
    pub fn worst(&self) -> Option<Grade> {
        self.findings.iter().map(Finding::grade).filter(|grade| *grade > Grade::Remark).max()
    }
}

/// The copy could not be read: nothing is said of it.
#[derive(Debug, thiserror::Error)]
#[error("{path}", path = .path.display())]
pub struct ReadError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Verifies a copy.
///
/// # Errors
/// [`ReadError`] if a file is there and cannot be read. A file that is missing is a finding.
pub fn verify(dir: &Path, key: &LogKey, known: &Known) -> Result<Report, ReadError> {
    let source = source::Source::new(dir)?;
    let mut findings = Findings::default();
    source.compare_key(key, &mut findings)?;
    let marks = marks::Marks::read(&source, key, known, &mut findings)?;
    let Some(newest) = marks.newest().cloned() else {
        findings.push(Finding::NoCheckpoint);
        return Ok(Report { newest: None, first: 0, checkpoints: 0, unchecked: 0, personal: 0, erased: 0, findings });
    };
    walk::Walk::new(&source, known, newest, findings)?.run(marks)
}

#[cfg(test)]
mod tests;
