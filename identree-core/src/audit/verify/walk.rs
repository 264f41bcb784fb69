//! From the first entry to the last.

use std::collections::HashMap;
use std::thread;

use super::bundle::{self, Read, Readers, Sight};
use super::ids::{CANDIDATES, Filter};
use super::judge::{Claim, Leaves, judge};
use super::marks::{Mark, Marks};
use super::source::{Source, place};
use super::tops::Tops;
use super::{Finding, Findings, Grade, Known, ReadError, Report, strays};
use crate::audit::Checkpoint;
use crate::audit::copy::Piece;
use crate::audit::tree::{Tree, root_of};
use crate::store::TILE;
use crate::time::Timestamp;

/// Bundles that may be missing, and all that tells of them, before the search ends: those of four million entries. Whoever has the key can
/// sign any size, and looking for a file that is not there takes some ten microseconds.
pub(super) const MOST_BLANK: u64 = 1 << 14;

/// What is known on the way.
pub(super) struct Walk<'a> {
    source: &'a Source,
    known: &'a Known,
    newest: Checkpoint,
    tops: Tops<'a>,
    tree: Tree,
    report: Report,
    /// The size at which the root was the signed one last.
    good: u64,
    /// Whether the tree is of no use any more: an entry is not known, or a root was not the signed one.
    lost: bool,
    /// The checkpoint before.
    mark: Option<Mark>,
    /// The time of the entry before.
    last: Option<Timestamp>,
    /// The latest entry since the checkpoint before.
    latest: Option<(Timestamp, u64)>,
    ids: Filter,
    /// Identifiers that may stand twice.
    twice: HashMap<[u8; 16], Option<u64>>,
    unknown_kinds: u64,
    /// Bundles of which nothing is there.
    blank: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        source: &'a Source,
        known: &'a Known,
        newest: Mark,
        mut findings: Findings,
    ) -> Result<Self, ReadError> {
        let tops = Tops::read(source, &newest, &mut findings)?;
        let newest = newest.checkpoint;
        let ids = Filter::new(newest.size);
        let report = Report {
            newest: Some(newest.clone()),
            first: 0,
            checkpoints: 0,
            unchecked: 0,
            personal: 0,
            erased: 0,
            findings,
        };
        Ok(Self {
            source,
            known,
            newest,
            tops,
            tree: Tree::new(),
            report,
            good: 0,
            lost: false,
            mark: None,
            last: None,
            latest: None,
            ids,
            twice: HashMap::new(),
            unknown_kinds: 0,
            blank: 0,
        })
    }

    pub(super) fn run(mut self, mut marks: Marks<'_>) -> Result<Report, ReadError> {
        let size = self.newest.size;
        let (first, mut end) = (self.first()?, size.div_ceil(TILE));
        self.report.first = first * TILE;
        self.check_marks(&mut marks);
        for number in 0..first {
            let leaves = self.left_out(number)?;
            self.push(leaves, &[], &mut marks);
        }
        thread::scope(|scope| {
            for read in Readers::start(scope, self.source, first..end, (size, self.known.threads)) {
                let read = read?;
                let next = read.place.number + 1;
                self.bundle(read, &mut marks)?;
                if self.blank == MOST_BLANK && next < end {
                    end = next;
                    self.report.findings.push(Finding::Unsearched { from: end * TILE, to: size - 1 });
                    break;
                }
            }
            Ok(())
        })?;
        while let Some(mark) = marks.take() {
            self.unchecked(&mark);
        }
        self.report.findings.extend(marks.findings());
        self.find_twice(first..end)?;
        if self.unknown_kinds > 0 {
            self.report.findings.push(Finding::UnknownKinds(self.unknown_kinds));
        }
        // Whatever was found or not: what does not lead to the newest signed root is not as it was signed.
        if self.good != size && self.report.worst() != Some(Grade::Broken) {
            let place = "the newest checkpoint".to_owned();
            self.report.findings.push(Finding::Root { from: self.good, to: size.saturating_sub(1), place });
        }
        strays::look(self.source, size, &mut self.report.findings)?;
        Ok(self.report)
    }

    /// Where the copy begins: what is missing before was left out or pruned, and the tiles above tell of it. If all is missing, it is missing.
    fn first(&mut self) -> Result<u64, ReadError> {
        let (size, mut blank) = (self.newest.size, 0);
        for number in 0..size.div_ceil(TILE) {
            if self.source.has(place(Piece::Entries, number, size)) {
                return Ok(number);
            }
            blank += u64::from(matches!(self.tops.claim(number)?, Claim::None));
            if blank == MOST_BLANK {
                break;
            }
        }
        Ok(0)
    }

    /// A bundle that is not in the copy, known by its root. Should its tile be there, it is compared.
    fn left_out(&mut self, number: u64) -> Result<Leaves, ReadError> {
        let Claim::Root(root, _) = self.tops.claim(number)? else { return Ok(Leaves::Nothing) };
        let tile = place(Piece::Tile(0), number, self.newest.size);
        if self.source.hashes(tile)?.is_some_and(|hashes| root_of(&hashes) != root) {
            let file = place(Piece::Tile(1), number / TILE, self.newest.size);
            self.report.findings.push(Finding::Contradiction { file, at: number % TILE });
        }
        Ok(Leaves::Root(root))
    }

    fn bundle(&mut self, mut read: Read, marks: &mut Marks<'_>) -> Result<(), ReadError> {
        self.report.personal += read.personal;
        self.report.erased += read.erased;
        self.unknown_kinds += read.unknown_kinds;
        let (of_entries, of_files): (Vec<_>, Vec<_>) = std::mem::take(&mut read.findings)
            .into_iter()
            .partition(|finding| matches!(finding, Finding::Personal(_) | Finding::NoEvent { .. }));
        self.report.findings.extend(of_files);
        let claim = self.tops.claim(read.place.number)?;
        self.blank += u64::from(read.hashes.is_none() && read.tile.is_none() && matches!(claim, Claim::None));
        let mut leaves = judge(&mut read, &claim, &mut self.report.findings);
        if read.hashes.is_none() {
            // These entries go into the tree. What else is wrong with one that was not signed says nothing.
            self.report.findings.extend(of_entries);
            let end = self.tree.size() + TILE;
            if let Some(root) = read.root.filter(|_| marks.next_size().is_none_or(|size| size >= end)) {
                // No checkpoint ends within: their root is known already.
                leaves = Leaves::Root(root);
            }
        }
        self.push(leaves, &read.sights, marks);
        Ok(())
    }

    fn sight(&mut self, seq: u64, sight: Option<Sight>) {
        let Some(sight) = sight else {
            self.last = None;
            return;
        };
        if let Some(before) = self.last
            && before.since(sight.at) > self.known.tolerance
        {
            self.report.findings.push(Finding::ClockBack { seq, at: sight.at, by: before.since(sight.at) });
        }
        self.last = Some(sight.at);
        self.latest = self.latest.max(Some((sight.at, seq)));
        if self.ids.insert(&sight.id) && self.twice.len() < CANDIDATES {
            self.twice.insert(sight.id, None);
        }
    }

    fn push(&mut self, leaves: Leaves, sights: &[Option<Sight>], marks: &mut Marks<'_>) {
        let mut sights = sights.iter().copied();
        match leaves {
            Leaves::Known(hashes) => {
                for hash in hashes {
                    self.sight(self.tree.size(), sights.next().flatten());
                    self.tree.push(hash, |_| ());
                    if marks.next_size() == Some(self.tree.size()) {
                        self.check_marks(marks);
                    }
                }
            }
            Leaves::Root(root) => {
                let end = self.tree.size() + TILE;
                (self.tree.size()..).zip(sights.by_ref()).for_each(|(seq, sight)| self.sight(seq, sight));
                while marks.next_size().is_some_and(|size| size < end) {
                    let mark = marks.take();
                    mark.iter().for_each(|mark| self.unchecked(mark));
                }
                self.lost |= self.tree.push_tile(root, |_| ()).is_none();
                self.check_marks(marks);
            }
            Leaves::Nothing => self.lost = true,
        }
        (self.tree.size()..).zip(sights).for_each(|(seq, sight)| self.sight(seq, sight));
    }

    /// Compares the root with that of each checkpoint of this size.
    fn check_marks(&mut self, marks: &mut Marks<'_>) {
        while !self.lost && marks.next_size().is_some_and(|size| size <= self.tree.size()) {
            let Some(mark) = marks.take() else { return };
            self.report.findings.extend(marks.findings());
            self.check(mark);
        }
    }

    fn check(&mut self, mark: Mark) {
        let Checkpoint { size, root, signed_at, .. } = mark.checkpoint;
        let before = self.mark.as_ref().filter(|before| before.checkpoint.size == size);
        if let Some(before) = before.filter(|before| before.checkpoint.root != root) {
            let (one, other) = (before.place.clone(), mark.place);
            return self.report.findings.push(Finding::Fork { one, other, size });
        }
        if let (Some(signed), Some((at, seq))) = (signed_at, self.latest.take())
            && at.since(signed) > self.known.tolerance
        {
            let place = mark.place.clone();
            self.report.findings.push(Finding::ClockAhead { seq, at, by: at.since(signed), place });
        }
        if self.tree.root() == root {
            self.report.checkpoints += 1;
            self.good = size;
        } else if self.tops.lead_to_the_signed_root() {
            // The newest checkpoint is one of these entries; this one is signed as well.
            self.report.findings.push(Finding::Inconsistent { place: mark.place.clone(), size });
        } else {
            self.lost = true;
            let place = mark.place.clone();
            self.report.findings.push(Finding::Root { from: self.good, to: size.saturating_sub(1), place });
        }
        self.mark = Some(mark);
    }

    fn unchecked(&mut self, mark: &Mark) {
        self.report.unchecked += 1;
        // Of those after a finding nothing is said but their number.
        if !self.lost {
            let (place, size) = (mark.place.clone(), mark.checkpoint.size);
            self.report.findings.push(Finding::Unchecked { place, size });
        }
    }

    /// Looks exactly at the identifiers that may stand twice.
    fn find_twice(&mut self, numbers: std::ops::Range<u64>) -> Result<(), ReadError> {
        if self.twice.len() >= CANDIDATES {
            self.report.findings.push(Finding::IdsNotChecked);
        }
        if self.twice.is_empty() {
            return Ok(());
        }
        for number in numbers {
            let read = bundle::read(self.source, number, self.newest.size)?;
            for (seq, sight) in (number * TILE..).zip(read.sights) {
                let Some(slot) = sight.and_then(|sight| self.twice.get_mut(&sight.id)) else { continue };
                match slot {
                    Some(first) => {
                        let finding = Finding::Twice { first: *first, second: seq };
                        self.report.findings.push(finding);
                    }
                    None => *slot = Some(seq),
                }
            }
        }
        Ok(())
    }
}
