//! Which of a bundle's entries is not the one that was signed.

use super::bundle::Read;
use super::{Finding, Findings};
use crate::audit::copy::{Piece, Place};
use crate::audit::tree::root_of;
use crate::store::{Hash, TILE};

/// What the tiles above a bundle, or the checkpoint over its end, say of it.
#[derive(Debug, Clone)]
pub(super) enum Claim {
    /// The root of the whole bundle, and whether it leads to the signed root.
    Root(Hash, Trust),
    /// The hashes of the last, short bundle: they lead to the signed root.
    Hashes(Vec<Hash>),
    /// Nothing.
    None,
}

/// Whether a claim leads to what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Signed,
    Unknown,
}

/// What goes into the tree for a bundle.
#[derive(Debug)]
pub(super) enum Leaves {
    Known(Vec<Hash>),
    Root(Hash),
    Nothing,
}

impl Claim {
    fn fits(&self, hashes: Option<&[Hash]>) -> bool {
        match (self, hashes) {
            (Self::Root(root, _), Some(hashes)) => hashes.len() as u64 == TILE && root_of(hashes) == *root,
            (Self::Hashes(signed), Some(hashes)) => signed == hashes,
            (Self::None, _) | (_, None) => false,
        }
    }

    const fn is_signed(&self) -> bool {
        matches!(self, Self::Root(_, Trust::Signed) | Self::Hashes(_))
    }
}

/// What has to be believed of a bundle, and what is wrong with it.
pub(super) fn judge(read: &mut Read, claim: &Claim, findings: &mut Findings) -> Leaves {
    let tile_place = Place { piece: Piece::Tile(0), ..read.place };
    let (hashes, tile) = (read.hashes.as_deref(), read.tile.as_deref());
    let entries_fit = match (claim, read.root) {
        (Claim::Root(root, _), found) => found == Some(*root),
        _ => claim.fits(hashes),
    };
    let differ = |one: &[Hash], other: &[Hash]| first_difference(one, other).map(|at| at as u64);
    if entries_fit {
        match (tile, hashes) {
            (None, _) => findings.push(Finding::missing(tile_place)),
            (Some(tile), Some(hashes)) => {
                if let Some(at) = differ(tile, hashes) {
                    findings.push(Finding::Tile { file: tile_place, at });
                }
            }
            (Some(_), None) => (),
        }
        return known(read.hashes.take());
    }
    let Some(hashes) = hashes else {
        findings.push(Finding::missing(read.place));
        return match (claim, read.tile.take()) {
            (Claim::Hashes(signed), _) => Leaves::Known(signed.clone()),
            (claim, Some(tile)) if claim.fits(Some(&tile)) => Leaves::Known(tile),
            (Claim::Root(root, _), _) => Leaves::Root(*root),
            (Claim::None, Some(tile)) if tile.len() == usize::from(read.place.width) => Leaves::Known(tile),
            (Claim::None, _) => Leaves::Nothing,
        };
    };
    if tile.is_none() {
        findings.push(Finding::missing(tile_place));
    }
    let (from, to) = (read.place.number * TILE, read.place.number * TILE + u64::from(read.place.width) - 1);
    match claim {
        Claim::Hashes(signed) => {
            findings.push_entry(entry(read, hashes, signed));
            Leaves::Known(signed.clone())
        }
        claim if claim.fits(tile) => {
            let signed = read.tile.clone().unwrap_or_default();
            findings.push_entry(entry(read, hashes, &signed));
            Leaves::Known(signed)
        }
        Claim::Root(root, _) if claim.is_signed() => {
            findings.push_entry(Finding::ChangedAmong { from, to, tile: tile_place });
            Leaves::Root(*root)
        }
        // Nobody knows which is right: the next checkpoint tells whether the entries are.
        claim => {
            if let Some(at) = tile.and_then(|tile| differ(tile, hashes)) {
                findings.push(Finding::Contradiction { file: tile_place, at });
            } else if matches!(claim, Claim::Root(..)) {
                let file = Place::whole(Piece::Tile(1), read.place.number / TILE);
                findings.push(Finding::Contradiction { file, at: read.place.number % TILE });
            }
            if hashes.len() == usize::from(read.place.width) {
                return known(read.hashes.take());
            }
            // Its tile may have been cut at the same place, and then contradicts nothing.
            findings.push(Finding::Count { file: read.place, found: hashes.len() as u64, wanted: read.place.width });
            Leaves::Nothing
        }
    }
}

fn known(hashes: Option<Vec<Hash>>) -> Leaves {
    hashes.map_or(Leaves::Nothing, Leaves::Known)
}

fn first_difference(one: &[Hash], other: &[Hash]) -> Option<usize> {
    let shorter = one.len().min(other.len());
    one.iter().zip(other).position(|(one, other)| one != other).or((one.len() != other.len()).then_some(shorter))
}

/// Names the entry: `found` are the hashes of the entries, `signed` those that were signed; they differ.
fn entry(read: &Read, found: &[Hash], signed: &[Hash]) -> Finding {
    let from = read.place.number * TILE;
    let at = first_difference(found, signed).unwrap_or(0);
    let (seq, rest, wanted) = (from + at as u64, &found[at..], &signed[at..]);
    // In a bundle that goes on, what was removed pulls the next one's first entry in, and what came pushes the last one out.
    let removed = !wanted.is_empty() && wanted.get(1..).is_some_and(|after| starts_alike(rest, after));
    let inserted = !rest.is_empty() && rest.get(1..).is_some_and(|after| starts_alike(wanted, after));
    let sorted = |hashes: &[Hash]| {
        let mut hashes = hashes.to_vec();
        hashes.sort_unstable();
        hashes
    };
    if rest.is_empty() && wanted.len() > 1 {
        Finding::Count { file: read.place, found: found.len() as u64, wanted: read.place.width }
    } else if found.len() == signed.len() && sorted(found) == sorted(signed) {
        let last = found.iter().zip(signed).rposition(|(one, other)| one != other).unwrap_or(at);
        Finding::Reordered { from: seq, to: from + last as u64 }
    } else if removed {
        Finding::Removed(seq)
    } else if inserted {
        Finding::Inserted(seq)
    } else {
        Finding::Changed(seq)
    }
}

/// Whether one begins with the other, which may end one earlier or later.
fn starts_alike(one: &[Hash], other: &[Hash]) -> bool {
    let shorter = one.len().min(other.len());
    one.len().abs_diff(other.len()) <= usize::from(shorter > 0) && one[..shorter] == other[..shorter]
}
