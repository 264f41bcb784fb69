//! The sessions read a moment ago, so that the clicks of one person do not each read the store.
//!
//! What is ended here is forgotten at once, also by whoever is just reading it; so is what another server over the same store
//! changes, as soon as it is told ([`Known::forget`]). What nobody tells is noticed within [`TRUST`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identree_core::store::DocumentKey;
use identree_core::time::Timestamp;

use super::Stored;

/// How long a record counts after it was read.
pub(super) const TRUST: Duration = Duration::from_secs(1);
/// At most this many are kept; then those too old to count go, or all of them.
const MOST: usize = 4096;

/// The table. Locks are held for moments.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<DocumentKey, Seen>,
    forgotten: u64,
}

/// A session's record as it was read.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) stored: Stored,
    pub(super) revision: u64,
    pub(super) read_at: Timestamp,
}

impl Seen {
    fn counts(&self, now: Timestamp) -> bool {
        self.read_at <= now && now.since(self.read_at) < TRUST
    }
}

/// When a look-up began: what was forgotten since then is not kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl Known {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record, if it was read a moment ago; and the mark to keep another by.
    pub(super) fn look(&self, key: &DocumentKey, now: Timestamp) -> (Mark, Option<Seen>) {
        let table = self.table();
        (Mark(table.forgotten), table.sessions.get(key).filter(|seen| seen.counts(now)).cloned())
    }

    /// Keeps what was read or written, unless anything was forgotten since the mark.
    pub(super) fn keep(&self, mark: Mark, key: &DocumentKey, seen: Seen) {
        let mut table = self.table();
        if table.forgotten != mark.0 {
            return;
        }
        if table.sessions.len() >= MOST && !table.sessions.contains_key(key) {
            let now = seen.read_at;
            table.sessions.retain(|_, old| old.counts(now));
            if table.sessions.len() >= MOST {
                table.sessions.clear();
            }
        }
        table.sessions.insert(key.clone(), seen);
    }

    /// The next request of this session reads the store.
    pub(super) fn forget(&self, key: &DocumentKey) {
        let mut table = self.table();
        table.sessions.remove(key);
        table.forgotten += 1;
    }
}

impl Known {
    /// The next request of every session reads the store.
    pub(super) fn forget_all(&self) {
        let mut table = self.table();
        table.sessions.clear();
        table.forgotten += 1;
    }
}

/// Forgets a session when its end was written, and also when whoever wrote it went away.
pub(super) struct Ending<'a> {
    pub(super) known: &'a Known,
    pub(super) key: &'a DocumentKey,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.known.forget(self.key);
    }
}
