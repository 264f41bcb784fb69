//! Time as an argument: nothing in identree reads the clock on its own.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(feature = "engine")]
mod clock;
#[cfg(feature = "engine")]
mod steady;

#[cfg(feature = "engine")]
pub use self::clock::{BoxFuture, Clock, ManualClock, SystemClock};
#[cfg(feature = "engine")]
pub use self::steady::SteadyClock;

/// What two readings may differ by: of one clock when work runs beside each other, and of the clocks of two servers over one
/// store, each of which decides nothing once it is two seconds off the store's.
const SAME_MOMENT: Duration = Duration::from_secs(5);

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The end of time: later than every deadline.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// How much later this is than `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whether this was written down by a clock that has gone back since: it lies more than five seconds after `now`. How old
    /// such a thing is cannot be told, so that whatever has a life counts as over.
    pub fn is_from_the_future(self, now: Self) -> bool {
        self > now + SAME_MOMENT
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-25T03:04:05.678Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.as_secs();
        let (days, in_day) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            in_day / 3600,
            in_day / 60 % 60,
            in_day % 60,
            self.0.rem_euclid(1000)
        )
    }
}

/// Year, month and day of a day number since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years
/// that begin on 1 March.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_after_now_was_written_by_another_clock() {
        let now = Timestamp::from_secs(100);
        assert!(!Timestamp::from_secs(99).is_from_the_future(now));
        assert!(!Timestamp::from_secs(105).is_from_the_future(now));
        assert!(Timestamp::from_millis(105_001).is_from_the_future(now));
    }

    #[test]
    fn shows_rfc3339() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_secs(1_709_210_096).to_string(), "2024-02-29T12:34:56.000Z");
        assert_eq!(Timestamp::from_secs(4_107_542_400).to_string(), "2100-03-01T00:00:00.000Z");
    }
}
