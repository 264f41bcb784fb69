//! The helper against a scripted server over real TLS; and, where the machine has them, under real sudo and PAM.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends when something is not as it must be")]

mod answers;
mod binary;
#[cfg(feature = "fuzzing")]
mod corpora;
#[path = "../e2e/mod.rs"]
mod e2e;
mod server;
mod wire;
