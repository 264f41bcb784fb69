//! The sealed log: what one seal does, and whose writes are refused.

use super::leases::{held, replica};
use super::*;
use crate::store::{Bundle, Fence, LeaseName, LogHead, ReaderName, Sealing, StoredCheckpoint, Tile};
use crate::testkit::journal::recorded;
use crate::testkit::sealing::PlainSealer;

/// A head of this size, with a root of its own.
pub(super) fn head(size: u64) -> LogHead {
    LogHead { size, root: [u8::try_from(size % 251).unwrap_or(0); 32], erasures: 0 }
}

pub(super) fn bundle(number: u64, text: &str) -> Bundle {
    Bundle { number, entries: text.as_bytes().to_vec(), personal: format!("who: {text}").into_bytes() }
}

pub(super) fn tile(level: u8, number: u64, hashes: u8) -> Tile {
    Tile { level, number, hashes: vec![hashes; 32 * usize::from(hashes)] }
}

pub(super) fn checkpoint(size: u64) -> StoredCheckpoint {
    StoredCheckpoint { size, at: AT + Duration::from_millis(size), note: format!("log\n{size}\nü\n\n— sig\n") }
}

/// Moves the head and writes nothing else.
pub(super) fn step(from: LogHead, to: LogHead) -> Sealing {
    Sealing { from, to, places: vec![], bundles: vec![], tiles: vec![], checkpoint: None }
}

pub(super) async fn seal(store: &AnyStore, fence: &Fence, sealing: Sealing) {
    store.seal(fence, sealing).await.expect("the seal succeeds");
}

pub(super) async fn refused<T: std::fmt::Debug>(answer: impl Future<Output = Result<T, StoreError>>) {
    let answer = answer.await;
    assert!(matches!(answer, Err(StoreError::Conflict)), "a conflict was due, not {answer:?}");
}

pub(super) async fn stands_at(store: &AnyStore) -> LogHead {
    store.head().await.expect("the head can be read")
}

pub(super) async fn bundles(store: &AnyStore, from: u64, limit: u32) -> Vec<Bundle> {
    store.bundles(from, limit).await.expect("bundles can be read")
}

pub(super) async fn tile_at(store: &AnyStore, level: u8, number: u64) -> Option<Tile> {
    store.tile(level, number).await.expect("tiles can be read")
}

pub(super) async fn checkpoints(store: &AnyStore, from: u64, limit: u32) -> Vec<u64> {
    let found = store.checkpoints(from, limit).await.expect("checkpoints can be read");
    assert!(found.iter().all(|one| *one == checkpoint(one.size)), "each reads back as written");
    found.iter().map(|one| one.size).collect()
}

pub(super) async fn cursor(store: &AnyStore, reader: &ReaderName) -> u64 {
    store.cursor(reader).await.expect("cursors can be read")
}

async fn places(store: &AnyStore) -> Vec<u64> {
    let waiting = store.unsealed(Page::first(1000)).await.expect("the journal can be read");
    waiting.items.into_iter().map(|unsealed| unsealed.place).collect()
}

async fn record(store: &AnyStore, numbers: std::ops::Range<u64>) {
    for n in numbers {
        commit(store, Batch::event(fakes::event(n, EventKind::SignedIn))).await;
    }
}

/// Before its first entry a log stands at its beginning and holds nothing.
pub async fn an_empty_log_stands_at_its_beginning(store: AnyStore) {
    assert_eq!(stands_at(&store).await, LogHead::EMPTY);
    assert!(bundles(&store, 0, 1000).await.is_empty());
    assert_eq!(tile_at(&store, 0, 0).await, None);
    assert!(checkpoints(&store, 0, 1000).await.is_empty());
    assert_eq!(store.last_checkpoint().await.expect("checkpoints can be read"), None);
    assert_eq!(cursor(&store, &ReaderName("none".into())).await, 0);
}

/// A seal takes its events out of the journal, leaves the others in their order, and what it writes reads back byte for byte.
pub async fn sealing_moves_events_out_of_the_journal(store: AnyStore) {
    record(&store, 0..5).await;
    let before = places(&store).await;
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let written = Bundle { number: 0, entries: every_byte.clone(), personal: vec![] };
    let sealing = Sealing {
        // Not one after the other: which of them is the sealer's business.
        places: vec![before[0], before[1], before[3]],
        bundles: vec![written.clone()],
        tiles: vec![tile(1, 0, 3)],
        checkpoint: Some(checkpoint(3)),
        ..step(LogHead::EMPTY, head(3))
    };
    seal(&store, &fence, sealing).await;
    assert_eq!(stands_at(&store).await, head(3));
    assert_eq!(places(&store).await, [before[2], before[4]]);
    let numbers: Vec<_> = journal(&store).await.iter().map(|event| event.details["n"].clone()).collect();
    assert_eq!(numbers, ["2", "4"]);
    assert_eq!(bundles(&store, 0, 10).await, [written]);
    assert_eq!(tile_at(&store, 1, 0).await, Some(tile(1, 0, 3)));
    assert_eq!(checkpoints(&store, 0, 10).await, [3]);
}

/// A place of the journal means one event for ever: a journal that was emptied does not begin anew.
pub async fn places_of_the_journal_are_not_used_again(store: AnyStore) {
    record(&store, 0..3).await;
    let sealed = places(&store).await;
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    seal(&store, &fence, Sealing { places: sealed.clone(), ..step(LogHead::EMPTY, head(3)) }).await;
    assert!(places(&store).await.is_empty());
    record(&store, 3..5).await;
    let later = places(&store).await;
    assert_eq!(later.len(), 2);
    assert!(later.iter().all(|place| sealed.iter().all(|old| place > old)), "{later:?} come after {sealed:?}");
}

/// A seal that does not find the log where it says, or an event in the journal no more, is a conflict and writes nothing.
pub async fn a_seal_that_does_not_fit_writes_nothing(store: AnyStore) {
    record(&store, 0..3).await;
    let all = places(&store).await;
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let first = Sealing { places: vec![all[0]], bundles: vec![bundle(0, "one")], ..step(LogHead::EMPTY, head(1)) };
    seal(&store, &fence, first).await;
    let fits = |from| Sealing {
        places: all[1..].to_vec(),
        bundles: vec![bundle(0, "three")],
        tiles: vec![tile(1, 0, 3)],
        checkpoint: Some(checkpoint(3)),
        ..step(from, head(3))
    };
    for from in [
        LogHead::EMPTY,
        LogHead { size: 2, ..head(1) },
        LogHead { root: [9; 32], ..head(1) },
        LogHead { erasures: 1, ..head(1) },
    ] {
        refused(store.seal(&fence, fits(from))).await;
    }
    refused(store.seal(&fence, Sealing { places: all.clone(), ..fits(head(1)) })).await;
    assert_eq!(stands_at(&store).await, head(1));
    assert_eq!(places(&store).await, all[1..]);
    assert_eq!(bundles(&store, 0, 10).await, [bundle(0, "one")]);
    assert_eq!(tile_at(&store, 1, 0).await, None);
    assert!(checkpoints(&store, 0, 10).await.is_empty());
    seal(&store, &fence, fits(head(1))).await;
    assert_eq!(stands_at(&store).await, head(3));
}

/// Whoever lost a lease is refused whatever they write under it, also when they do not know it yet.
pub async fn a_stale_fence_is_refused_whatever_it_writes(store: AnyStore) {
    record(&store, 0..2).await;
    let waiting = places(&store).await;
    let reader = ReaderName("splunk".into());
    let lease = LeaseName::SEAL;
    let stale = held(&store, &lease, 1).await;
    let sealing = |places: &[u64], from, to| Sealing {
        places: places.to_vec(),
        bundles: vec![bundle(0, "all")],
        ..step(from, head(to))
    };
    seal(&store, &stale, sealing(&waiting[..1], LogHead::EMPTY, 256)).await;
    store.advance(&stale, &reader, 1).await.expect("the reader moves");
    store.release(&stale).await.expect("it can be given back");
    let newest = held(&store, &lease, 2).await;

    refused(store.seal(&stale, sealing(&waiting[1..], head(256), 257))).await;
    refused(store.advance(&stale, &reader, 2)).await;
    refused(store.prune(&stale, 1)).await;
    let never = Fence { lease: LeaseName::sink("none"), holder: replica(1), number: 1 };
    refused(store.seal(&never, sealing(&waiting[1..], head(256), 257))).await;
    refused(store.advance(&never, &reader, 2)).await;
    refused(store.prune(&never, 1)).await;
    assert_eq!((stands_at(&store).await, cursor(&store, &reader).await), (head(256), 1));
    assert_eq!(places(&store).await, waiting[1..]);
    assert_eq!(bundles(&store, 0, 10).await.len(), 1);

    seal(&store, &newest, sealing(&waiting[1..], head(256), 257)).await;
    store.advance(&newest, &reader, 2).await.expect("the reader moves");
    assert_eq!(store.prune(&newest, 1).await.expect("pruning works"), 1);
}

/// Of many seals from the same place, exactly one is told that it worked, and it is what stands.
pub async fn of_concurrent_seals_exactly_one_wins(store: AnyStore) {
    record(&store, 0..16).await;
    let waiting = places(&store).await;
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let mut tasks = JoinSet::new();
    for (n, place) in (1..).zip(waiting) {
        let (store, fence) = (Arc::clone(&store), fence.clone());
        tasks.spawn(async move {
            let sealing = Sealing {
                places: vec![place],
                bundles: vec![bundle(0, &n.to_string())],
                ..step(LogHead::EMPTY, LogHead { size: 1, root: [n; 32], erasures: 0 })
            };
            (n, place, store.seal(&fence, sealing).await)
        });
    }
    let mut winners = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.expect("no task panics") {
            (n, place, Ok(())) => winners.push((n, place)),
            (_, _, Err(error)) => assert!(matches!(error, StoreError::Conflict), "{error:?}"),
        }
    }
    let [(n, place)] = winners[..] else { unreachable!("{} winners", winners.len()) };
    assert_eq!(stands_at(&store).await.root, [n; 32]);
    assert_eq!(bundles(&store, 0, 10).await, [bundle(0, &n.to_string())]);
    let left = places(&store).await;
    assert!(left.len() == 15 && !left.contains(&place));
}

/// While many commit and one seals, every event is in the log or in the journal, once, and the log is a log.
pub async fn sealing_while_others_commit_loses_nothing(store: AnyStore) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 100;
    let fence = held(&store, &LeaseName::SEAL, 1).await;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move { record(&store, writer * EACH..(writer + 1) * EACH).await });
    }
    let mut sealer = PlainSealer::open(&*store).await;
    while !tasks.is_empty() {
        sealer.step(&*store, &fence, 37).await.expect("nobody else seals");
        while let Some(done) = tasks.try_join_next() {
            done.expect("no task panics");
        }
        tokio::task::yield_now().await;
    }
    sealer.step(&*store, &fence, 3).await.expect("nobody else seals");
    let all: Vec<u64> =
        recorded(&*store).await.iter().map(|event| event.details["n"].parse().expect("a number")).collect();
    assert_eq!(all.len() as u64, WRITERS * EACH);
    for writer in 0..WRITERS {
        let theirs = all.iter().filter(|n| **n / EACH == writer);
        assert!(theirs.is_sorted(), "what one caller commits one after the other stays in that order");
    }
    assert_eq!(PlainSealer::open(&*store).await.head(), sealer.head());
    while sealer.step(&*store, &fence, 1000).await.expect("nobody else seals") > 0 {}
    assert_eq!(PlainSealer::open(&*store).await.head().size, WRITERS * EACH);
}
