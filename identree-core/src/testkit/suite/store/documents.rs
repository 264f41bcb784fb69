//! Documents: guarded by their revision, gone at their end.

use super::*;

/// A document is written only from the revision the writer saw; each write raises it by one; removed is as if never there.
pub async fn documents_are_guarded_by_their_revision(store: AnyStore) {
    let key = DocumentKey::new(HOSTS, "web-1.example");
    let write = |expect, bytes: &[u8]| Batch::unrecorded(vec![put(&key, expect, bytes, None)]);
    let remove = |expect| Batch::unrecorded(vec![Change::Document { key: key.clone(), expect, put: None }]);
    conflict(&store, write(Some(1), b"early")).await;
    conflict(&store, remove(Some(1))).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    commit(&store, write(None, &every_byte)).await;
    assert_eq!(read_document(&store, &key, AT).await, Some((1, every_byte)));
    conflict(&store, write(None, b"again")).await;
    commit(&store, write(Some(1), b"")).await;
    conflict(&store, write(Some(1), b"late")).await;
    conflict(&store, remove(None)).await;
    conflict(&store, remove(Some(1))).await;
    assert_eq!(read_document(&store, &key, AT).await, Some((2, Vec::new())));
    commit(&store, remove(Some(2))).await;
    assert_eq!(read_document(&store, &key, AT).await, None);
    commit(&store, write(None, b"anew")).await;
    assert_eq!(read_document(&store, &key, AT).await, Some((1, b"anew".to_vec())));
}

/// Of many who write the same document from the same revision, exactly one is told that it worked.
pub async fn of_concurrent_document_writes_exactly_one_wins(store: AnyStore) {
    let key = DocumentKey::new(HOSTS, "web-1.example");
    let mut tasks = JoinSet::new();
    for n in 0..32_u8 {
        let (store, change) = (Arc::clone(&store), put(&key, None, &[n], None));
        tasks.spawn(async move {
            let event = fakes::event(u64::from(n), EventKind::HostAdded);
            (n, store.commit(Batch::of(change, event)).await)
        });
    }
    let mut winners = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.expect("no task panics") {
            (n, Ok(())) => winners.push(n),
            (_, Err(error)) => assert!(matches!(error, StoreError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(read_document(&store, &key, AT).await, Some((1, winners)));
    assert_eq!(journal(&store).await.len(), 1);
}

/// At its end a document is no longer read or listed, but it holds its key until it is swept.
pub async fn documents_cease_to_exist_at_their_end(store: AnyStore) {
    let key = DocumentKey::new(SESSIONS, "s1");
    let end = AT + Duration::from_secs(60);
    let just_before = AT + Duration::from_millis(59_999);
    commit(&store, Batch::unrecorded(vec![put(&key, None, b"session", Some(end))])).await;
    assert!(read_document(&store, &key, just_before).await.is_some());
    assert_eq!(list_documents(&store, SESSIONS, just_before).await, ["s1"]);
    assert_eq!(read_document(&store, &key, end).await, None);
    assert!(list_documents(&store, SESSIONS, end).await.is_empty());
    conflict(&store, Batch::unrecorded(vec![put(&key, None, b"other", None)])).await;
    let later = end + Duration::from_secs(60);
    commit(&store, Batch::unrecorded(vec![put(&key, Some(1), b"longer", Some(later))])).await;
    assert_eq!(read_document(&store, &key, end).await, Some((2, b"longer".to_vec())));
}

/// Collections are apart, though keys are the same; a listing gives each document once, in the same order each time.
pub async fn documents_are_listed_by_collection(store: AnyStore) {
    let names = ["b", "a", "é", "A", "a/b", ""];
    for name in names {
        let hosts = put(&DocumentKey::new(HOSTS, name), None, b"host", None);
        let sessions = put(&DocumentKey::new(SESSIONS, name), None, b"session", None);
        commit(&store, Batch::unrecorded(vec![hosts, sessions])).await;
    }
    let only = put(&DocumentKey::new(SESSIONS, "only"), None, b"session", None);
    commit(&store, Batch::unrecorded(vec![only])).await;
    let hosts = list_documents(&store, HOSTS, AT).await;
    assert_eq!(hosts.len(), names.len());
    assert_eq!(hosts.iter().map(String::as_str).collect::<BTreeSet<_>>(), names.into_iter().collect());
    assert_eq!(list_documents(&store, HOSTS, AT).await, hosts);
    assert_eq!(list_documents(&store, SESSIONS, AT).await.len(), names.len() + 1);
    assert!(list_documents(&store, Collection("none"), AT).await.is_empty());
    assert_eq!(read_document(&store, &DocumentKey::new(HOSTS, "a"), AT).await, Some((1, b"host".to_vec())));
    assert_eq!(read_document(&store, &DocumentKey::new(HOSTS, "only"), AT).await, None);
}
