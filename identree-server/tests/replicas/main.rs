//! Three `identree serve` over one PostgreSQL, behind HAProxy and nginx as `docs/operations.md` has them: round robin, nothing sticks.
//!
//! Where PostgreSQL, a proxy or curl is missing the tests say so and pass, except in CI (`CI=true`), where they fail.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "in a test, what fails says where")]

#[path = "../proxy/browser.rs"]
mod browser;
mod deciding;
mod dying;
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

/// Each check, once for each proxy that has a recipe for several servers.
macro_rules! behind_each_proxy {
    ($($check:path as $name:ident;)*) => {
        mod haproxy { $(#[test] fn $name() { $check(crate::recipe::Kind::Haproxy); })* }
        mod nginx { $(#[test] fn $name() { $check(crate::recipe::Kind::Nginx); })* }
    };
}

behind_each_proxy! {
    crate::deciding::people_and_hosts_go_from_server_to_server as people_and_hosts_go_from_server_to_server;
    crate::deciding::what_ends_on_one_server_is_over_on_all as what_ends_on_one_server_is_over_on_all;
    crate::dying::waits_and_streams_outlive_each_server as waits_and_streams_outlive_each_server;
    crate::dying::a_machine_that_is_silent_costs_no_answer as a_machine_that_is_silent_costs_no_answer;
}
