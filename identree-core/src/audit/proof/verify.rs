//! Checking proofs, with nothing but the proof (RFC 9162 §2.1.3.2, §2.1.4.2).

use crate::audit::tree::node_hash;
use crate::store::Hash;

/// Whether this path proves that the entry with this hash is the one at `index` of the tree with this root and size.
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for beside in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(beside, &hash);
            climb(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether this path proves that the tree `new` (size and root) begins with the tree `old`.
#[must_use]
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size == new_size {
        let same = old_size == 0 || old_root == new_root;
        return path.is_empty() && same;
    }
    if old_size > new_size {
        return false;
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    // A perfect old tree is itself the first hash, which the verifier has.
    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, path)
    } else {
        let Some((first, rest)) = path.split_first() else { return false };
        (*first, rest)
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            (old_hash, new_hash) = (node_hash(beside, &old_hash), node_hash(beside, &new_hash));
            climb(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// Up the levels on which the node at the right edge has no neighbour.
const fn climb(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        (*node, *last) = (*node >> 1, *last >> 1);
    }
}
