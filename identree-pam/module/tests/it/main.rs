//! The shared object under real PAM: in pamtester, sudo, su and sshd, against a scripted server over real TLS.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends when something is not as it must be")]

mod gate;
mod glass;
mod gone;
mod guest;
mod names;
mod place;
mod plugin;
mod reason;
#[path = "../../../tests/e2e/sandbox.rs"]
#[expect(dead_code, reason = "shared with the helper's tests, which use more of it")]
mod sandbox;
mod screen;
#[path = "../../../tests/it/server.rs"]
#[expect(dead_code, reason = "shared with the helper's tests, which use more of it")]
mod server;
mod ssh;
mod sudo;
mod sudo_rs;
mod window;
