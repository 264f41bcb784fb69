//! Tells the operator when the machine's clock was set. What follows from it, the clock itself decides
//! (`identree_core::time::SteadyClock`).

use std::sync::Arc;
use std::time::Duration;

use identree_core::time::{Clock, Timestamp};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a busy machine is late by is no step.
const SHORTEST_STEP: Duration = Duration::from_secs(5);

/// A reading of both clocks.
#[derive(Debug, Clone, Copy)]
struct Reading {
    now: Timestamp,
    wall: Timestamp,
}

/// What happened between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Back(Duration),
    Forward(Duration),
}

impl Reading {
    fn of(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), wall: clock.wall() }
    }

    /// How far the wall clock is behind.
    fn behind(self) -> Duration {
        self.now.since(self.wall)
    }

    fn step_to(self, later: Self) -> Option<Step> {
        let back = later.behind().saturating_sub(self.behind());
        let forward = self.behind().saturating_sub(later.behind());
        let slept = later.now.since(self.now).saturating_sub(LOOK_EVERY);
        if back >= SHORTEST_STEP {
            Some(Step::Back(back))
        } else if forward.max(slept) >= SHORTEST_STEP {
            Some(Step::Forward(forward.max(slept)))
        } else {
            None
        }
    }
}

/// Looks for ever, and warns of each step.
pub(crate) async fn watch(clock: Arc<dyn Clock>) {
    let mut known = Reading::of(&*clock);
    loop {
        clock.sleep_until(known.now + LOOK_EVERY).await;
        let seen = Reading::of(&*clock);
        match known.step_to(seen) {
            Some(Step::Back(by)) => tracing::warn!(
                "the machine's clock went back by {} s: times shown here stay ahead by as much until a restart; nothing \
                 lives longer, and hosts go by the clock as it is now",
                by.as_secs()
            ),
            Some(Step::Forward(by)) => tracing::warn!(
                "the machine's clock went forward by {} s, or the machine slept: what would have ended meanwhile is over",
                by.as_secs()
            ),
            None => {}
        }
        known = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(now: i64, wall: i64) -> Reading {
        Reading { now: Timestamp::from_secs(now), wall: Timestamp::from_secs(wall) }
    }

    #[test]
    fn steps_are_told_from_time_that_passes() {
        let start = reading(10_000, 10_000);
        assert_eq!(start.step_to(reading(10_001, 10_001)), None);
        assert_eq!(start.step_to(reading(10_005, 10_005)), None, "a busy machine");
        assert_eq!(start.step_to(reading(10_001, 6401)), Some(Step::Back(Duration::from_secs(3600))));
        assert_eq!(start.step_to(reading(13_601, 13_601)), Some(Step::Forward(Duration::from_secs(3600))));
        let behind = reading(10_001, 6401);
        assert_eq!(behind.step_to(reading(10_002, 6402)), None);
        assert_eq!(behind.step_to(reading(10_002, 10_002)), Some(Step::Forward(Duration::from_secs(3600))));
    }
}
