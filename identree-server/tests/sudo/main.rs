//! Debian's sudo, `pam_exec` and the real helper against the real `identree serve`: one machine, end to end. The people are
//! signed in at the development provider and send the pages' own forms; signing in has tests of its own.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "in a test, what fails says where")]

mod answers;
mod hosts;
mod outage;
mod person;
mod plugin;
mod provider;
mod rules;
#[path = "../../../identree-pam/tests/e2e/sandbox.rs"]
#[expect(dead_code, reason = "the helper's own tests use all of it")]
mod sandbox;
#[expect(dead_code, reason = "the tests of faults look closer")]
mod serving;
mod site;
mod who_asks;

/// No event here takes nearly as long; reached only when something hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
