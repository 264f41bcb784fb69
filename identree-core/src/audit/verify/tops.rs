//! The tiles above the entries: whether they lead to the signed root. Then each bundle can be judged by itself.

use super::judge::{Claim, Trust};
use super::marks::Mark;
use super::source::{Source, place};
use super::{Finding, Findings, ReadError, bundle};
use crate::audit::copy::{Piece, Place};
use crate::audit::tree::Tree;
use crate::store::{Hash, TILE, Tile};

/// What the tiles of level 1 claim of whole bundles, and what is known of the last, short one.
#[derive(Debug)]
pub(super) struct Tops<'a> {
    source: &'a Source,
    size: u64,
    trust: Trust,
    partial: Option<Vec<Hash>>,
    /// The tile of level 1 that was read last.
    read: Option<(Place, Vec<Hash>)>,
}

impl<'a> Tops<'a> {
    /// Reads them all, and compares what they lead to with what was signed.
    pub(super) fn read(source: &'a Source, newest: &Mark, findings: &mut Findings) -> Result<Self, ReadError> {
        let size = newest.checkpoint.size;
        let mut tops = Self { source, size, trust: Trust::Unknown, partial: None, read: None };
        let mut tree = Tree::new();
        for number in 0..size / TILE {
            let Some(hash) = tops.hash(number)? else {
                tops.report_missing(number, findings);
                return Ok(tops);
            };
            let mut whole = Vec::new();
            let _ = tree.push_tile(hash, |tile| whole.push(tile)); // only whole bundles so far
            for tile in whole.into_iter().filter(|tile| tile.level > 1) {
                tops.compare(&tile, findings)?;
            }
        }
        for tile in tree.short_tiles().filter(|tile| tile.level > 1).collect::<Vec<_>>() {
            tops.compare(&tile, findings)?;
        }
        let leads = |partial: &[Hash]| {
            let mut tree = tree.clone();
            partial.iter().for_each(|hash| tree.push(*hash, |_| ()));
            tree.size() == size && tree.root() == newest.checkpoint.root
        };
        let Some(partial) = Place::partial(Piece::Tile(0), size) else {
            tops.trust = if leads(&[]) { Trust::Signed } else { Trust::Unknown };
            return Ok(tops);
        };
        let tile = source.hashes(partial)?.filter(|tile| leads(tile));
        let entries = || Ok(bundle::read(source, partial.number, size)?.hashes.filter(|hashes| leads(hashes)));
        tops.partial = tile.map_or_else(entries, |tile| Ok(Some(tile)))?;
        tops.trust = if tops.partial.is_some() { Trust::Signed } else { Trust::Unknown };
        Ok(tops)
    }

    /// Whether what they claim leads to the root of the newest checkpoint.
    pub(super) fn lead_to_the_signed_root(&self) -> bool {
        self.trust == Trust::Signed
    }

    /// What is claimed of the bundle of this number.
    pub(super) fn claim(&mut self, number: u64) -> Result<Claim, ReadError> {
        if number == self.size / TILE {
            return Ok(self.partial.clone().map_or(Claim::None, Claim::Hashes));
        }
        Ok(self.hash(number)?.map_or(Claim::None, |hash| Claim::Root(hash, self.trust)))
    }

    /// The root of the bundle of this number, as the tiles of level 1 have it.
    fn hash(&mut self, number: u64) -> Result<Option<Hash>, ReadError> {
        let wanted = place(Piece::Tile(1), number / TILE, self.size);
        if self.read.as_ref().is_none_or(|(read, _)| *read != wanted) {
            self.read = Some((wanted, self.source.hashes(wanted)?.unwrap_or_default()));
        }
        let within = usize::try_from(number % TILE).unwrap_or(usize::MAX);
        Ok(self.read.as_ref().and_then(|(_, hashes)| hashes.get(within).copied()))
    }

    fn report_missing(&self, number: u64, findings: &mut Findings) {
        let file = place(Piece::Tile(1), number / TILE, self.size);
        if self.source.has(file) {
            findings.push(Finding::Contradiction { file, at: number % TILE });
        } else {
            let from = file.number * TILE * TILE;
            findings.push(Finding::Missing { file, from, to: from + u64::from(file.width) * TILE - 1 });
        }
    }

    /// Compares a tile of level 2 and above with what those below it give.
    fn compare(&self, computed: &Tile, findings: &mut Findings) -> Result<(), ReadError> {
        let file = place(Piece::Tile(computed.level), computed.number, self.size);
        let Some(found) = self.source.hashes(file)? else {
            let leaves = TILE.saturating_pow(u32::from(computed.level));
            let from = file.number.saturating_mul(leaves).saturating_mul(TILE);
            findings.push(Finding::Missing { file, from, to: from + u64::from(file.width) * leaves - 1 });
            return Ok(());
        };
        let computed = computed.hashes.as_chunks::<32>().0;
        if found != computed {
            let at = found.iter().zip(computed).position(|(one, other)| one != other);
            let at = at.unwrap_or(found.len().min(computed.len())) as u64;
            findings.push(Finding::Contradiction { file, at });
        }
        Ok(())
    }
}
