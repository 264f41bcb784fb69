//! Programs that tests run against and do not bring along.

mod postgres;

pub use self::postgres::{Cluster, Stop};

/// Whether a missing program fails the test: in CI (`CI=true`); elsewhere its tests say that they did not run, and pass.
#[expect(clippy::disallowed_methods, reason = "where tests run is told by their environment")]
pub fn must() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}
