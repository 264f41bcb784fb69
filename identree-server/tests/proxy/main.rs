//! The recipes of `docs/operations.md`, as they stand there, in front of the real `identree serve`: real nginx, Caddy and
//! HAProxy, people with curl for a browser, and hosts that ask with the helper's own code.
//!
//! Where a proxy or curl is missing its tests say so and pass, except in CI (`CI=true`), where they fail.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "in a test, what fails says where")]

mod browser;
mod deciding;
mod forwarding;
mod lines;
mod long;
mod outage;
mod provider;
mod proxy;
mod recipe;
mod requester;
#[expect(dead_code, reason = "the tests of several servers start several")]
mod site;

/// No event here takes nearly as long; reached only when something hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// Each check, once for each proxy.
macro_rules! behind_each_proxy {
    ($($check:path as $name:ident;)*) => {
        mod nginx { $(#[test] fn $name() { $check(crate::recipe::Kind::Nginx); })* }
        mod caddy { $(#[test] fn $name() { $check(crate::recipe::Kind::Caddy); })* }
        mod haproxy { $(#[test] fn $name() { $check(crate::recipe::Kind::Haproxy); })* }
    };
}

behind_each_proxy! {
    crate::deciding::people_sign_in_and_decide as people_sign_in_and_decide;
    crate::forwarding::requests_arrive_as_they_should as requests_arrive_as_they_should;
    crate::outage::a_restart_is_survived_and_an_outage_allows_nothing as a_restart_is_survived_and_an_outage_allows_nothing;
}
