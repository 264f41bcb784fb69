//! The two clocks of the host: one that only runs forward, for every decision, and the calendar's, for the credential.

use std::ops::{Add, Sub};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment on the clock that counts from boot, sleep included (`CLOCK_BOOTTIME`); nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// From milliseconds since boot.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Milliseconds since boot.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// How much later this is than `earlier`; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

/// Now, counted from boot, in whole milliseconds, so that a moment is the same after it has been written down.
pub fn now() -> Moment {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    let millis = tv_sec.saturating_mul(1000).saturating_add(tv_nsec / 1_000_000);
    Moment::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Seconds since the epoch, as the credential states them. The server allows for 90 s of difference.
pub fn calendar_secs() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}
