//! How fast one may go, and who has gone how fast.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use identree_core::time::{Clock, Timestamp};

/// The most keys that are told apart. Hosts and people are fewer; of addresses anybody may have any number.
const MAX_KEYS: usize = 50_000;
/// How often keys are forgotten that are as good as new.
const SHRINK_EVERY: Duration = Duration::from_secs(60);

/// So many in a minute, and so many at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In a minute.
    pub per_minute: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// Not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is neither 0 nor a number per minute with a burst, as in \"600 burst 300\"")]
pub struct NotARate;

impl Rate {
    /// From `600 burst 300`, or `600` for a burst of as many; `0` is no limit.
    ///
    /// # Errors
    /// [`NotARate`].
    pub fn parse(text: &str) -> Result<Option<Self>, NotARate> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (per_minute, burst) = match words[..] {
            [rate] => (rate, rate),
            [rate, "burst", burst] => (rate, burst),
            _ => return Err(NotARate),
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| NotARate);
        let (per_minute, burst) = (number(per_minute)?, number(burst)?);
        match (NonZeroU32::new(per_minute), NonZeroU32::new(burst)) {
            (None, _) => Ok(None),
            (Some(per_minute), Some(burst)) => Ok(Some(Self { per_minute, burst })),
            (Some(_), None) => Err(NotARate),
        }
    }

    const fn quota(self) -> Quota {
        Quota::per_minute(self.per_minute).allow_burst(self.burst)
    }
}

/// The engine's clock for `governor`: it stands still where the clock is set back, so that nobody waits for the past.
#[derive(Debug, Clone)]
pub(super) struct Ticks {
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<(Timestamp, Duration)>>,
}

impl Ticks {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let seen = Arc::new(Mutex::new((clock.now(), Duration::ZERO)));
        Self { clock, seen }
    }

    fn passed(&self) -> Duration {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.1 = seen.1.saturating_add(now.since(seen.0));
        seen.0 = now;
        seen.1
    }
}

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(u64::try_from(self.passed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What each key has used of its rate. Without a rate everybody goes on.
pub(super) struct Used<K: Hash + Eq + Clone> {
    limits: Option<Limits<K>>,
    ticks: Ticks,
    shrunk: Mutex<Duration>,
}

struct Limits<K: Hash + Eq + Clone> {
    each: RateLimiter<K, HashMapStateStore<K>, Ticks, NoOpMiddleware<Nanos>>,
    /// Whoever there is no room for shares this one.
    rest: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Nanos>>,
}

impl<K: Hash + Eq + Clone> Used<K> {
    pub(super) fn new(rate: Option<Rate>, ticks: &Ticks) -> Self {
        let limits = rate.map(|rate| Limits {
            each: RateLimiter::hashmap_with_clock(rate.quota(), ticks.clone()),
            rest: RateLimiter::direct_with_clock(rate.quota(), ticks.clone()),
        });
        Self { limits, ticks: ticks.clone(), shrunk: Mutex::default() }
    }

    /// Counts one for the key; above its rate, how long it waits.
    pub(super) fn count(&self, key: &K) -> Result<(), Duration> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let full = self.shrink(limits);
        let now = self.ticks.now();
        let wait = |until: NotUntil<Nanos>| until.wait_time_from(now);
        if full { limits.rest.check().map_err(wait) } else { limits.each.check_key(key).map_err(wait) }
    }

    /// Forgets from time to time, or when there is no room, who is as good as new; true if there is still no room.
    fn shrink(&self, limits: &Limits<K>) -> bool {
        let full = || limits.each.len() >= MAX_KEYS;
        let now = self.ticks.passed();
        let mut shrunk = self.shrunk.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = if full() { Duration::from_secs(1) } else { SHRINK_EVERY };
        if now.saturating_sub(*shrunk) >= pause {
            *shrunk = now;
            limits.each.retain_recent();
            limits.each.shrink_to_fit();
        }
        full()
    }

    #[cfg(test)]
    fn keys(&self) -> usize {
        self.limits.as_ref().map_or(0, |limits| limits.each.len())
    }
}

#[cfg(test)]
mod tests {
    use identree_core::time::ManualClock;

    use super::*;

    fn used(text: &str) -> (ManualClock, Used<u32>) {
        let clock = ManualClock::default();
        let ticks = Ticks::new(Arc::new(clock.clone()));
        (clock, Used::new(Rate::parse(text).unwrap(), &ticks))
    }

    #[test]
    fn a_rate_is_written_in_one_way() {
        let rate = |per_minute, burst| {
            Some(Rate { per_minute: NonZeroU32::new(per_minute).unwrap(), burst: NonZeroU32::new(burst).unwrap() })
        };
        assert_eq!(Rate::parse("600 burst 300").unwrap(), rate(600, 300));
        assert_eq!(Rate::parse("600").unwrap(), rate(600, 600));
        assert_eq!(Rate::parse("0").unwrap(), None);
        for wrong in ["", "-1", "6 7", "6 burst", "6 burst 0", "6/7", "six"] {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_key_has_its_own_burst_and_the_same_pace_after_it() {
        let (clock, used) = used("60 burst 3");
        for key in [1, 2] {
            assert_eq!((0..10).filter(|_| used.count(&key).is_ok()).count(), 3);
        }
        assert_eq!(used.count(&1), Err(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(2));
        assert_eq!((0..10).filter(|_| used.count(&1).is_ok()).count(), 2);
    }

    #[test]
    fn a_clock_set_back_neither_frees_nor_locks_out() {
        let (clock, used) = used("60 burst 3");
        assert_eq!((0..10).filter(|_| used.count(&1).is_ok()).count(), 3);
        clock.set(clock.now() - Duration::from_secs(3600));
        assert_eq!(used.count(&1), Err(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(used.count(&1), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let (clock, used) = used("60 burst 3");
        for key in 0..100_000 {
            let _ = used.count(&key); // beyond the most, strangers share one rate
        }
        assert_eq!(used.keys(), MAX_KEYS);
        clock.advance(Duration::from_secs(60));
        assert_eq!(used.count(&1_000_000), Ok(()));
        assert_eq!(used.keys(), 1);
    }
}
