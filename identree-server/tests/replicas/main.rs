//! Three `identree serve` over one PostgreSQL, behind HAProxy as `docs/operations.md` has it: round robin, nothing sticks.
//!
//! Where PostgreSQL, HAProxy or curl is missing the tests say so and pass, except in CI (`CI=true`), where they fail.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "in a test, what fails says where")]

#[path = "../proxy/browser.rs"]
mod browser;
mod deciding;
#[path = "../proxy/lines.rs"]
mod lines;
#[path = "../proxy/provider.rs"]
mod provider;
#[path = "../proxy/proxy.rs"]
#[expect(dead_code, reason = "the tests of proxies look closer")]
mod proxy;
#[path = "../proxy/recipe.rs"]
mod recipe;
#[path = "../proxy/requester.rs"]
mod requester;
mod rolling;
#[path = "../proxy/site.rs"]
#[expect(dead_code, reason = "the tests of proxies look closer")]
mod site;

/// No event here takes nearly as long; reached only when something hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);
