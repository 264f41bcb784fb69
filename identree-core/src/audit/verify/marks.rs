//! Every checkpoint there is: those of the copy, and those that the auditor kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;

use super::source::Source;
use super::{Finding, Findings, Known, ReadError};
use crate::audit::copy::{CHECKPOINT, Notes};
use crate::audit::{Checkpoint, LogKey};
use crate::time::Timestamp;

/// A checkpoint that the key has signed, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) place: String,
    pub(super) checkpoint: Checkpoint,
}

/// Checkpoints in order of size.
pub(super) struct Marks<'a> {
    key: &'a LogKey,
    notes: Option<Notes<BufReader<File>>>,
    read: u64,
    last: Option<(u64, Option<Timestamp>)>,
    /// The next of the file.
    next: Option<Mark>,
    /// Those that stand alone, in order.
    others: VecDeque<Mark>,
    newest: Option<Mark>,
    findings: Vec<Finding>,
}

impl<'a> Marks<'a> {
    /// Reads what stands alone and finds the newest of the copy. One that the auditor kept and that is larger says that the copy
    /// was cut.
    pub(super) fn read(
        source: &Source,
        key: &'a LogKey,
        known: &Known,
        findings: &mut Findings,
    ) -> Result<Self, ReadError> {
        let mut open = |place: &str, note: &str| {
            let opened = Checkpoint::open(note, key).map(|checkpoint| Mark { place: place.to_owned(), checkpoint });
            opened.map_err(|error| findings.push(Finding::Checkpoint { place: place.to_owned(), error })).ok()
        };
        let alone = source.read(CHECKPOINT)?;
        let copied = alone.and_then(|bytes| open("the file checkpoint", &String::from_utf8_lossy(&bytes)));
        let kept = known.checkpoints.iter().filter_map(|(place, note)| open(place, note));
        let mut others: Vec<Mark> = copied.iter().cloned().chain(kept).collect();
        let newest = newest(source, key, copied)?;
        let size = newest.as_ref().map_or(0, |mark| mark.checkpoint.size);
        let told = others.iter().map(|mark| (mark.place.as_str(), mark.checkpoint.size));
        let told = told.chain(known.size.map(|size| ("who keeps its size", size)));
        if let Some((place, known)) = told.filter(|(_, known)| *known > size).max_by_key(|(_, known)| *known)
            && newest.is_some()
        {
            findings.push(Finding::Truncated { place: place.to_owned(), known, size });
        }
        others.retain(|mark| mark.checkpoint.size <= size);
        others.sort_by_key(|mark| mark.checkpoint.size);
        let notes = source.notes()?;
        if notes.is_none() {
            findings.push(Finding::OneCheckpoint);
        }
        let (last, next) = (None, None);
        let mut marks = Marks { key, notes, read: 0, last, next, others: others.into(), newest, findings: Vec::new() };
        marks.step();
        Ok(marks)
    }

    /// The newest of the copy.
    pub(super) const fn newest(&self) -> Option<&Mark> {
        self.newest.as_ref()
    }

    /// The size of the next one.
    pub(super) fn next_size(&self) -> Option<u64> {
        [self.next.as_ref(), self.others.front()].into_iter().flatten().map(|mark| mark.checkpoint.size).min()
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<Mark> {
        let size = |mark: Option<&Mark>| mark.map_or(u64::MAX, |mark| mark.checkpoint.size);
        if self.next.is_some() && size(self.next.as_ref()) <= size(self.others.front()) {
            let mark = self.next.take();
            self.step();
            mark
        } else {
            self.others.pop_front()
        }
    }

    /// What was found wrong with them since this was asked last.
    pub(super) fn findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Reads the next good one of the file.
    fn step(&mut self) {
        while let Some(note) = self.notes.as_mut().and_then(Iterator::next) {
            let place = format!("checkpoint {} of the file checkpoints", self.read);
            self.read += 1;
            let checkpoint = match note {
                Ok(note) => Checkpoint::open(&note, self.key),
                Err(error) => {
                    self.findings.push(Finding::Checkpoints(error.to_string()));
                    return;
                }
            };
            match checkpoint {
                Ok(checkpoint) => {
                    if self.is_in_order(&place, &checkpoint) {
                        self.next = Some(Mark { place, checkpoint });
                        return;
                    }
                }
                Err(error) => self.findings.push(Finding::Checkpoint { place, error }),
            }
        }
    }

    fn is_in_order(&mut self, place: &str, found: &Checkpoint) -> bool {
        let (before, signed) = self.last.unwrap_or_default();
        if found.size < before {
            self.findings.push(Finding::Order { place: place.to_owned(), size: found.size, before });
            return false;
        }
        if let (Some(at), Some(before)) = (found.signed_at, signed)
            && at < before
        {
            self.findings.push(Finding::SignedBack { place: place.to_owned(), at, by: before.since(at) });
        }
        self.last = Some((found.size, found.signed_at.max(signed)));
        true
    }
}

/// The newest checkpoint of the copy: that in a file of its own, or, if an export was cut, one of the file of all.
fn newest(source: &Source, key: &LogKey, copied: Option<Mark>) -> Result<Option<Mark>, ReadError> {
    let size = |note: &str| note.lines().nth(1).and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
    let mut best = copied;
    // Usually only the last one is larger or as large; its signature is looked at once more where its turn is.
    let mut found: VecDeque<(u64, String)> = VecDeque::new();
    for (at, note) in source.notes()?.into_iter().flatten().map_while(Result::ok).enumerate() {
        if size(&note) > best.as_ref().map_or(0, |mark| mark.checkpoint.size) || best.is_none() {
            found.push_back((at as u64, note));
            if found.len() > 64 {
                found.pop_front();
            }
        }
    }
    while let Some((at, note)) = found.pop_back() {
        if let Ok(checkpoint) = Checkpoint::open(&note, key)
            && best.as_ref().is_none_or(|best| best.checkpoint.size < checkpoint.size)
        {
            best = Some(Mark { place: format!("checkpoint {at} of the file checkpoints"), checkpoint });
        }
    }
    Ok(best)
}
