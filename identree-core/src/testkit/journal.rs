//! Everything that was recorded, sealed or not.

use std::collections::HashSet;

use crate::audit::{AuditEvent, Entry, EventSeq};
use crate::store::{Page, Store, TILE};

/// Every event of the store in order: those in the log, then those that still wait in the journal.
///
/// # Panics
/// If they cannot be read.
pub async fn recorded(store: &(impl Store + ?Sized)) -> Vec<AuditEvent> {
    // Waiting ones first: one that is sealed meanwhile is read twice, and not missed.
    let (mut waiting, mut page) = (Vec::new(), Page::first(1000));
    loop {
        let paged = store.unsealed(page).await.expect("the journal can be read");
        waiting.extend(paged.items.into_iter().map(|unsealed| unsealed.event));
        match paged.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    let (mut events, mut from) = (Vec::new(), 0);
    loop {
        let bundles = store.bundles(from, 100).await.expect("the log can be read");
        let Some(last) = bundles.last() else { break };
        from = last.number + 1;
        for bundle in &bundles {
            let entries = Entry::split(bundle).expect("a bundle is whole");
            for (seq, entry) in (bundle.number * TILE..).zip(entries) {
                events.push(entry.sealed(EventSeq(seq)).expect("an entry is an event").event);
            }
        }
    }
    let sealed: HashSet<_> = events.iter().map(|event| event.id).collect();
    events.extend(waiting.into_iter().filter(|event| !sealed.contains(&event.id)));
    events
}
