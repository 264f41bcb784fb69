//! Where the time comes from, and a clock for tests.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::Timestamp;

/// A future that is sent between threads and borrowed from nothing unless it says so.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the time comes from: [`SteadyClock`](super::SteadyClock) in production, [`ManualClock`] in tests.
///
/// The engine asks it for every decision and sleeps on it for every deadline; embedders take the engine's own
/// ([`Engine::clock`](crate::Engine::clock)), so that one clock rules.
///
/// # What it must guarantee
///
/// - [`now`](Self::now) never waits.
/// - [`sleep_until`](Self::sleep_until) is judged by `now`, not by a duration measured at its start, so that a step is noticed.
///
/// ```
/// use std::time::Duration;
/// use identree_core::time::{BoxFuture, Clock, SystemClock, Timestamp};
///
/// /// A clock that is wrong by an hour, to see what breaks.
/// #[derive(Debug)]
/// struct Ahead;
///
/// impl Clock for Ahead {
///     fn now(&self) -> Timestamp {
///         SystemClock.now() + Duration::from_secs(3600)
///     }
///     fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
///         SystemClock.sleep_until(deadline - Duration::from_secs(3600))
///     }
/// }
/// ```
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now, by which every life here is measured.
    fn now(&self) -> Timestamp;

    /// What the machine's own clock shows, for comparison with clocks elsewhere: the same, unless that clock has gone back.
    fn wall(&self) -> Timestamp {
        self.now()
    }

    /// Completes when `now()` has reached the deadline; at once if it has already.
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()>;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
    fn wall(&self) -> Timestamp {
        (**self).wall()
    }
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        (**self).sleep_until(deadline)
    }
}

/// The system's wall clock as it is: when somebody sets it back, time here goes back too. What measures lives wants a
/// [`SteadyClock`](super::SteadyClock).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Long sleeps are cut into pieces, so that a stepped wall clock is noticed.
    const LONGEST_NAP: Duration = Duration::from_secs(1);
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let left = deadline.since(Self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(Self::LONGEST_NAP)).await;
            }
        })
    }
}

/// A clock that moves only when told: for tests and simulations.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    /// How far the wall clock has been set back, in milliseconds.
    behind: Arc<AtomicI64>,
}

impl ManualClock {
    /// Starts at the given time.
    pub fn new(start: Timestamp) -> Self {
        Self { now: watch::Sender::new(start), behind: Arc::default() }
    }

    /// Moves the time forward and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = *now + by);
    }

    /// Sets the time, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now);
    }

    /// Sets the wall clock back; as with a [`SteadyClock`](super::SteadyClock), time itself does not follow.
    pub fn set_wall_back(&self, by: Duration) {
        self.behind.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    /// 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp::from_secs(1_767_225_600))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.now().as_millis().saturating_sub(self.behind.load(Ordering::Relaxed)))
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= deadline).await.is_err() {
                std::future::pending::<()>().await; // the clock is gone: that time never comes
            }
        })
    }
}
