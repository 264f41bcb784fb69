//! The live table: every question that waits or was just settled, in memory, with whoever waits for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};

use super::caps::{Caps, Limit, Place, Tally};
use crate::challenge::{ChallengeRecord, UserCode};
use crate::grant::SignedAnswer;
use crate::id::ChallengeId;
use crate::time::Timestamp;

/// How many changes somebody who follows may be behind before they are told that they missed some.
const FOLLOW: usize = 1024;

/// The table. Locks are held for moments and never across an await.
pub(super) struct Live {
    table: Mutex<Table>,
    changes: watch::Sender<u64>,
    /// Every new state, in the order in which it became known.
    feed: broadcast::Sender<Arc<ChallengeRecord>>,
    /// Rings when the first deadline moved closer.
    pub(super) alarm: Notify,
    keep_settled: Duration,
    caps: Caps,
    /// Draws how much later than its deadline a question of another server is ended here; none without other servers.
    late: Option<u64>,
}

/// How a state became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// It was committed here.
    Committed,
    /// Another server committed it.
    Learned,
    /// It was read for somebody who asked: of a question that was not known here it is no news.
    Read,
}

/// How much waits at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Questions that wait.
    pub questions: usize,
    /// Callers of [`Engine::wait`](super::Engine::wait) that wait.
    pub waiters: usize,
    /// Holders of [`Engine::changes`](super::Engine::changes).
    pub followers: usize,
}

#[derive(Default)]
struct Table {
    entries: HashMap<ChallengeId, Entry>,
    codes: HashMap<UserCode, ChallengeId>,
    due: BTreeSet<(Timestamp, ChallengeId)>,
    tally: Tally,
}

struct Entry {
    record: watch::Sender<Arc<ChallengeRecord>>,
    /// What was signed once it was settled: whoever asks again is told the same.
    answer: Option<SignedAnswer>,
    due: Timestamp,
    /// How long after its deadline it is ended here, if nobody was faster.
    late: Duration,
    /// Whether whoever follows was told of it: not of what was read for somebody before its nudge came.
    told: bool,
    /// In which term of telling it got its lanes to the channels; 0 for never.
    lanes: u64,
}

/// The record as it is now: not held, so that it may be taken across a wait.
pub(super) fn current(updates: &watch::Receiver<Arc<ChallengeRecord>>) -> Arc<ChallengeRecord> {
    Arc::clone(&updates.borrow())
}

impl Live {
    pub(super) fn new(keep_settled: Duration, caps: Caps, late: Option<u64>) -> Self {
        Self {
            table: Mutex::default(),
            changes: watch::Sender::new(0),
            feed: broadcast::Sender::new(FOLLOW),
            alarm: Notify::new(),
            keep_settled,
            caps,
            late,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a committed state known and wakes whoever waits for it. An older state than the known one changes nothing.
    pub(super) fn publish(&self, record: Arc<ChallengeRecord>) -> watch::Receiver<Arc<ChallengeRecord>> {
        self.keep(record, News::Committed)
    }

    /// As [`publish`](Self::publish), for a state that another server committed. Also what is settled is kept: whoever is just
    /// reading an older state of it must find the newer one here.
    pub(super) fn learn(&self, record: Arc<ChallengeRecord>) -> watch::Receiver<Arc<ChallengeRecord>> {
        self.keep(record, News::Learned)
    }

    /// As [`publish`](Self::publish), for a state that was read: of a question that was not known here it is no news.
    pub(super) fn recall(&self, record: Arc<ChallengeRecord>) -> watch::Receiver<Arc<ChallengeRecord>> {
        self.keep(record, News::Read)
    }

    fn keep(&self, record: Arc<ChallengeRecord>, news: News) -> watch::Receiver<Arc<ChallengeRecord>> {
        let id = record.question().id;
        let mut table = self.table();
        let table = &mut *table;
        let (updates, due) = match table.entries.get_mut(&id) {
            Some(entry) => {
                let due = self.due(&record, entry.late);
                let (tally, cool_down) = (&mut table.tally, &self.caps.cool_down);
                let newer = entry.record.send_if_modified(|known| {
                    let newer = record.revision() > known.revision();
                    if newer {
                        if known.is_pending() && !record.is_pending() {
                            tally.settled(&record, cool_down);
                        }
                        *known = Arc::clone(&record);
                    }
                    newer
                });
                if newer {
                    table.due.remove(&(entry.due, id));
                    table.due.insert((due, id));
                    entry.due = due;
                }
                if newer || (!entry.told && news != News::Read) {
                    entry.told = true;
                    let _ = self.feed.send(Arc::clone(&entry.record.borrow())); // Err: nobody follows
                }
                (entry.record.subscribe(), due)
            }
            None => {
                table.tally.entered(&record, &self.caps.cool_down);
                if news != News::Read {
                    let _ = self.feed.send(Arc::clone(&record));
                }
                let late = if news == News::Committed { Duration::ZERO } else { self.late(id) };
                let due = self.due(&record, late);
                table.codes.insert(record.question().code.clone(), id);
                let (sender, updates) = watch::channel(record);
                table
                    .entries
                    .insert(id, Entry { record: sender, answer: None, due, late, told: news != News::Read, lanes: 0 });
                table.due.insert((due, id));
                (updates, due)
            }
        };
        if table.due.first().is_some_and(|(first, _)| *first >= due) {
            self.alarm.notify_one();
        }
        self.changes.send_modify(|count| *count += 1);
        updates
    }

    /// When a question is to be looked at: at its deadline, or when it has been settled long enough.
    fn due(&self, record: &ChallengeRecord, late: Duration) -> Timestamp {
        record.settled_at().map_or(record.question().expires_at + late, |at| at + self.keep_settled)
    }

    /// A quarter of a second to one and a quarter: the server that opened the question ends it, and if that one is gone, of the
    /// others the first does before the rest try.
    fn late(&self, id: ChallengeId) -> Duration {
        let Some(drawn) = self.late else { return Duration::ZERO };
        let own = id.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Duration::from_millis(250 + (own ^ drawn) % 1000)
    }

    /// Makes a question unknown again that is not in the store any more. Whoever waits for it is told that there is none.
    pub(super) fn forget(&self, id: ChallengeId) {
        let mut table = self.table();
        let table = &mut *table;
        let Some(entry) = table.entries.remove(&id) else { return };
        table.due.remove(&(entry.due, id));
        let record = entry.record.borrow();
        table.tally.left(&record);
        if table.codes.get(&record.question().code) == Some(&id) {
            table.codes.remove(&record.question().code);
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Makes the lanes of this term somebody's business: true once a term.
    pub(super) fn take_lanes(&self, id: ChallengeId, term: u64) -> bool {
        let mut table = self.table();
        let taken = |entry: &mut Entry| std::mem::replace(&mut entry.lanes, term) != term;
        table.entries.get_mut(&id).is_some_and(taken)
    }

    /// Takes a place for a question that will wait, before it is committed; none where the question has one already.
    pub(super) fn reserve(
        self: &Arc<Self>,
        record: &Arc<ChallengeRecord>,
        now: Timestamp,
    ) -> Result<Option<Place>, Limit> {
        let question = record.question();
        let mut table = self.table();
        if table.entries.contains_key(&question.id) || table.tally.is_reserved(question.id) {
            return Ok(None);
        }
        let reserved = table.tally.reserve(question, &self.caps, now);
        let told = if reserved.is_err() { table.tally.untold(now) } else { None };
        drop(table);
        if let (Err(limit), Some(times)) = (&reserved, told) {
            let (requester, target) = (&question.requester, &question.target);
            tracing::warn!(%requester, %target, %limit, times, "a question was not put to anybody");
        }
        reserved?;
        Ok(Some(Place { live: Arc::clone(self), record: Arc::clone(record) }))
    }

    pub(super) fn tally<T>(&self, look: impl FnOnce(&mut Tally) -> T) -> T {
        look(&mut self.table().tally)
    }

    /// Remembers a denial from before the start.
    pub(super) fn remember(&self, record: &ChallengeRecord) {
        self.tally(|tally| tally.note_denial(record, &self.caps.cool_down));
    }

    pub(super) fn subscribe(&self, id: ChallengeId) -> Option<watch::Receiver<Arc<ChallengeRecord>>> {
        self.table().entries.get(&id).map(|entry| entry.record.subscribe())
    }

    pub(super) fn get(&self, id: ChallengeId) -> Option<Arc<ChallengeRecord>> {
        self.table().entries.get(&id).map(|entry| Arc::clone(&entry.record.borrow()))
    }

    /// The answer that [`Live::keep_answer`] was given.
    pub(super) fn answer(&self, id: ChallengeId) -> Option<SignedAnswer> {
        self.table().entries.get(&id)?.answer.clone()
    }

    /// Keeps the answer of a settled question, which never changes, as long as the question is live.
    pub(super) fn keep_answer(&self, id: ChallengeId, answer: &SignedAnswer) {
        if let Some(entry) = self.table().entries.get_mut(&id) {
            entry.answer = Some(answer.clone());
        }
    }

    pub(super) fn by_code(&self, code: &UserCode) -> Option<Arc<ChallengeRecord>> {
        let table = self.table();
        let entry = table.entries.get(table.codes.get(code)?)?;
        Some(Arc::clone(&entry.record.borrow()))
    }

    /// Everything that waits, in no order.
    pub(super) fn pending(&self) -> Vec<Arc<ChallengeRecord>> {
        let table = self.table();
        let records = table.entries.values().map(|entry| Arc::clone(&entry.record.borrow()));
        records.filter(|record| record.is_pending()).collect()
    }

    /// The ids of everything that waits, in no order.
    pub(super) fn waiting(&self) -> Vec<ChallengeId> {
        let table = self.table();
        table.entries.iter().filter(|(_, entry)| entry.record.borrow().is_pending()).map(|(id, _)| *id).collect()
    }

    pub(super) fn is_known(&self, id: ChallengeId) -> bool {
        self.table().entries.contains_key(&id)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<ChallengeRecord>> {
        self.feed.subscribe()
    }

    pub(super) fn load(&self) -> Load {
        let table = self.table();
        let mut load = Load { questions: 0, waiters: 0, followers: self.changes.receiver_count() };
        for entry in table.entries.values() {
            load.questions += usize::from(entry.record.borrow().is_pending());
            load.waiters += entry.record.receiver_count();
        }
        load
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.table().due.first().map(|(due, _)| *due)
    }

    /// Forgets the settled questions that are due and returns the waiting ones, whose time is over.
    pub(super) fn overdue(&self, now: Timestamp) -> Vec<Arc<ChallengeRecord>> {
        let mut table = self.table();
        let table = &mut *table;
        let mut waiting = Vec::new();
        while let Some((due, id)) = table.due.first().copied().filter(|(due, _)| *due <= now) {
            table.due.remove(&(due, id));
            let Some(entry) = table.entries.get(&id) else { continue };
            let record = Arc::clone(&entry.record.borrow());
            if record.is_pending() {
                waiting.push(record);
            } else {
                table.entries.remove(&id);
                // A code may have been drawn again meanwhile; only its own entry goes.
                if table.codes.get(&record.question().code) == Some(&id) {
                    table.codes.remove(&record.question().code);
                }
            }
        }
        waiting
    }

    /// Looks at a waiting question again later: its end could not be written.
    pub(super) fn postpone(&self, id: ChallengeId, due: Timestamp) {
        let mut table = self.table();
        let table = &mut *table;
        if let Some(entry) = table.entries.get_mut(&id) {
            table.due.remove(&(entry.due, id));
            table.due.insert((due, id));
            entry.due = due;
        }
    }
}
