//! The two clocks of the host: one that only runs forward, for every decision, and the calendar's, for the credential.

use std::ops::{Add, Sub};
use std::time::Duration;

use nix::time::ClockId;

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
    let (secs, nanos) = read(ClockId::CLOCK_BOOTTIME);
    let millis = secs.saturating_mul(1000).saturating_add(nanos / 1_000_000);
    Moment::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Seconds since the epoch, as the credential states them. The server allows for 90 s of difference.
pub fn calendar_secs() -> i64 {
    read(ClockId::CLOCK_REALTIME).0
}

/// Seconds and nanoseconds. Every kernel since 2.6.39 has both clocks, and reading them cannot fail.
fn read(clock: ClockId) -> (i64, i64) {
    // Through libc: rustix calls the vDSO by itself, which no instrumented run (callgrind) survives.
    clock.now().map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec()))
}
