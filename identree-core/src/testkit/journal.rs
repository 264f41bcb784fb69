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
    let waiting = waiting(store).await;
    let mut events = sealed(store).await;
    let known: HashSet<_> = events.iter().map(|event| event.id).collect();
    events.extend(waiting.into_iter().filter(|event| !known.contains(&event.id)));
    events
}

/// The events that wait in the journal, in order.
///
/// # Panics
/// If they cannot be read.
pub async fn waiting(store: &(impl Store + ?Sized)) -> Vec<AuditEvent> {
    let (mut waiting, mut page) = (Vec::new(), Page::first(1000));
    loop {
        let paged = store.unsealed(page).await.expect("the journal can be read");
        waiting.extend(paged.items.into_iter().map(|unsealed| unsealed.event));
        match paged.next {
            Some(next) => page.after = Some(next),
            None => return waiting,
        }
    }
}

/// The events in the log, in order.
///
/// # Panics
/// If they cannot be read.
pub async fn sealed(store: &(impl Store + ?Sized)) -> Vec<AuditEvent> {
    let (mut events, mut from) = (Vec::new(), 0);
    loop {
        let bundles = store.bundles(from, 100).await.expect("the log can be read");
        let Some(last) = bundles.last() else { return events };
        from = last.number + 1;
        for bundle in &bundles {
            let entries = Entry::split(bundle).expect("a bundle is whole");
            for (seq, entry) in (bundle.number * TILE..).zip(entries) {
                events.push(entry.sealed(EventSeq(seq)).expect("an entry is an event").event);
            }
        }
    }
}

/// What events tell that their kind does not declare ([`EventKind::tells`](crate::audit::EventKind::tells)): nothing, if the
/// catalogue is true.
pub fn undeclared(events: &[AuditEvent]) -> Vec<String> {
    let mut found = Vec::new();
    for event in events {
        let (kind, tells) = (event.kind.as_str(), event.kind.tells());
        let parts = [
            ("a subject", event.subject.is_some(), tells.subject),
            ("a target", event.target.is_some(), tells.target),
            ("an actor", event.actor.is_some(), tells.actor),
        ];
        found.extend(parts.iter().filter(|part| part.1 && part.2.is_empty()).map(|part| format!("{kind}: {}", part.0)));
        let details = event.details.keys().filter(|name| !tells.details.contains(&name.as_str()));
        found.extend(details.map(|name| format!("{kind}: the detail {name}")));
    }
    found
}
