//! What one bundle of a copy says by itself: hashes, times, identities, and whether its personal parts fit. Threads do this beside each other.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use serde::Deserialize;

use super::source::{Source, place};
use super::{Finding, ReadError};
use crate::audit::copy::{Piece, Place};
use crate::audit::entry::commitment;
use crate::audit::tree::root_of;
use crate::audit::{Entry, EventKind, leaf_hash};
use crate::id::EventId;
use crate::store::{Hash, TILE};
use crate::time::Timestamp;

/// Bundles that a thread may be ahead.
const AHEAD: usize = 4;

/// What is looked at in a leaf. The rest is only parsed. None of these texts has anything to escape, so that they stay where they are.
#[derive(Deserialize)]
struct Leaf<'a> {
    at: Timestamp,
    id: &'a str,
    kind: &'a str,
    #[serde(default)]
    personal: Option<&'a str>,
    v: u8,
}

/// When an entry says it was, and which event it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) at: Timestamp,
    pub(super) id: [u8; 16],
}

/// A bundle, read.
#[derive(Debug)]
pub(super) struct Read {
    /// Where it lies, as the size says.
    pub(super) place: Place,
    /// The hashes of its entries; none if the file is missing.
    pub(super) hashes: Option<Vec<Hash>>,
    /// The root over them, if there are 256.
    pub(super) root: Option<Hash>,
    /// The hashes of its tile of level 0; none if the file is missing.
    pub(super) tile: Option<Vec<Hash>>,
    /// By entry; where it is no event, nothing.
    pub(super) sights: Vec<Option<Sight>>,
    /// What is wrong whatever was signed.
    pub(super) findings: Vec<Finding>,
    pub(super) personal: u64,
    pub(super) erased: u64,
    pub(super) unknown_kinds: u64,
}

/// Reads the bundle of this number in a log of this size.
pub(super) fn read(source: &Source, number: u64, size: u64) -> Result<Read, ReadError> {
    let place = place(Piece::Entries, number, size);
    let tile = source.hashes(Place { piece: Piece::Tile(0), ..place })?;
    let mut read = Read {
        place,
        hashes: None,
        root: None,
        tile,
        sights: Vec::new(),
        findings: Vec::new(),
        personal: 0,
        erased: 0,
        unknown_kinds: 0,
    };
    let Some((found, bytes)) = source.best(place)? else { return Ok(read) };
    // What was cut is told by its hashes: those before the cut.
    let (mut leaves, cut) = Entry::split_leaves(number, &bytes);
    if let Some(error) = cut {
        read.findings.push(Finding::cut(found, &error));
    } else if leaves.len() > usize::from(found.width) {
        read.count(found, leaves.len());
    }
    leaves.truncate(usize::from(place.width));
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    read.root = (hashes.len() as u64 == TILE).then(|| root_of(&hashes));
    read.hashes = Some(hashes);
    let file = if source.with_personal { read.personal_file(source)? } else { None };
    let parts = match &file {
        Some((place, bytes)) => read.parts(*place, bytes),
        None => None,
    };
    for (within, leaf) in leaves.iter().enumerate() {
        read.leaf(number * TILE + within as u64, leaf, parts.as_ref().and_then(|parts| parts.get(within).copied()));
    }
    Ok(read)
}

impl Read {
    fn count(&mut self, file: Place, found: usize) {
        self.findings.push(Finding::Count { file, found: found as u64, wanted: file.width });
    }

    fn personal_file(&mut self, source: &Source) -> Result<Option<(Place, Vec<u8>)>, ReadError> {
        let place = Place { piece: Piece::Personal, ..self.place };
        let found = source.best(place)?;
        if found.is_none() {
            self.findings.push(Finding::missing(place));
        }
        Ok(found)
    }

    fn parts<'a>(&mut self, file: Place, bytes: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        match Entry::personal_parts(file.number, bytes) {
            Ok(parts) if parts.len() == usize::from(file.width) => Some(parts),
            Ok(parts) => {
                self.count(file, parts.len());
                None
            }
            Err(error) => {
                self.findings.push(Finding::cut(file, &error));
                None
            }
        }
    }

    fn leaf(&mut self, seq: u64, bytes: &[u8], part: Option<&[u8]>) {
        let leaf: Leaf<'_> = match serde_json::from_slice(bytes) {
            Ok(leaf) => leaf,
            Err(error) => return self.no_event(seq, error.to_string()),
        };
        if leaf.v != 1 {
            return self.no_event(seq, format!("its version is {}", leaf.v));
        }
        let id = match EventId::parse(leaf.id) {
            Ok(id) => id,
            Err(error) => return self.no_event(seq, error.to_string()),
        };
        self.unknown_kinds += u64::from(EventKind::named(leaf.kind).is_none());
        match (leaf.personal, part) {
            (Some(_), Some([])) => self.erased += 1,
            (Some(wanted), Some(part)) if wanted == commitment(part) => self.personal += 1,
            (_, None) | (None, Some([])) => (),
            _ => self.findings.push(Finding::Personal(seq)),
        }
        self.sights.push(Some(Sight { at: leaf.at, id: *id.as_bytes() }));
    }

    fn no_event(&mut self, seq: u64, error: String) {
        self.sights.push(None);
        self.findings.push(Finding::NoEvent { seq, error });
    }
}

/// Bundles in order, read by several threads.
pub(super) struct Readers {
    from: Vec<Receiver<Result<Read, ReadError>>>,
    next: usize,
}

impl Readers {
    /// Begins to read the bundles of these numbers.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        source: &'env Source,
        numbers: std::ops::Range<u64>,
        (size, threads): (u64, usize),
    ) -> Self {
        let threads = threads.max(1);
        let read_each = |which: usize, to: SyncSender<_>| {
            let mut mine = numbers.clone().skip(which).step_by(threads);
            // Nobody listens any more once the verifier has stopped.
            move || while mine.next().is_some_and(|number| to.send(read(source, number, size)).is_ok()) {}
        };
        let start = |which| {
            let (to, from) = sync_channel(AHEAD);
            scope.spawn(read_each(which, to));
            from
        };
        Self { from: (0..threads).map(start).collect(), next: 0 }
    }
}

impl Iterator for Readers {
    type Item = Result<Read, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.from.get(self.next)?.recv().ok();
        self.next = (self.next + 1) % self.from.len();
        read
    }
}
