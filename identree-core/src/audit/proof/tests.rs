//! Proofs against the definition in RFC 6962, for any size.

use proptest::prelude::*;

use super::*;
use crate::audit::leaf_hash;
use crate::audit::tree::Tree;

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn half(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// MTH of RFC 6962 §2.1.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => LogHead::EMPTY.root,
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(half(leaves.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

/// PATH of RFC 6962 §2.1.1.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(half(leaves.len()));
    let (mut path, beside) =
        if m < left.len() { (naive_path(m, left), right) } else { (naive_path(m - left.len(), right), left) };
    path.push(mth(beside));
    path
}

/// SUBPROOF of RFC 6962 §2.1.2; `whole` says that the old tree is known to the verifier.
fn naive_proof(m: usize, leaves: &[Hash], whole: Option<()>) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole.is_some() { vec![] } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(half(leaves.len()));
    let (mut proof, beside) = if m <= left.len() {
        (naive_proof(m, left, whole), right)
    } else {
        (naive_proof(m - left.len(), right, None), left)
    };
    proof.push(mth(beside));
    proof
}

/// The tiles of a tree, the short ones of all levels too.
fn tiles(leaves: &[Hash]) -> BTreeMap<TilePlace, Vec<Hash>> {
    let (mut tree, mut tiles) = (Tree::new(), BTreeMap::new());
    for leaf in leaves {
        tree.push(*leaf, |tile| drop(tiles.insert((tile.level, tile.number), tile.hashes)));
    }
    tiles.extend(tree.short_tiles().map(|tile| ((tile.level, tile.number), tile.hashes)));
    let mut tiles: BTreeMap<_, Vec<Hash>> =
        tiles.into_iter().map(|(place, hashes)| (place, hashes.as_chunks().0.to_vec())).collect();
    let whole = leaves.len() - leaves.len() % 256;
    if whole < leaves.len() {
        tiles.insert((0, whole as u64 / 256), leaves[whole..].to_vec());
    }
    tiles
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_path_is_the_one_of_the_standard(n in 1_u64..1500, index in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let leaves = leaves(n);
        let index = index.index(size(n));
        let path = Path::inclusion(index as u64, n).unwrap().hashes(&tiles(&leaves)).unwrap();
        let root = mth(&leaves);
        prop_assert_eq!(&path, &naive_path(index, &leaves));
        prop_assert!(verify_inclusion(&leaves[index], index as u64, n, &path, &root));
        prop_assert!(!verify_inclusion(&leaves[index], index as u64 ^ 1, n, &path, &root) || n == 1);
        prop_assert_eq!(root_from(&Path::root(n).hashes(&tiles(&leaves)).unwrap()), root);
        if !path.is_empty() {
            let mut broken = path.clone();
            broken[flip.index(path.len())][flip.index(32)] ^= 1;
            prop_assert!(!verify_inclusion(&leaves[index], index as u64, n, &broken, &root));
            prop_assert!(!verify_inclusion(&leaves[index], index as u64, n, &path[1..], &root));
        }
        let mut longer = path.clone();
        longer.push(root);
        prop_assert!(!verify_inclusion(&leaves[index], index as u64, n, &longer, &root));
    }

    #[test]
    fn every_consistency_proof_is_the_one_of_the_standard(n in 1_u64..1500, old in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let leaves = leaves(n);
        let old = old.index(size(n)) + 1;
        let path = Path::consistency(old as u64, n).unwrap().hashes(&tiles(&leaves)).unwrap();
        let (before, root) = (mth(&leaves[..old]), mth(&leaves));
        prop_assert_eq!(&path, &naive_proof(old, &leaves, Some(())));
        let verify = |path: &[Hash]| verify_consistency((old as u64, &before), (n, &root), path);
        prop_assert!(verify(&path));
        if !path.is_empty() {
            let mut broken = path.clone();
            broken[flip.index(path.len())][flip.index(32)] ^= 1;
            prop_assert!(!verify(&broken));
            prop_assert!(!verify(&path[1..]));
            let mut other = before;
            other[flip.index(32)] ^= 1;
            prop_assert!(!verify_consistency((old as u64, &other), (n, &root), &path));
        }
        prop_assert!(!verify(&[path.as_slice(), &[root]].concat()));
    }
}

#[test]
fn proofs_lead_through_three_levels_of_tiles() {
    let leaves = leaves(66_000);
    let (tiles, root) = (tiles(&leaves), mth(&leaves));
    for index in [0, 255, 256, 65_535, 65_536, 65_999] {
        let path = Path::inclusion(index, 66_000).unwrap();
        assert!(path.tiles().len() <= 6, "{:?}", path.tiles());
        let path = path.hashes(&tiles).unwrap();
        assert!(verify_inclusion(&leaves[size(index)], index, 66_000, &path, &root), "{index}");
    }
    for old in [1, 255, 256, 65_536, 65_537, 65_999] {
        let path = Path::consistency(old, 66_000).unwrap().hashes(&tiles).unwrap();
        let before = mth(&leaves[..size(old)]);
        assert!(verify_consistency((old, &before), (66_000, &root), &path), "{old}");
    }
}

#[test]
fn what_cannot_be_proven_has_no_path() {
    assert_eq!(Path::inclusion(5, 5), None);
    assert_eq!(Path::consistency(6, 5), None);
    let empty = LogHead::EMPTY.root;
    assert_eq!(root_from(&Path::root(0).hashes(&BTreeMap::new()).unwrap()), empty);
    assert!(verify_consistency((0, &empty), (3, &[1; 32]), &[]));
    assert!(!verify_consistency((3, &[1; 32]), (0, &empty), &[]));
    assert!(!verify_consistency((3, &[1; 32]), (3, &[2; 32]), &[]));
    assert!(!verify_inclusion(&[1; 32], 0, 0, &[], &[1; 32]));
    assert!(!verify_inclusion(&[1; 32], u64::MAX, u64::MAX, &[], &[1; 32]));
    assert_eq!(Path::inclusion(u64::MAX - 1, u64::MAX).unwrap().0.len(), 63);
}

#[tokio::test]
async fn a_store_gives_the_hashes_and_an_older_tree_needs_less_than_it_has() {
    use crate::testkit::log::LogOf;
    let log = LogOf::events(700).await;
    let root = |size| {
        let (store, path) = (&log.store, Path::root(size));
        async move { root_from(&hashes(&**store, &path).await.unwrap().unwrap()) }
    };
    let (old, new) = (root(301).await, root(700).await);
    let path = hashes(&*log.store, &Path::consistency(301, 700).unwrap()).await.unwrap().unwrap();
    assert!(verify_consistency((301, &old), (700, &new), &path));
    assert_eq!(hashes(&*log.store, &Path::root(701)).await.unwrap(), None);
    let leaf = tile_hashes(&*log.store, (0, 1)).await.unwrap().unwrap()[3];
    let path = hashes(&*log.store, &Path::inclusion(259, 301).unwrap()).await.unwrap().unwrap();
    assert!(verify_inclusion(&leaf, 259, 301, &path, &old));
}
