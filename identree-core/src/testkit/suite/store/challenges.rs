//! Questions: opened, advanced, found, listed, forgotten.

use super::*;

/// A question reads back as it was written, when opened and after each change.
pub async fn what_is_opened_reads_back_unchanged(store: AnyStore) {
    let record = fakes::pending(1);
    assert_eq!(read(&store, record.question().id).await, None);
    commit(&store, opened(1, &record)).await;
    assert_eq!(read(&store, record.question().id).await.as_deref(), Some(&*record));
    let approved = fakes::approved(&record, "ben", AT);
    commit(&store, advanced(2, &approved)).await;
    assert_eq!(read(&store, record.question().id).await.as_deref(), Some(&*approved));
    assert_eq!(read(&store, fakes::pending(2).question().id).await, None);
}

/// The second open of the same question is a conflict; neither its change nor its event is written.
pub async fn opening_twice_is_a_conflict_and_leaves_no_trace(store: AnyStore) {
    let record = fakes::pending(1);
    commit(&store, opened(1, &record)).await;
    conflict(&store, opened(2, &record)).await;
    let approved = fakes::approved(&record, "ben", AT);
    commit(&store, advanced(3, &approved)).await;
    conflict(&store, opened(4, &record)).await;
    assert_eq!(read(&store, record.question().id).await.as_deref(), Some(&*approved));
    let about = |event: &AuditEvent| event.details["n"].clone();
    assert_eq!(journal(&store).await.iter().map(about).collect::<Vec<_>>(), ["1", "3"]);
}

/// A state follows the one just below it, and nothing else: not a missing question, not the same revision, not a later one.
pub async fn advance_needs_the_revision_just_below(store: AnyStore) {
    let record = fakes::pending(1);
    let approved = fakes::approved(&record, "ben", AT);
    conflict(&store, advanced(1, &approved)).await;
    commit(&store, opened(2, &record)).await;
    conflict(&store, advanced(3, &record)).await;
    commit(&store, advanced(4, &approved)).await;
    conflict(&store, advanced(5, &fakes::expired(&record, AT))).await;
    assert_eq!(read(&store, record.question().id).await.as_deref(), Some(&*approved));
    assert_eq!(journal(&store).await.len(), 2);
}

/// Of many who settle the same question at once, exactly one is told that it worked, and its state is what stands.
pub async fn of_concurrent_advances_exactly_one_wins(store: AnyStore) {
    let record = fakes::pending(1);
    commit(&store, opened(0, &record)).await;
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let (store, next) = (Arc::clone(&store), fakes::approved(&record, &format!("voter-{n}"), AT));
        tasks.spawn(async move { store.commit(advanced(n + 1, &next)).await.map(|()| next) });
    }
    let mut winners = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        match answer.expect("no task panics") {
            Ok(next) => winners.push(next),
            Err(error) => assert!(matches!(error, StoreError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(read(&store, record.question().id).await, winners.pop());
    assert_eq!(journal(&store).await.len(), 2);
}

/// When a code was used twice, it means the newer question.
pub async fn a_code_finds_the_newest_question(store: AnyStore) {
    let older = fakes::pending(1);
    let mut question = fakes::question(2);
    question.code = older.question().code.clone();
    let newer = Arc::new(ChallengeRecord::pending(question));
    let code = &older.question().code;
    let find = || async { store.challenge_by_code(code).await.expect("codes can be looked up") };
    assert_eq!(find().await, None);
    commit(&store, opened(1, &older)).await;
    assert_eq!(find().await.as_ref(), Some(&older));
    commit(&store, opened(2, &newer)).await;
    commit(&store, advanced(3, &fakes::expired(&older, AT))).await;
    assert_eq!(find().await.as_ref(), Some(&newer));
    let other = store.challenge_by_code(&fakes::question(3).code).await.expect("codes can be looked up");
    assert_eq!(other, None);
}

/// Of many ids those that exist are found in one go, waiting or settled; none are no question.
pub async fn questions_are_found_by_id_however_many(store: AnyStore) {
    let (waiting, settled) = (fakes::pending(1), fakes::pending(2));
    commit(&store, opened(1, &waiting)).await;
    commit(&store, opened(2, &settled)).await;
    commit(&store, opened(3, &fakes::pending(3))).await;
    let settled = fakes::expired(&settled, AT);
    commit(&store, advanced(4, &settled)).await;
    let unknown = (0..70_000_u32).map(|n| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        ChallengeId::from_bytes(id)
    });
    let ids: Vec<_> = unknown.chain([waiting.question().id, settled.question().id]).collect();
    let mut found = store.challenges_by_id(&ids).await.expect("questions can be found by id");
    found.sort_by_key(|record| record.question().created_at);
    assert_eq!(found, [waiting, settled]);
    assert!(store.challenges_by_id(&[]).await.expect("questions can be found by id").is_empty());
}

/// Listings are newest first; filters by state and requester, alone and together.
pub async fn listings_are_newest_first_and_filtered(store: AnyStore) {
    let (mut all, mut anns, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..20 {
        let requester = if n % 2 == 0 { "ann" } else { "ben" };
        let record = Arc::new(ChallengeRecord::pending(fakes::question_of(n, requester)));
        commit(&store, opened(n, &record)).await;
        if n % 3 == 0 {
            commit(&store, advanced(100 + n, &fakes::expired(&record, AT))).await;
        } else {
            waiting.insert(0, record.question().id);
        }
        if n % 2 == 0 {
            anns.insert(0, record.question().id);
        }
        all.insert(0, record.question().id);
    }
    let filter = |pending, requester: Option<&str>| ChallengeFilter { pending, requester: requester.map(fakes::user) };
    let both = |a: &[ChallengeId], b: &[ChallengeId]| a.iter().filter(|id| b.contains(id)).copied().collect::<Vec<_>>();
    let settled: Vec<_> = all.iter().filter(|id| !waiting.contains(id)).copied().collect();
    for limit in [1, 3, 1000] {
        assert_eq!(list(&store, &filter(None, None), limit).await, all);
        assert_eq!(list(&store, &filter(Some(true), None), limit).await, waiting);
        assert_eq!(list(&store, &filter(Some(false), None), limit).await, settled);
        assert_eq!(list(&store, &filter(None, Some("ann")), limit).await, anns);
        assert_eq!(list(&store, &filter(Some(true), Some("ann")), limit).await, both(&waiting, &anns));
        assert_eq!(list(&store, &filter(Some(false), Some("ann")), limit).await, both(&settled, &anns));
        assert!(list(&store, &filter(None, Some("Ann")), limit).await.is_empty(), "case counts");
    }
}

/// Who pages while others write sees what was there at the start once each, in order.
pub async fn paging_neither_skips_nor_repeats_while_rows_are_added(store: AnyStore) {
    let mut expected = Vec::new();
    for n in 0..10 {
        let record = fakes::pending(n);
        commit(&store, opened(n, &record)).await;
        expected.insert(0, record.question().id);
    }
    let (mut seen, mut page, mut n) = (Vec::new(), Page::first(3), 10);
    loop {
        let paged = store.challenges(&ChallengeFilter::default(), page).await.expect("questions can be listed");
        seen.extend(paged.items.iter().map(|record| record.question().id));
        let Some(next) = paged.next else { break };
        page.after = Some(next);
        commit(&store, opened(n, &fakes::pending(n))).await;
        n += 1;
    }
    assert_eq!(seen, expected);
    assert!(n > 12, "questions were added between the pages");
}

/// A forgotten question is gone from every listing; its id may be used again; forgetting what is not there is fine.
pub async fn forgetting_removes_a_question_and_frees_its_id(store: AnyStore) {
    let (first, second) = (fakes::pending(1), fakes::pending(2));
    let forget = |record: &ChallengeRecord| Batch::unrecorded(vec![Change::Forget(record.question().id)]);
    commit(&store, forget(&first)).await;
    commit(&store, opened(1, &first)).await;
    commit(&store, opened(2, &second)).await;
    commit(&store, forget(&first)).await;
    assert_eq!(read(&store, first.question().id).await, None);
    assert_eq!(store.challenge_by_code(&first.question().code).await.expect("codes can be looked up"), None);
    assert_eq!(list(&store, &ChallengeFilter::default(), 10).await, [second.question().id]);
    commit(&store, opened(3, &first)).await;
    assert_eq!(list(&store, &ChallengeFilter::default(), 10).await, [first.question().id, second.question().id]);
    assert_eq!(journal(&store).await.len(), 3, "the journal forgets nothing");
}
