//! `identree serve` as a process of its own, and everything that goes wrong around it: it is killed, its disk is full, its
//! clock is set, its descriptors run out, it is told to stop in the middle of work.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "in a test, what fails says where")]

mod clock;
mod cluster;
mod crash;
mod descriptors;
mod disk;
mod host;
mod load;
#[path = "../sudo/person.rs"]
#[expect(dead_code, reason = "the tests of sudo use all of it")]
mod person;
mod place;
#[path = "../sudo/provider.rs"]
mod provider;
#[path = "../sudo/serving.rs"]
mod serving;
mod shipped;
mod stop;
mod trace;
mod two_writers;

/// No event here takes nearly as long; reached only when something hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Whether what a test needs is there; in CI it must be.
#[expect(clippy::disallowed_methods, reason = "whether this is CI, only the environment tells")]
fn require(what: &str, there: bool) -> bool {
    assert!(there || std::env::var_os("CI").is_none(), "{what} is missing");
    if !there {
        eprintln!("skipped: {what} is missing");
    }
    there
}
