//! A clock that never goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::Timestamp;
use super::clock::{BoxFuture, Clock, SystemClock};

/// How late a sleeper may notice that the wall clock was set forward.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// The system's clock, except that it never goes back: when the wall clock is set back, time here goes on at its pace, ahead
/// of the wall clock by as much until the process starts anew. When the wall clock is set forward, time here follows at once.
///
/// So nothing lives longer than its life, measured on the monotonic clock, whatever happens to the wall clock meanwhile.
/// Cheap to clone; all clones are one clock.
#[derive(Debug, Clone)]
pub struct SteadyClock {
    start: Instant,
    lead: Arc<Lead>,
}

/// How far the wall clock has been ahead of the monotonic one at most, in milliseconds.
#[derive(Debug)]
struct Lead(AtomicI64);

impl Lead {
    const fn new() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// The time, from a reading of the wall clock and a later one of the monotonic clock.
    fn time(&self, wall: i64, monotonic: i64) -> i64 {
        let lead = wall.saturating_sub(monotonic);
        monotonic.saturating_add(self.0.fetch_max(lead, Ordering::Relaxed).max(lead))
    }
}

impl SteadyClock {
    /// Starts at the wall clock's time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn new() -> Self {
        Self { start: Instant::now(), lead: Arc::new(Lead::new()) }
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        // In this order: whatever passes between the two readings makes the lead smaller, which counts for nothing.
        let wall = self.wall().as_millis();
        let monotonic = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.lead.time(wall, monotonic))
    }

    fn wall(&self) -> Timestamp {
        SystemClock.now()
    }

    #[expect(clippy::disallowed_methods, reason = "one of the two places that sleep")]
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let left = deadline.since(clock.now());
                if left.is_zero() {
                    return;
                }
                // Time here never goes slower than a timer, so that one sleep is enough; a step forward cuts it short.
                tokio::time::sleep(left.min(LONGEST_NAP)).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_wall_clock_set_back_does_not_take_time_with_it() {
        let lead = Lead::new();
        assert_eq!(lead.time(10 * HOUR, 0), 10 * HOUR);
        assert_eq!(lead.time(10 * HOUR + 5000, 5000), 10 * HOUR + 5000);
        // An hour back: what began before ends when it would have ended, and what begins now lives as long as it should.
        assert_eq!(lead.time(9 * HOUR + 6000, 6000), 10 * HOUR + 6000);
        assert_eq!(lead.time(9 * HOUR + 126_000, 126_000), 10 * HOUR + 126_000);
        // And forward again.
        assert_eq!(lead.time(10 * HOUR + 127_000, 127_000), 10 * HOUR + 127_000);
    }

    #[test]
    fn a_wall_clock_set_forward_is_followed_at_once() {
        let lead = Lead::new();
        assert_eq!(lead.time(10 * HOUR, 0), 10 * HOUR);
        assert_eq!(lead.time(11 * HOUR + 1000, 1000), 11 * HOUR + 1000);
        assert_eq!(lead.time(10 * HOUR + 2000, 2000), 11 * HOUR + 2000, "and back: the hour is lost to all that lived");
    }

    #[test]
    fn a_pause_between_the_two_readings_moves_nothing() {
        let lead = Lead::new();
        assert_eq!(lead.time(10 * HOUR, 0), 10 * HOUR);
        assert_eq!(lead.time(10 * HOUR + 1000, 61_000), 10 * HOUR + 61_000);
        assert_eq!(lead.time(10 * HOUR + 62_000, 62_000), 10 * HOUR + 62_000);
    }

    #[tokio::test]
    async fn it_shows_the_time_and_wakes_when_it_is_reached() {
        let clock = SteadyClock::new();
        let began = clock.now();
        assert!(began.since(clock.wall()) < Duration::from_secs(1));
        clock.sleep_until(began + Duration::from_millis(5)).await;
        assert!(clock.now() >= began + Duration::from_millis(5));
        assert!(clock.clone().now() >= began, "a clone is the same clock");
    }
}
