//! What all streams share: the ring, the pulse that wakes them, and how many each person has.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use identree_core::Engine;
use identree_core::challenge::ChallengeRecord;
use identree_core::id::UserName;
use identree_core::rng::bytes;
use identree_core::text::hex;
use tokio::sync::{broadcast, watch};

use super::MAX_STREAMS;
use super::entry::{Entry, QuestionEvent};
use super::ring::{At, Ring};
use crate::session::Sessions;

/// How often each stream is told that it lives, and its session is looked up again.
const BEAT: Duration = Duration::from_secs(15);
/// How many events can be asked for again.
const ROOM: usize = 512;

/// See the module.
pub(super) struct Hub {
    /// Of this process: an id of another one means nothing here.
    epoch: String,
    ring: Mutex<Ring<Entry>>,
    pulse: watch::Sender<Pulse>,
    streams: Mutex<HashMap<UserName, u32>>,
}

/// Changes when streams must look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pulse {
    /// The newest event.
    last: u64,
    /// Rises when sessions must be looked up again.
    pub(super) beat: u64,
    /// Rises with each state of the directory.
    directory: u64,
    /// The server stops.
    pub(super) stopped: bool,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("pulse", &*self.pulse.borrow()).finish_non_exhaustive()
    }
}

impl Hub {
    /// Empty, with an epoch of its own.
    pub(super) fn new(engine: &Engine) -> Self {
        Self {
            epoch: hex(&bytes::<6>(engine.entropy())),
            ring: Mutex::new(Ring::new(ROOM)),
            pulse: watch::Sender::default(),
            streams: Mutex::default(),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring<Entry>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has this number.
    pub(super) fn at(&self, number: u64) -> At<Entry> {
        self.ring().at(number)
    }

    /// Wakes its holder when there is something to look at.
    pub(super) fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// The id of an event.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch)
    }

    /// The id of the newest event.
    pub(super) fn position(&self) -> String {
        self.id(self.ring().last())
    }

    /// The number of the event to go on with: after this id, or after the newest without one. An id that is none of ours
    /// comes out as a number that is gone.
    pub(super) fn resume(&self, after: Option<&str>) -> u64 {
        let Some(id) = after else { return self.ring().last() + 1 };
        let number = id.strip_prefix(&*self.epoch).and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok());
        number.and_then(|number| number.checked_add(1)).unwrap_or(0)
    }

    /// A stream's place, if the person has not too many.
    pub(super) fn place(self: &Arc<Self>, person: &UserName) -> Option<Place> {
        let mut streams = self.streams();
        let count = streams.entry(person.clone()).or_default();
        if *count >= MAX_STREAMS {
            return None;
        }
        *count += 1;
        Some(Place { hub: Arc::clone(self), person: person.clone() })
    }

    /// How many streams there are, of everybody.
    pub(super) fn count(&self) -> usize {
        self.streams().values().map(|count| *count as usize).sum()
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<UserName, u32>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, entry: impl FnOnce(u64) -> Option<Entry>) {
        let last = {
            let mut ring = self.ring();
            match entry(ring.last() + 1) {
                Some(entry) => ring.push(entry),
                None => ring.skip(),
            }
            ring.last()
        };
        self.pulse.send_modify(|pulse| pulse.last = last);
    }
}

/// One stream of one person; gives its place back when dropped.
pub(super) struct Place {
    hub: Arc<Hub>,
    person: UserName,
}

impl Place {
    /// Where it is.
    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.hub.streams();
        if let Some(count) = streams.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.person);
            }
        }
    }
}

/// Follows the engine and the sessions until the engine drains or is gone.
pub(super) fn run(hub: Weak<Hub>, engine: &Engine, sessions: &Sessions) -> impl Future<Output = ()> + Send + use<> {
    let (mut feed, mut directory, draining) = (engine.follow(), engine.directory_changes(), engine.draining());
    let (mut ends, clock) = (sessions.follow_ends(), Arc::clone(engine.clock()));
    let mut beat = clock.sleep_until(clock.now() + BEAT);
    async move {
        let mut draining = std::pin::pin!(draining);
        loop {
            let happened = tokio::select! {
                biased;
                () = &mut draining => Happened::Stop,
                ended = ends.recv() => match ended {
                    Ok(ended) => Happened::Entry(Entry::Ended(ended)),
                    Err(broadcast::error::RecvError::Lagged(_)) => Happened::Beat,
                    Err(broadcast::error::RecvError::Closed) => Happened::Stop,
                },
                changed = directory.changed() => if changed.is_ok() { Happened::Directory } else { Happened::Stop },
                record = feed.recv() => match record {
                    Ok(record) => Happened::Question(record),
                    Err(broadcast::error::RecvError::Lagged(_)) => Happened::Missed,
                    Err(broadcast::error::RecvError::Closed) => Happened::Stop,
                },
                () = &mut beat => Happened::Beat,
            };
            let Some(hub) = hub.upgrade() else { return };
            match happened {
                Happened::Question(record) => {
                    hub.add(|number| Some(Entry::Question(Arc::new(QuestionEvent::new(hub.id(number), record)))));
                }
                Happened::Entry(entry) => hub.add(|_| Some(entry)),
                Happened::Missed => hub.add(|_| None),
                Happened::Directory => hub.pulse.send_modify(|pulse| pulse.directory += 1),
                Happened::Beat => {
                    beat = clock.sleep_until(clock.now() + BEAT);
                    hub.pulse.send_modify(|pulse| pulse.beat += 1);
                }
                Happened::Stop => {
                    hub.pulse.send_modify(|pulse| pulse.stopped = true);
                    return;
                }
            }
        }
    }
}

enum Happened {
    Question(Arc<ChallengeRecord>),
    Entry(Entry),
    Missed,
    Directory,
    Beat,
    Stop,
}
