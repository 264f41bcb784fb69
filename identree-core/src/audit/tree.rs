//! The tree over the leaves (RFC 6962 §2.1), as it grows: whole tiles leave it, the right edge stays.

use sha2::{Digest as _, Sha256};

use crate::store::{Hash, LogHead, TILE, Tile};

/// The hash of two subtrees (RFC 6962 §2.1): SHA-256 of a one byte, the left and the right.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of these hashes, each the root of a perfect subtree of one size or a leaf: none give the SHA-256 of nothing.
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => LogHead::EMPTY.root,
        [one] => *one,
        several => {
            // The greatest power of two below their number (RFC 6962 §2.1).
            let left = several.len().next_power_of_two() / 2;
            let (left, right) = several.split_at(left);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// A growing tree: of each level of tiles the last, short one. That is all that appending needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// By level: the hashes of the last tile, fewer than 256.
    edge: Vec<Vec<Hash>>,
}

impl Tree {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, edge: Vec::new() }
    }

    /// A tree of this size from its last tiles, by level from 0; `None` if they do not fit the size.
    pub fn restore(size: u64, edge: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = |(level, hashes): (usize, &Vec<Hash>)| {
            let level = u32::try_from(level).ok()?;
            let whole = TILE.checked_pow(level).map_or(0, |leaves| size / leaves);
            (hashes.len() as u64 == whole % TILE).then_some(())
        };
        edge.iter().enumerate().all(|level| fits(level).is_some()).then_some(())?;
        let levels = u32::try_from(edge.len()).ok()?;
        let above = TILE.checked_pow(levels).map_or(0, |leaves| size / leaves);
        (above == 0).then_some(Self { size, edge })
    }

    /// How many levels of tiles a tree of this size has.
    pub const fn levels(size: u64) -> u8 {
        let (mut levels, mut whole) = (0, size);
        while whole > 0 {
            whole /= TILE;
            levels += 1;
        }
        levels
    }

    /// Its leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; whole tiles that this makes are given to `tile`.
    pub fn push(&mut self, leaf: Hash, tile: impl FnMut(Tile)) {
        self.size += 1;
        self.append(leaf, 0, tile);
    }

    /// Appends 256 leaves of which only the root of their tile is known. `None`, and nothing happens, unless the tree ends with a whole tile.
    pub fn push_tile(&mut self, root: Hash, tile: impl FnMut(Tile)) -> Option<()> {
        self.size.is_multiple_of(TILE).then_some(())?;
        if self.edge.is_empty() {
            self.edge.push(Vec::new());
        }
        self.size += TILE;
        self.append(root, 1, tile);
        Some(())
    }

    fn append(&mut self, hash: Hash, level: usize, mut tile: impl FnMut(Tile)) {
        let (mut hash, mut level) = (hash, level);
        let mut number = (self.size - 1) / TILE / TILE.saturating_pow(u32::try_from(level).unwrap_or(u32::MAX));
        loop {
            if self.edge.len() == level {
                self.edge.push(Vec::with_capacity(8));
            }
            let edge = &mut self.edge[level];
            edge.push(hash);
            if (edge.len() as u64) < TILE {
                return;
            }
            let whole = std::mem::take(edge);
            hash = root_of(&whole);
            tile(Tile { level: u8::try_from(level).unwrap_or(u8::MAX), number, hashes: whole.concat() });
            number /= TILE;
            level += 1;
        }
    }

    /// The last, short tiles of level 1 and above.
    pub fn short_tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        self.edge.iter().enumerate().skip(1).filter(|(_, edge)| !edge.is_empty()).map(|(level, edge)| {
            let leaves = TILE.saturating_pow(u32::try_from(level).unwrap_or(u32::MAX));
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            Tile { level, number: self.size / leaves / TILE, hashes: edge.concat() }
        })
    }

    /// The root.
    pub fn root(&self) -> Hash {
        // From the right: what is short hangs below what is whole.
        let mut root: Option<Hash> = None;
        for edge in &self.edge {
            let mut whole = edge.len();
            while whole > 0 {
                // The lowest perfect subtree first.
                let take = 1 << whole.trailing_zeros();
                let subtree = root_of(&edge[whole - take..whole]);
                root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
                whole -= take;
            }
        }
        root.unwrap_or(LogHead::EMPTY.root)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::leaf_hash;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// RFC 6962's own words, for any number of leaves.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => Sha256::digest([]).into(),
            1 => leaves[0],
            n => {
                let mut k = 1;
                while k * 2 < n {
                    k *= 2;
                }
                node_hash(&naive(&leaves[..k]), &naive(&leaves[k..]))
            }
        }
    }

    #[test]
    fn roots_are_those_of_the_standard_through_several_levels() {
        let leaves = leaves(70_000);
        let (mut tree, mut tiles) = (Tree::new(), Vec::new());
        assert_eq!(tree.root(), naive(&[]));
        for (at, leaf) in leaves.iter().enumerate() {
            tree.push(*leaf, |tile| tiles.push(tile));
            let size = at + 1;
            if size < 600 || size % 4099 == 0 || size % 65536 < 3 {
                assert_eq!(tree.root(), naive(&leaves[..size]), "{size}");
            }
        }
        assert_eq!(tiles.iter().filter(|tile| tile.level == 0).count(), 273);
        let upper: Vec<_> = tiles.iter().filter(|tile| tile.level == 1).collect();
        assert_eq!((upper.len(), upper[0].hashes.len()), (1, 8192));
        let short: Vec<_> = tree.short_tiles().map(|tile| (tile.level, tile.number, tile.hashes.len() / 32)).collect();
        assert_eq!(short, [(1, 1, 17), (2, 0, 1)]);
    }

    #[test]
    fn whole_tiles_can_be_appended_by_their_roots() {
        let leaves = leaves(66_000);
        let (mut by_leaf, mut by_tile) = (Tree::new(), Tree::new());
        let (mut tiles, mut same) = (Vec::new(), Vec::new());
        for tile in leaves.chunks(256) {
            tile.iter().for_each(|leaf| by_leaf.push(*leaf, |tile| tiles.push(tile)));
            if tile.len() == 256 {
                by_tile.push_tile(root_of(tile), |tile| same.push(tile)).unwrap();
            } else {
                tile.iter().for_each(|leaf| by_tile.push(*leaf, |_| ()));
            }
            assert_eq!(by_tile.root(), by_leaf.root());
        }
        tiles.retain(|tile| tile.level > 0);
        assert_eq!(same, tiles);
        assert_eq!(by_leaf.push_tile([0; 32], |_| ()), None);
    }

    proptest! {
        #[test]
        fn a_restored_tree_goes_on_as_if_it_had_never_stopped(stop in 0_u64..1500, more in 0_u64..700) {
            let leaves = leaves(stop + more);
            let mut tree = Tree::new();
            leaves[..usize::try_from(stop).unwrap()].iter().for_each(|leaf| tree.push(*leaf, |_| ()));
            let mut edge = tree.edge.clone();
            let mut again = Tree::restore(stop, edge.clone()).unwrap();
            prop_assert_eq!(&again, &tree);
            for leaf in &leaves[usize::try_from(stop).unwrap()..] {
                again.push(*leaf, |_| ());
            }
            prop_assert_eq!(again.root(), naive(&leaves));
            if let Some(level) = edge.first_mut() {
                level.push([0; 32]);
                prop_assert_eq!(Tree::restore(stop, edge), None);
            }
        }
    }
}
