//! The sealed log: what is kept of it and how it reads back, erased, pruned, and how far its readers are.

use super::leases::held;
use super::log::{
    bundle, bundles, checkpoint, checkpoints, cursor, head, refused, seal, stands_at, step, tile, tile_at,
};
use super::*;
use crate::audit::Entry;
use crate::audit::proof::{self, Path};
use crate::audit::tree::Tree;
use crate::store::{ALL_CHECKPOINTS, Bundle, LeaseName, LogHead, ReaderName, Sealing, StoredCheckpoint, TILE};

/// Bundles and tiles replace those of their place; bundles are listed in order without gaps, as many as asked for.
pub async fn bundles_and_tiles_are_replaced_as_they_grow(store: AnyStore) {
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let first =
        Sealing { bundles: vec![bundle(0, "short")], tiles: vec![tile(1, 0, 1)], ..step(LogHead::EMPTY, head(9)) };
    seal(&store, &fence, first).await;
    let all: Vec<_> = (0..12).map(|n| bundle(n, "whole")).collect();
    let tiles = (0..12).map(|n| tile(0, n, 200)).chain([tile(1, 0, 2), tile(2, 0, 7)]).collect();
    seal(&store, &fence, Sealing { bundles: all.clone(), tiles, ..step(head(9), head(12 * TILE)) }).await;
    assert_eq!(bundles(&store, 0, 1000).await, all);
    assert_eq!(bundles(&store, 0, 5).await, all[..5]);
    assert_eq!(bundles(&store, 5, 5).await, all[5..10]);
    assert_eq!(bundles(&store, 10, 5).await, all[10..]);
    assert!(bundles(&store, 12, 5).await.is_empty());
    assert_eq!(tile_at(&store, 0, 11).await, Some(tile(0, 11, 200)));
    assert_eq!(tile_at(&store, 1, 0).await, Some(tile(1, 0, 2)));
    assert_eq!(tile_at(&store, 2, 0).await, Some(tile(2, 0, 7)));
    assert_eq!(tile_at(&store, 1, 11).await, None);
}

/// Checkpoints are listed by size, from any size on; a seal may bring nothing but one; one of the same size is replaced.
pub async fn checkpoints_are_listed_by_size(store: AnyStore) {
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let mut at = LogHead::EMPTY;
    for size in [0, 3, 5, 300] {
        seal(&store, &fence, Sealing { checkpoint: Some(checkpoint(size)), ..step(at, head(size)) }).await;
        at = head(size);
    }
    let early = StoredCheckpoint { note: "early".to_owned(), ..checkpoint(300) };
    seal(&store, &fence, Sealing { checkpoint: Some(early.clone()), ..step(at, at) }).await;
    assert_eq!(store.last_checkpoint().await.expect("checkpoints can be read"), Some(early));
    seal(&store, &fence, Sealing { checkpoint: Some(checkpoint(300)), ..step(at, at) }).await;
    assert_eq!(store.last_checkpoint().await.expect("checkpoints can be read"), Some(checkpoint(300)));
    assert_eq!(checkpoints(&store, 0, 1000).await, [0, 3, 5, 300]);
    assert_eq!(checkpoints(&store, 1, 2).await, [3, 5]);
    assert_eq!(checkpoints(&store, 5, 2).await, [5, 300]);
    assert!(checkpoints(&store, 301, 2).await.is_empty());
}

/// Far enough back only the last checkpoint of each bundle is kept, however a seal gets there; nearer all of them are.
pub async fn far_back_one_checkpoint_a_bundle_is_kept(store: AnyStore) {
    const FAR: u64 = ALL_CHECKPOINTS;
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let mut at = LogHead::EMPTY;
    let mut to = async |size| {
        seal(&store, &fence, Sealing { checkpoint: Some(checkpoint(size)), ..step(at, head(size)) }).await;
        at = head(size);
        checkpoints(&store, 0, 1000).await
    };
    for size in [0, 1, 2, TILE, TILE + 1, TILE + 7, 2 * TILE, 2 * TILE + 1, 2 * TILE + 2, 3 * TILE + 9] {
        to(size).await;
    }
    let near = [2 * TILE + 1, 2 * TILE + 2, 3 * TILE + 9];
    let all = [0, 1, 2, TILE, TILE + 1, TILE + 7, 2 * TILE];
    let last = FAR + TILE - 1;
    assert_eq!(to(last).await, [&all[..], &near, &[last]].concat(), "no bundle lies far enough back");
    let last = [last, FAR + TILE];
    assert_eq!(to(last[1]).await, [&[0, TILE, TILE + 1, TILE + 7, 2 * TILE][..], &near, &last].concat());
    // Several bundles at once.
    let far = FAR + 3 * TILE + 1;
    assert_eq!(to(far).await, [&[0, TILE, 2 * TILE][..], &near[1..], &last, &[far]].concat());
}

/// Erasing replaces the personal data that is there and no other, is counted, and whoever seals from before it is refused.
pub async fn erasing_is_guarded_and_counted(store: AnyStore) {
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let written = Sealing { bundles: vec![bundle(0, "a"), bundle(1, "b")], ..step(LogHead::EMPTY, head(300)) };
    seal(&store, &fence, written).await;
    refused(store.erase(0, b"something else", vec![])).await;
    refused(store.erase(2, b"", vec![])).await;
    assert_eq!(stands_at(&store).await, head(300));
    store.erase(0, b"who: a", b"who: -".to_vec()).await.expect("erasing works");
    refused(store.erase(0, b"who: a", vec![])).await;
    let erased = LogHead { erasures: 1, ..head(300) };
    assert_eq!(stands_at(&store).await, erased);
    assert_eq!(
        bundles(&store, 0, 10).await,
        [Bundle { personal: b"who: -".to_vec(), ..bundle(0, "a") }, bundle(1, "b")]
    );
    refused(store.seal(&fence, step(head(300), head(301)))).await;
    seal(&store, &fence, step(erased, LogHead { erasures: 1, ..head(301) })).await;
    store.erase(0, b"who: -", vec![]).await.expect("erasing works");
    assert_eq!(stands_at(&store).await, LogHead { erasures: 2, ..head(301) });
}

/// Pruned are whole bundles below a number, their hashes and their checkpoints, never what the log grows from; it goes on.
pub async fn pruning_takes_whole_bundles_and_the_log_goes_on(store: AnyStore) {
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let mut at = LogHead::EMPTY;
    for n in 0..4 {
        let size = n * TILE + 10;
        let tiles = vec![tile(0, n, 9), tile(1, 0, u8::try_from(n).unwrap_or(9) + 1)];
        let sealing = Sealing { bundles: vec![bundle(n, "x")], tiles, ..step(at, head(size)) };
        seal(&store, &fence, Sealing { checkpoint: Some(checkpoint(size)), ..sealing }).await;
        at = head(size);
    }
    assert_eq!(store.prune(&fence, 0).await.expect("pruning works"), 0);
    assert_eq!(store.prune(&fence, 2).await.expect("pruning works"), 2);
    assert_eq!(bundles(&store, 0, 10).await, [bundle(2, "x"), bundle(3, "x")]);
    assert_eq!((tile_at(&store, 0, 1).await, tile_at(&store, 0, 2).await), (None, Some(tile(0, 2, 9))));
    assert_eq!(tile_at(&store, 1, 0).await, Some(tile(1, 0, 4)), "the levels above stay");
    assert_eq!(checkpoints(&store, 0, 10).await, [2 * TILE + 10, 3 * TILE + 10]);
    assert_eq!(stands_at(&store).await, at);
    assert_eq!(store.prune(&fence, 99).await.expect("pruning works"), 1);
    assert_eq!(bundles(&store, 0, 10).await, [bundle(3, "x")], "the last, short one stays");
    assert_eq!(checkpoints(&store, 0, 10).await, [3 * TILE + 10]);
    seal(&store, &fence, step(at, head(4 * TILE))).await;
    assert_eq!(store.prune(&fence, 99).await.expect("pruning works"), 1);
    assert_eq!(checkpoints(&store, 0, 10).await, [3 * TILE + 10], "and so does the last checkpoint");
    assert_eq!(stands_at(&store).await, head(4 * TILE));
}

/// A log that goes step by step proves itself after each one, whoever is cut off between two: the next holder of the lease goes on.
pub async fn a_log_that_goes_step_by_step_proves_itself_after_each(store: AnyStore) {
    const SIZE: u64 = 4 * TILE + 9;
    let (mut tree, mut tiles, mut whole) = (Tree::new(), Vec::new(), Vec::new());
    for n in 0..SIZE {
        if n % TILE == 0 {
            whole.push(Bundle { number: n / TILE, entries: Vec::new(), personal: Vec::new() });
        }
        let entry = Entry::of(&fakes::event(n, EventKind::SignedIn), [7; _]).expect("an event is an entry");
        entry.push(whole.last_mut().expect("one was begun"));
        tree.push(entry.leaf_hash(), |tile| tiles.push(tile));
    }
    tiles.extend(tree.short_tiles());
    let to = LogHead { size: SIZE, root: tree.root(), ..LogHead::EMPTY };
    let first = held(&store, &LeaseName::SWEEP, 1).await;
    seal(&store, &first, Sealing { bundles: whole.clone(), tiles, ..step(LogHead::EMPTY, to) }).await;
    proves_itself(&store, &whole).await;

    assert_eq!(store.prune(&first, 1).await.expect("pruning works"), 1);
    proves_itself(&store, &whole[1..]).await;
    // It stood still for too long, and another has gone on.
    store.release(&first).await.expect("it can be given back");
    let next = held(&store, &LeaseName::SWEEP, 2).await;
    assert_eq!(store.prune(&next, 2).await.expect("pruning works"), 1);
    refused(store.prune(&first, 3)).await;
    proves_itself(&store, &whole[2..]).await;
    assert_eq!(store.prune(&next, 2).await.expect("pruning works"), 0, "once more is nothing");
    for below in [3, 4] {
        assert_eq!(store.prune(&next, below).await.expect("pruning works"), 1);
        proves_itself(&store, &whole[usize::try_from(below).expect("few")..]).await;
    }
}

/// These bundles are there and no others, and each of their ends is in the tree that the head speaks of.
async fn proves_itself(store: &AnyStore, left: &[Bundle]) {
    let head = stands_at(store).await;
    assert_eq!(bundles(store, 0, 10).await, left);
    for bundle in left {
        let entries = Entry::split(bundle).expect("a bundle is whole");
        for at in [0, entries.len() - 1] {
            let index = bundle.number * TILE + at as u64;
            let path = Path::inclusion(index, head.size).expect("it is in the log");
            let hashes = proof::hashes(store, &path).await.expect("the log can be read").expect("all tiles are there");
            assert!(proof::verify_inclusion(&entries[at].leaf_hash(), index, head.size, &hashes, &head.root));
        }
    }
    let gone = left[0].number * TILE;
    let path = Path::consistency(gone.max(1), head.size).expect("it was shorter");
    assert!(
        gone == 0 || proof::hashes(store, &path).await.expect("the log can be read").is_some(),
        "what is left grew from it"
    );
}

/// Pruning forgets the places of readers that are not as far as it goes, and of no others.
pub async fn pruning_forgets_readers_that_are_gone(store: AnyStore) {
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let written = (0..4).map(|n| bundle(n, "x")).collect();
    seal(&store, &fence, Sealing { bundles: written, ..step(LogHead::EMPTY, head(4 * TILE)) }).await;
    let readers = ["gone", "there", "ahead"].map(|name| ReaderName(name.into()));
    for (reader, entries) in readers.iter().zip([2 * TILE - 1, 2 * TILE, 4 * TILE]) {
        store.advance(&fence, reader, entries).await.expect("the reader moves");
    }
    store.prune(&fence, 2).await.expect("pruning works");
    let mut left = Vec::new();
    for reader in &readers {
        left.push(cursor(&store, reader).await);
    }
    assert_eq!(left, [0, 2 * TILE, 4 * TILE]);
}

/// Each reader has its own place, and it stays when the lease changes hands.
pub async fn readers_keep_their_own_place(store: AnyStore) {
    let (splunk, loki) = (ReaderName("splunk".into()), ReaderName("loki".into()));
    let (one, two) = (LeaseName::sink("splunk"), LeaseName::sink("loki"));
    let (first, other) = (held(&store, &one, 1).await, held(&store, &two, 1).await);
    store.advance(&first, &splunk, 7).await.expect("the reader moves");
    store.advance(&other, &loki, 3).await.expect("the reader moves");
    store.advance(&first, &splunk, 9).await.expect("the reader moves");
    assert_eq!((cursor(&store, &splunk).await, cursor(&store, &loki).await), (9, 3));
    store.release(&first).await.expect("it can be given back");
    let second = held(&store, &one, 2).await;
    assert_eq!(cursor(&store, &splunk).await, 9);
    store.advance(&second, &splunk, 10).await.expect("the reader moves");
    assert_eq!((cursor(&store, &splunk).await, cursor(&store, &loki).await), (10, 3));
}
