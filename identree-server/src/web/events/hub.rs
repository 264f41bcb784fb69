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
use identree_core::time::{Clock, Timestamp};
use tokio::sync::{broadcast, watch};

use super::MAX_STREAMS;
use super::entry::{Entry, QuestionEvent};
use super::ring::{At, Ring};
use crate::session::Sessions;

/// How often each stream is told that it lives, and its session is looked up again.
const BEAT: Duration = Duration::from_secs(15);
/// How many events can be asked for again.
const ROOM: usize = 512;
/// What a page that comes from another server is told again: their clocks differ by four seconds at most, and what one did
/// reaches the other within one. A page knows by the revision what it has seen.
const OVERLAP: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Hub {
    /// Of this process: the numbers of another one mean nothing here.
    epoch: String,
    ring: Mutex<Ring<Timed>>,
    clock: Arc<dyn Clock>,
    /// Since when nothing is missing from the ring.
    whole_since: Mutex<Timestamp>,
    pulse: watch::Sender<Pulse>,
    streams: Mutex<HashMap<UserName, u32>>,
}

/// An event, and when it became known here.
#[derive(Debug, Clone)]
struct Timed {
    at: Timestamp,
    entry: Entry,
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
            clock: Arc::clone(engine.clock()),
            whole_since: Mutex::new(engine.clock().now()),
            pulse: watch::Sender::default(),
            streams: Mutex::default(),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring<Timed>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole_since(&self) -> MutexGuard<'_, Timestamp> {
        self.whole_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has this number.
    pub(super) fn at(&self, number: u64) -> At<Entry> {
        match self.ring().at(number) {
            At::Here(timed) => At::Here(timed.entry),
            At::NotYet => At::NotYet,
            At::Gone(last) => At::Gone(last),
        }
    }

    /// Wakes its holder when there is something to look at.
    pub(super) fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// The id of an event: whose, which, and when, which is what another server goes by.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{}-{number}-{}", self.epoch, self.clock.now().as_millis())
    }

    /// The id of the newest event.
    pub(super) fn position(&self) -> String {
        self.id(self.ring().last())
    }

    /// The number of the event to go on with: after this id, or after the newest without one. An id of another server means
    /// its time; where something since then is missing here, or for what is no id, it comes out as a number that is gone.
    pub(super) fn resume(&self, after: Option<&str>) -> u64 {
        let Some(id) = after else { return self.ring().last() + 1 };
        let mut parts = id.split('-');
        let (epoch, number) = (parts.next(), parts.next().and_then(|number| number.parse::<u64>().ok()));
        let at = parts.next().and_then(|at| at.parse::<i64>().ok()).map(Timestamp::from_millis);
        let (Some(epoch), Some(number), Some(at), None) = (epoch, number, at, parts.next()) else { return 0 };
        if epoch == self.epoch {
            return number.checked_add(1).unwrap_or(0);
        }
        let from = at - OVERLAP;
        if from < *self.whole_since() || at > self.clock.now() + OVERLAP {
            return 0;
        }
        self.ring().first(|timed| timed.at >= from)
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
                Some(entry) => {
                    let at = self.clock.now();
                    if let Some(gone) = ring.push(Timed { at, entry }) {
                        *self.whole_since() = gone.at + Duration::from_millis(1);
                    }
                }
                None => {
                    ring.skip();
                    *self.whole_since() = self.clock.now();
                }
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

#[cfg(test)]
mod tests {
    use identree_core::testkit::fakes;
    use identree_core::time::ManualClock;

    use super::*;

    #[tokio::test]
    async fn a_page_goes_on_at_another_server() {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().await.unwrap();
        let (one, other) = (Hub::new(&engine), Hub::new(&engine));
        let tell = |hub: &Hub, n| {
            hub.add(|number| Some(Entry::Question(Arc::new(QuestionEvent::new(hub.id(number), fakes::pending(n))))));
        };
        assert_eq!(other.resume(Some(&one.position())), 0, "it has not run as long: begin anew");
        clock.advance(Duration::from_secs(60));
        tell(&one, 1);
        tell(&other, 1);
        clock.advance(Duration::from_secs(60));
        tell(&one, 2);
        let seen = one.position();
        tell(&other, 2);
        tell(&other, 3);
        assert_eq!(one.resume(Some(&seen)), 3);
        assert_eq!(other.resume(Some(&seen)), 2, "what is as late as that, once more; and what came since");
        clock.advance(Duration::from_secs(60));
        assert_eq!(other.resume(Some(&one.position())), 4, "nothing since then");
        other.add(|_| None);
        assert_eq!(other.resume(Some(&seen)), 0, "something since then is missing");
        for id in ["", "?", "x-1", "x-1-z", "x-1-99999999999999", "x-y-1", "x-1-2-3"] {
            assert_eq!(other.resume(Some(id)), 0, "{id}");
        }
        assert_eq!(other.resume(None), 5);
    }
}
