//! What may be found in a copy, in words.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::copy::Place;
use crate::audit::{CheckpointError, EntryError};
use crate::store::TILE;
use crate::time::Timestamp;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Nothing to worry about.
    Remark,
    /// Everything is as it was signed, and something in it wants an explanation.
    Odd,
    /// The copy is not what was signed, or not all of it.
    Broken,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// There is no checkpoint to verify anything against.
    #[error(
        "there is no checkpoint of this key: the export was cut before its end, or this is no copy of the log; export again"
    )]
    NoCheckpoint,
    /// The copy names another key.
    #[error("the file key names another key than the one given: {0}")]
    Key(String),
    /// A checkpoint is none, or of another key or log.
    #[error("{place}: {error}")]
    Checkpoint {
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// The file of checkpoints is damaged.
    #[error("the file checkpoints {0}; if the export was cut, export again")]
    Checkpoints(String),
    /// Checkpoints are not in order.
    #[error("{place} is of {size} entries, the one before of {before}: checkpoints were reordered")]
    Order {
        /// Where it stands.
        place: String,
        /// Its size.
        size: u64,
        /// The size before.
        before: u64,
    },
    /// The log is shorter than it was.
    #[error("the end was cut off: {place} says that the log had {known} entries, this copy ends after {size}")]
    Truncated {
        /// Who says so.
        place: String,
        /// How many there were.
        known: u64,
        /// How many there are.
        size: u64,
    },
    /// The key has signed two histories.
    #[error(
        "fork: {one} and {other} are both signed by the log's key, both of {size} entries, and have different roots. Keep both: they \
         prove that the log showed different people different histories"
    )]
    Fork {
        /// One checkpoint.
        one: String,
        /// The other.
        other: String,
        /// Of how many entries.
        size: u64,
    },
    /// A signed checkpoint is not one of this history, which is signed as well.
    #[error(
        "fork: {place} is signed by the log's key over {size} entries, and these are not the first {size} of the ones here, which are signed \
         too. Keep both: they prove that the log showed different people different histories"
    )]
    Inconsistent {
        /// The checkpoint.
        place: String,
        /// Of how many entries.
        size: u64,
    },
    /// The entries are not those that were signed.
    #[error(
        "an entry from {from} to {to} was changed, added or removed, and its tiles with it: the root is not the one signed in {place}"
    )]
    Root {
        /// The first that may be the one.
        from: u64,
        /// The last that may be the one.
        to: u64,
        /// The checkpoint.
        place: String,
    },
    /// An entry is not the one that was signed.
    #[error("entry {0} was changed: its hash is not the one that was signed")]
    Changed(u64),
    /// An entry is missing among others.
    #[error("entry {0} was removed: what stands at its place is the entry after it")]
    Removed(u64),
    /// An entry came between others.
    #[error("an entry was inserted at {0}: the one that was signed there stands after it")]
    Inserted(u64),
    /// Entries changed places.
    #[error("entries {from} to {to} are in another order than was signed")]
    Reordered {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Entries and their hashes were both changed.
    #[error("an entry from {from} to {to} was changed, and {tile} with it: neither is what was signed")]
    ChangedAmong {
        /// The first that may be the one.
        from: u64,
        /// The last that may be the one.
        to: u64,
        /// Their tile.
        tile: Place,
    },
    /// Entries that cannot be told apart.
    #[error("{file}: {error}")]
    Cut {
        /// Which file.
        file: Place,
        /// Where it stops making sense.
        error: String,
    },
    /// A file has more or fewer entries than it should.
    #[error("{file} has {found} entries, not {wanted}")]
    Count {
        /// Which file.
        file: Place,
        /// How many it has.
        found: u64,
        /// How many it should have.
        wanted: u16,
    },
    /// Further files whose entries all moved.
    #[error("in {0} files after that, no entry is at its place")]
    Moved(u64),
    /// A tile is not that of its entries.
    #[error("{file} was changed: its hash {at} is not that of the entries, which are the ones that were signed")]
    Tile {
        /// Which tile.
        file: Place,
        /// The first hash that differs.
        at: u64,
    },
    /// Entries and a tile contradict each other, and it is not known which is right.
    #[error("{file}: its hash {at} is not that of the entries")]
    Contradiction {
        /// Which tile.
        file: Place,
        /// The first hash that differs.
        at: u64,
    },
    /// A file is missing.
    #[error("{file} is missing (entries {from} to {to}): the export was cut, or it was removed; export again")]
    Missing {
        /// The first file.
        file: Place,
        /// The first entry that it tells of.
        from: u64,
        /// The last, of all files missing in a row.
        to: u64,
    },
    /// So much is missing that the search ended.
    #[error(
        "not pinpointed further: too many files are missing; whether anything is there of the entries from {from} to {to}, which the newest \
         checkpoint speaks of, was not looked at"
    )]
    Unsearched {
        /// The first entry that was not looked for.
        from: u64,
        /// The last that was signed.
        to: u64,
    },
    /// Files beyond what is signed.
    #[error(
        "{file} has entries beyond the newest checkpoint, which nobody signed: the export was cut, or they were added; export again"
    )]
    Beyond {
        /// The first such file.
        file: Place,
    },
    /// A partial file that is no beginning of the whole one.
    #[error("{file} is not the beginning of {of}")]
    Partial {
        /// Which file.
        file: Place,
        /// Which one it should begin.
        of: Place,
    },
    /// An entry is as it was signed, and no event.
    #[error("entry {seq} is no event: {error}")]
    NoEvent {
        /// Which.
        seq: u64,
        /// Why.
        error: String,
    },
    /// Personal data was changed.
    #[error("the personal data of entry {0} was changed: it is not what the entry commits to")]
    Personal(u64),
    /// An event stands twice.
    #[error("entries {first} and {second} are the same event: one was added")]
    Twice {
        /// One place.
        first: u64,
        /// The other.
        second: u64,
    },
    /// Too many entries to see whether an event stands twice.
    #[error("whether an event stands twice could not be told: the log is too long for it")]
    IdsNotChecked,
    /// A clock went back.
    #[error("a clock went back: entry {seq} is of {at}, {by} before its neighbour", by = humantime::format_duration(*by))]
    ClockBack {
        /// Which entry.
        seq: u64,
        /// Its time.
        at: Timestamp,
        /// By how much.
        by: Duration,
    },
    /// A clock is ahead.
    #[error(
        "a clock was ahead: entry {seq} is of {at}, {by} after {place} was signed over it", by = humantime::format_duration(*by)
    )]
    ClockAhead {
        /// Which entry.
        seq: u64,
        /// Its time.
        at: Timestamp,
        /// By how much.
        by: Duration,
        /// The checkpoint.
        place: String,
    },
    /// The clock of the checkpoints went back.
    #[error("a clock went back: {place} was signed at {at}, the one before {by} later", by = humantime::format_duration(*by))]
    SignedBack {
        /// The checkpoint.
        place: String,
        /// Its time.
        at: Timestamp,
        /// By how much.
        by: Duration,
    },
    /// A checkpoint speaks of what is not in the copy.
    #[error(
        "{place} could not be compared: the copy begins after its {size} entries, or entries before it are missing"
    )]
    Unchecked {
        /// The checkpoint.
        place: String,
        /// Of how many entries.
        size: u64,
    },
    /// Not every checkpoint is there.
    #[error("there is no file checkpoints: only the newest one was compared")]
    OneCheckpoint,
    /// Events of kinds that this version does not know.
    #[error("{0} entries are of kinds that this version does not know")]
    UnknownKinds(u64),
    /// A file that is not part of a copy.
    #[error("{0} is no part of a copy and was not looked at")]
    Stray(String),
}

impl Finding {
    /// How bad it is.
    pub const fn grade(&self) -> Grade {
        match self {
            Self::ClockBack { .. }
            | Self::ClockAhead { .. }
            | Self::SignedBack { .. }
            | Self::Unchecked { .. }
            | Self::IdsNotChecked => Grade::Odd,
            Self::OneCheckpoint | Self::UnknownKinds(_) | Self::Stray(_) => Grade::Remark,
            _ => Grade::Broken,
        }
    }

    pub(super) fn cut(file: Place, error: &EntryError) -> Self {
        Self::Cut { file, error: error.to_string() }
    }

    /// A file of level 0, of entries or of personal data is missing.
    pub(super) const fn missing(file: Place) -> Self {
        let from = file.number * TILE;
        Self::Missing { file, from, to: from + file.width as u64 - 1 }
    }
}

/// How many findings of one grade are kept.
const KEPT: u64 = 20;

/// What was found, in the order in which it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    found: Vec<Finding>,
    counts: BTreeMap<Grade, u64>,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if let (Finding::Missing { file, from, to: end }, Some(Finding::Missing { file: last, to, .. })) =
            (&finding, self.found.last_mut())
            && last.piece == file.piece
            && *to + 1 == *from
        {
            *to = *end;
            return;
        }
        let count = self.counts.entry(finding.grade()).or_default();
        *count += 1;
        // Where the search ended is told however much came before.
        if *count <= KEPT || matches!(finding, Finding::Unsearched { .. }) {
            self.found.push(finding);
        }
    }

    pub(super) fn extend(&mut self, findings: Vec<Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// An entry that is not the one that was signed. Once one was removed or inserted, all after it have moved: that is told once.
    pub(super) fn push_entry(&mut self, finding: Finding) {
        let moves = |finding: &Finding| matches!(finding, Finding::Removed(_) | Finding::Inserted(_));
        match self.found.last_mut() {
            Some(Finding::Moved(files)) if moves(&finding) => *files += 1,
            Some(last) if moves(last) && *last != finding && moves(&finding) => self.push(Finding::Moved(1)),
            _ => self.push(finding),
        }
    }

    /// Those that were kept: the first twenty of each grade.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.found.iter()
    }

    /// How many of this grade there were beyond those kept.
    pub fn more(&self, grade: Grade) -> u64 {
        let kept = self.found.iter().filter(|finding| finding.grade() == grade).count() as u64;
        self.counts.get(&grade).copied().unwrap_or(0).saturating_sub(kept)
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_search_ended_is_told_however_much_came_before() {
        let (mut findings, ended) = (Findings::default(), Finding::Unsearched { from: 512, to: 9999 });
        findings.extend((0..100).map(Finding::Changed).collect());
        findings.push(ended.clone());
        assert_eq!(findings.iter().last(), Some(&ended));
        assert_eq!((findings.iter().count() as u64, findings.more(Grade::Broken)), (KEPT + 1, 80));
    }
}
