//! Proofs over the tree: that an entry is in it (RFC 6962 §2.1.1), and that a later tree only added to an earlier one (§2.1.2).
//!
//! A [`Path`] says which parts of the tree a proof consists of; their hashes come from tiles, wherever those are: a store, a folder,
//! a web server. Checking a proof needs nothing but the proof ([`verify_inclusion`], [`verify_consistency`]).

mod stored;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{node_hash, root_of};
use crate::store::{Hash, LogHead, TILE};

pub use self::stored::{hashes, tile_hashes};
pub use self::verify::{verify_consistency, verify_inclusion};

/// The place of a tile: its level and its number.
pub type TilePlace = (u8, u64);

/// Entries next to each other; the root over them is one hash of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u64,
    to: u64,
}

/// The root of a perfect subtree: `256^level × 2^within` entries.
#[derive(Debug, Clone, Copy)]
struct Node {
    tile: TilePlace,
    from: usize,
    count: usize,
}

/// Which parts of a tree a proof consists of, in the order in which they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Span>);

impl Path {
    /// That the entry `index` is in the tree of this size; `None` if it is not below the size.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut around, mut spans) = (Span { from: 0, to: size }, Vec::new());
        while around.to - around.from > 1 {
            let (left, right) = around.halves();
            let (inside, beside) = if index < left.to { (left, right) } else { (right, left) };
            spans.push(beside);
            around = inside;
        }
        spans.reverse();
        Some(Self(spans))
    }

    /// That the tree of the size `new` begins with the one of the size `old`; `None` if that is larger. Two of one size, and
    /// an empty one, need no hashes.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        if old > new {
            return None;
        }
        let (mut around, mut spans) = (Span { from: 0, to: new }, Vec::new());
        if old > 0 {
            while around.to > old {
                let (left, right) = around.halves();
                let (inside, beside) = if old <= left.to { (left, right) } else { (right, left) };
                spans.push(beside);
                around = inside;
            }
            // The old tree itself is what the verifier has; a part of it is not.
            spans.extend((around.from > 0).then_some(around));
        }
        spans.reverse();
        Some(Self(spans))
    }

    /// The root of the tree of this size: one hash, none if it is empty.
    pub fn root(size: u64) -> Self {
        Self(if size == 0 { Vec::new() } else { vec![Span { from: 0, to: size }] })
    }

    /// The tiles that have these hashes.
    pub fn tiles(&self) -> BTreeSet<TilePlace> {
        self.0.iter().flat_map(|span| span.nodes()).map(|node| node.tile).collect()
    }

    /// The hashes from tiles; `None` where one is missing, or shorter than needed.
    pub fn hashes(&self, tiles: &BTreeMap<TilePlace, Vec<Hash>>) -> Option<Vec<Hash>> {
        let of = |node: Node| {
            let hashes = tiles.get(&node.tile)?.get(node.from..node.from + node.count)?;
            Some(root_of(hashes))
        };
        let root = |span: &Span| {
            let parts = span.nodes().map(of).collect::<Option<Vec<_>>>()?;
            // What is smaller hangs right, below what is larger.
            parts.into_iter().rev().reduce(|right, left| node_hash(&left, &right))
        };
        self.0.iter().map(root).collect()
    }
}

/// The root that [`Path::root`] has led to.
pub fn root_from(hashes: &[Hash]) -> Hash {
    hashes.first().copied().unwrap_or(LogHead::EMPTY.root)
}

impl Span {
    /// At the greatest power of two below its length (RFC 6962 §2.1); for two entries and more.
    const fn halves(self) -> (Self, Self) {
        let left = 1 << (63 - (self.to - self.from - 1).leading_zeros());
        let middle = self.from + left;
        (Self { from: self.from, to: middle }, Self { from: middle, to: self.to })
    }

    /// The perfect subtrees it consists of, from the left.
    fn nodes(self) -> impl Iterator<Item = Node> {
        let mut from = self.from;
        std::iter::from_fn(move || {
            let left = self.to.checked_sub(from).filter(|left| *left > 0)?;
            // As large as fits into the span and begins at a multiple of itself.
            let height = from.trailing_zeros().min(63 - left.leading_zeros());
            let (level, within) = (height / 8, height % 8);
            let first = from >> (8 * level);
            from += 1 << height;
            let tile = (u8::try_from(level).unwrap_or(u8::MAX), first / TILE);
            Some(Node { tile, from: usize::try_from(first % TILE).unwrap_or(usize::MAX), count: 1 << within })
        })
    }
}

#[cfg(test)]
mod tests;
