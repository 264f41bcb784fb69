//! The shared object under Debian's real sudo, and by itself in a program that calls it as sudo does, against a scripted
//! server over real TLS.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends when something is not as it must be")]

mod asks;
mod broken;
mod glass;
mod harness;
mod modes;
mod place;
#[path = "../../../tests/e2e/sandbox.rs"]
#[expect(dead_code, reason = "shared with the helper's tests, which use more of it")]
mod sandbox;
#[path = "../../../tests/it/server.rs"]
#[expect(dead_code, reason = "shared with the helper's tests, which use more of it")]
mod server;
mod signals;
mod swaps;
