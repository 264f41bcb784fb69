//! What lasts: a host that waits and a page that is open, longer than a request is held and longer than a proxy's patience.

use std::time::Duration;

use identree_core::time::{Clock as _, SystemClock};
use identree_pam::Verdict;

use crate::recipe::Kind;
use crate::requester::Asking;
use crate::site::Site;

/// As long as a host's request rests.
const WAIT: Duration = Duration::from_secs(25);
/// How soon after the press of the button the host must know, however busy the machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// All three at the same time: nearly a minute passes in which nothing happens.
#[test]
fn waits_and_streams_outlast_a_minute_without_any_event() {
    std::thread::scope(|scope| {
        for kind in [Kind::Nginx, Kind::Caddy, Kind::Haproxy].into_iter().filter(|kind| kind.is_here()) {
            scope.spawn(move || outlasts(kind));
        }
    });
}

fn outlasts(kind: Kind) {
    let site = Site::start(kind);
    let ann = site.browser(20);
    ann.sign_in("ann");
    let events = ann.events(&format!("{}/api/events", site.origin));
    let event = |from, name: &str| {
        let line = format!("event: {name}");
        events.lines.after(from, name, |got| got == line);
    };
    event(0, "hello");

    // Each event arrives before the next is caused: nothing waits in a buffer until more comes.
    let asking = Asking::start(site.host_file());
    let page = asking.page();
    event(0, "challenge_created");

    // The server ends a wait after 25 s, the host begins the next one, on the connection that it has.
    let (began, from) = (SystemClock.now(), site.servers[0].log.count());
    let ended = |line: &str| line.contains("path=\"/api/challenge/") && line.contains("status=");
    let first = site.servers[0].log.after(from, "end of the first wait", ended);
    // It may have begun a moment before we looked.
    assert!(first.contains("status=200 ") && SystemClock.now().since(began) + AT_ONCE >= WAIT, "{first}");
    // Two waits are longer than the 40 s of the recipes. The stream says now and then that it is alive, nothing else.
    while SystemClock.now().since(began) < WAIT * 2 {
        let from = events.lines.count();
        event(from, "alive");
    }
    let (pressed, from) = (SystemClock.now(), events.lines.count());
    ann.approve(&page);
    let verdict = asking.verdict();
    let took = SystemClock.now().since(pressed);
    assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
    assert!(took < AT_ONCE, "{took:?}");
    event(from, "challenge_resolved");

    let answers = site.servers[0].log.all();
    let bad = answers
        .lines()
        .find(|line| line.contains("/api/challenge/") && line.contains("status=") && !line.contains("status=200"));
    assert_eq!(bad, None);
    let ends = answers.lines().filter(|line| ended(line)).count();
    assert_eq!(ends, 3, "two whole waits and the answered one:\n{answers}");
    assert_eq!(
        answers.lines().filter(|line| line.contains("path=\"/api/events\" ")).count(),
        1,
        "one stream, never cut"
    );
}
