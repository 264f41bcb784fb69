//! The real server in front of a real browser and a certified OpenID provider.
//!
//! Needs Node.js, `/usr/bin/chromium` and `npm ci` in this folder. Where one is missing the tests say so and pass, except
//! in CI (`CI=true`), where they fail. Screenshots are left in the target's temporary directory (`…/tmp/screenshots`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends when something is not as it must be"
)]

mod browser;
mod deciding;
mod following;
mod lines;
mod looks;
mod person;
mod requester;
mod sign_in;
mod world;

use std::path::Path;
use std::process::Command;

/// The folder of the scripts and their packages.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e");
const CHROMIUM: &str = "/usr/bin/chromium";

/// Whether everything that the tests drive is on this machine.
fn equipped() -> bool {
    let node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    let missing = if !node {
        "Node.js"
    } else if !Path::new(CHROMIUM).exists() {
        CHROMIUM
    } else if !Path::new(HERE).join("node_modules").exists() {
        "node_modules; run `npm ci` in identree-server/tests/e2e"
    } else {
        return true;
    };
    #[expect(clippy::disallowed_methods, reason = "what a test must do when it cannot run depends on where it runs")]
    let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!must, "missing: {missing}");
    eprintln!("not run, missing: {missing}");
    false
}
