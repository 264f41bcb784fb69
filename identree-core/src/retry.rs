//! What a caller may do after an error, and how long it waits before it tries again.

use std::time::Duration;

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call may succeed later.
    Later,
    /// The same call will fail again.
    Never,
}

/// Pauses between tries: twice as long each time, up to a limit. There is no jitter: whoever retries in identree shares a
/// bounded number of places, so that no crowd arrives at once.
///
/// ```
/// # use std::time::Duration;
/// # use identree_core::retry::Backoff;
/// let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// assert_eq!([0, 1, 4, 5, 99].map(|tries| backoff.after(tries).as_secs()), [1, 2, 16, 30, 30]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// The first pause and the longest.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The pause after so many failed retries; 0 is the first pause.
    pub fn after(&self, tries: u32) -> Duration {
        self.first.saturating_mul(2u32.saturating_pow(tries)).min(self.most)
    }
}
