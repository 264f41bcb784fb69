//! The batch as a whole, the journal, sweeping, and many writers at once.

use super::*;

/// One change that does not fit keeps all changes of its batch and all its events from being written.
pub async fn a_batch_is_all_or_nothing_across_sorts_of_changes(store: AnyStore) {
    let (first, second) = (fakes::pending(1), fakes::pending(2));
    let key = DocumentKey::new(HOSTS, "web-1.example");
    commit(&store, opened(1, &first)).await;
    let all = |expect| {
        Batch::of(Change::Open(Arc::clone(&second)), fakes::event(2, EventKind::ChallengeCreated))
            .and(
                Change::Advance(fakes::approved(&first, "ben", AT)),
                Some(fakes::event(3, EventKind::ChallengeApproved)),
            )
            .and(put(&key, expect, b"host", None), Some(fakes::event(4, EventKind::HostAdded)))
    };
    conflict(&store, all(Some(1))).await;
    assert_eq!(read(&store, second.question().id).await, None);
    assert_eq!(read(&store, first.question().id).await.as_deref(), Some(&*first));
    assert_eq!(read_document(&store, &key, AT).await, None);
    assert_eq!(journal(&store).await.len(), 1);

    commit(&store, all(None)).await;
    assert_eq!(read(&store, second.question().id).await.as_deref(), Some(&*second));
    assert_eq!(read(&store, first.question().id).await.map(|record| record.is_pending()), Some(false));
    assert_eq!(read_document(&store, &key, AT).await, Some((1, b"host".to_vec())));
    assert_eq!(journal(&store).await.len(), 4);
}

/// Every change of a batch is held against the state before the batch: a batch that opens and settles the same question is
/// a conflict. (Whoever wants that opens it settled.)
pub async fn a_batch_is_judged_by_what_stood_before_it(store: AnyStore) {
    let record = fakes::pending(1);
    let next = fakes::approved(&record, "ben", AT);
    conflict(&store, opened(1, &record).and(Change::Advance(next), None)).await;
    assert_eq!(read(&store, record.question().id).await, None);
    assert!(journal(&store).await.is_empty());
}

/// A batch with two changes of one question or of one document is a conflict, though each of them fits, and writes nothing.
pub async fn a_batch_names_each_thing_once(store: AnyStore) {
    let (first, second) = (fakes::pending(1), fakes::pending(2));
    commit(&store, opened(1, &first)).await;
    conflict(&store, opened(2, &second).and(Change::Open(Arc::clone(&second)), None)).await;
    assert_eq!(read(&store, second.question().id).await, None);
    let next = fakes::approved(&first, "ben", AT);
    conflict(&store, advanced(3, &next).and(Change::Forget(first.question().id), None)).await;
    assert_eq!(read(&store, first.question().id).await.as_deref(), Some(&*first));
    let key = DocumentKey::new(HOSTS, "web-1.example");
    conflict(&store, Batch::unrecorded(vec![put(&key, None, b"one", None), put(&key, None, b"two", None)])).await;
    assert_eq!(read_document(&store, &key, AT).await, None);
    assert_eq!(journal(&store).await.len(), 1);
}

/// Events are listed in the order of their commits and, within one, in the order of the batch, byte for byte.
pub async fn the_journal_keeps_the_order_of_commit(store: AnyStore) {
    let mut expected = Vec::new();
    for n in 0..10 {
        let record = fakes::pending(n);
        let created = fakes::event_about(2 * n, EventKind::ChallengeCreated, &record).with("text", "ü\n\"\\ \u{202e}");
        let extra = fakes::event(2 * n + 1, EventKind::SignedIn);
        let document = put(&DocumentKey::new(SESSIONS, format!("s{n}")), None, b"x", None);
        commit(&store, Batch::of(Change::Open(record), created.clone()).and(document, Some(extra.clone()))).await;
        expected.extend([created, extra]);
    }
    assert_eq!(journal(&store).await, expected);
    let end = store.unsealed(Page::first(1000)).await.expect("the journal can be read");
    assert_eq!((end.items.len(), end.next), (20, None));
}

/// However many commit at once, each acknowledged commit has its events in the journal once, side by side.
pub async fn concurrent_commits_are_journaled_once_each(store: AnyStore) {
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for at in 0..12 {
                let n = 2 * (task * 12 + at);
                let record = fakes::pending(n);
                let second = fakes::event(n + 1, EventKind::SignedIn);
                let key = DocumentKey::new(SESSIONS, format!("s{n}"));
                commit(&store, opened(n, &record).and(put(&key, None, b"", None), Some(second))).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no task panics");
    }
    let numbers: Vec<u64> =
        journal(&store).await.iter().map(|event| event.details["n"].parse().expect("a number")).collect();
    assert_eq!(numbers.len(), 192);
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 192, "none twice");
    assert!(
        numbers.chunks(2).all(|pair| pair[0] % 2 == 0 && pair[1] == pair[0] + 1),
        "one batch's events stay together"
    );
    for task in 0..8 {
        let of_task: Vec<_> = numbers.iter().filter(|n| **n / 24 == task).collect();
        assert!(of_task.is_sorted(), "what one caller commits one after the other stays in that order");
    }
}

/// A batch may consist of an event alone; an empty batch is fine and writes nothing.
pub async fn an_event_needs_no_change(store: AnyStore) {
    let event = fakes::event(1, EventKind::SignInFailed);
    commit(&store, Batch::event(event.clone())).await;
    commit(&store, Batch::default()).await;
    assert_eq!(journal(&store).await, [event]);
}

/// Who got no answer offers the same again: with a new document in it, it is written once, whatever became of the first.
pub async fn a_batch_that_is_offered_again_is_a_conflict_and_its_event_stands_once(store: AnyStore) {
    let (key, event) = (DocumentKey::new(SESSIONS, "a-random-key"), fakes::event(1, EventKind::SignInFailed));
    let batch = Batch::of(put(&key, None, b"", Some(AT + Duration::from_secs(60))), event.clone());
    commit(&store, batch.clone()).await;
    commit(&store, Batch::event(fakes::event(2, EventKind::SignInFailed))).await;
    conflict(&store, batch).await;
    let found = journal(&store).await;
    assert_eq!(found.iter().filter(|found| found.id == event.id).count(), 1);
    assert_eq!(found.len(), 2);
}

/// Swept are documents at their end and questions settled before the given time: nothing that waits, no journal, no more.
pub async fn sweeping_removes_only_what_is_over(store: AnyStore) {
    let second = |n: u64| AT + Duration::from_secs(n);
    let (waiting, old, young) = (fakes::pending(1), fakes::pending(2), fakes::pending(3));
    for (n, record) in [(1, &waiting), (2, &old), (3, &young)] {
        commit(&store, opened(n, record)).await;
    }
    commit(&store, advanced(4, &fakes::expired(&old, second(9)))).await;
    commit(&store, advanced(5, &fakes::expired(&young, second(10)))).await;
    for (name, end) in [("over", Some(second(20))), ("alive", Some(second(21))), ("endless", None)] {
        commit(&store, Batch::unrecorded(vec![put(&DocumentKey::new(SESSIONS, name), None, b"x", end)])).await;
    }
    let gone = store.sweep(second(20), second(10), 100).await.expect("sweeping works");
    assert_eq!(gone, 2);
    assert_eq!(
        list(&store, &ChallengeFilter::default(), 10).await,
        [young.question().id, waiting.question().id],
        "only what was settled before"
    );
    let left: BTreeSet<_> = list_documents(&store, SESSIONS, AT).await.into_iter().collect();
    assert_eq!(left, ["alive".to_owned(), "endless".to_owned()].into());
    assert_eq!(journal(&store).await.len(), 5);
    let again = DocumentKey::new(SESSIONS, "over");
    commit(&store, Batch::unrecorded(vec![put(&again, None, b"y", None)])).await;
    assert_eq!(store.sweep(second(20), second(10), 100).await.expect("sweeping works"), 0);
}

/// One sweep removes at most as many of each sort as it was told; the next goes on.
pub async fn sweeping_respects_its_limit(store: AnyStore) {
    for n in 0..5 {
        let record = fakes::pending(n);
        commit(&store, opened(n, &record)).await;
        commit(&store, advanced(100 + n, &fakes::expired(&record, AT))).await;
        let key = DocumentKey::new(SESSIONS, format!("s{n}"));
        commit(&store, Batch::unrecorded(vec![put(&key, None, b"x", Some(AT))])).await;
    }
    let after = AT + Duration::from_secs(1);
    for expected in [4, 4, 2, 0] {
        assert_eq!(store.sweep(after, after, 2).await.expect("sweeping works"), expected);
    }
    assert!(list(&store, &ChallengeFilter::default(), 10).await.is_empty());
}

/// Among many commits at once, some of which conflict, each is answered rightly: what was acknowledged is there with its
/// event, what was refused left nothing.
pub async fn a_conflict_harms_only_itself(store: AnyStore) {
    let taken = fakes::pending(1_000);
    commit(&store, opened(1_000, &taken)).await;
    let mut tasks = JoinSet::new();
    for n in 0..200_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let key = DocumentKey::new(SESSIONS, format!("s{n}"));
            let batch = opened(n, &fakes::pending(n)).and(put(&key, None, b"x", None), None);
            let spoilt = n % 3 == 0;
            let batch = if spoilt { batch.and(Change::Open(fakes::pending(1_000)), None) } else { batch };
            (n, spoilt, store.commit(batch).await)
        });
    }
    let mut expected = BTreeSet::from(["1000".to_owned()]);
    while let Some(done) = tasks.join_next().await {
        let (n, spoilt, answer) = done.expect("no task panics");
        let key = DocumentKey::new(SESSIONS, format!("s{n}"));
        let there = read(&store, fakes::question(n).id).await.is_some();
        assert_eq!(there, read_document(&store, &key, AT).await.is_some(), "{n}: all or nothing");
        if spoilt {
            assert!(matches!(answer, Err(StoreError::Conflict)), "{n}: {answer:?}");
            assert!(!there, "{n}: a conflict leaves nothing");
        } else {
            assert!(answer.is_ok(), "{n}: {answer:?}");
            assert!(there, "{n}: what was acknowledged is there");
            expected.insert(n.to_string());
        }
    }
    let events: Vec<_> = journal(&store).await.iter().map(|event| event.details["n"].clone()).collect();
    assert_eq!(events.len(), expected.len());
    assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// A probe of a healthy store succeeds and leaves nothing behind.
pub async fn a_healthy_store_says_so(store: AnyStore) {
    store.probe().await.expect("a healthy store");
    assert!(journal(&store).await.is_empty());
    assert!(list(&store, &ChallengeFilter::default(), 10).await.is_empty());
}
