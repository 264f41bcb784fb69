//! Servers are killed one after the other, while a host waits longer than a request rests and pages are open; and a machine says nothing.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use identree_core::time::{Clock as _, SystemClock};
use identree_pam::Verdict;
use rustix::process::Signal;

use crate::browser::{Browser, Events};
use crate::recipe::{Kind, SEVERAL};
use crate::requester::Asking;
use crate::site::Site;

/// As long as a host's request rests.
const WAIT: Duration = Duration::from_secs(25);
/// How far the clocks of a log and of a test may seem apart on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

pub(crate) fn waits_and_streams_outlive_each_server(kind: Kind) {
    let Some(mut site) = Site::of_several(kind) else { return };
    let ann = site.browser(20);
    ann.sign_in("ann");
    let (began, asking) = (SystemClock.now(), Asking::start(site.host_file()));
    let page = asking.page();
    assert!(ends_by_itself(&site), "the wait of 25 s was cut");
    let took = SystemClock.now().since(began);
    assert!(took + SLACK >= WAIT, "{took:?}");

    for number in 0..SEVERAL.len() {
        let streams: Vec<_> = (0..SEVERAL.len()).map(|to| stream_of(&site, &ann, to)).collect();
        let gone = site.servers[number].listen.clone();
        site.end(number, Signal::KILL);
        for _ in 0..2 * SEVERAL.len() {
            let answer = ann.get(&format!("{}/", site.origin));
            assert_eq!(answer.status, 200, "{}", answer.told());
            assert_ne!(answer.header("x-served-by"), Some(gone.clone()));
        }
        // A page that was open there comes back, and the others have noticed nothing.
        let back = ann.events(&format!("{}/api/events", site.origin));
        back.lines.after(0, "hello", |line| line == "event: hello");
        let from: Vec<_> = streams.iter().map(|stream| stream.lines.count()).collect();
        let other = Asking::start(site.host_file());
        ann.approve(&other.page());
        assert!(matches!(other.verdict(), Verdict::Granted(_)), "without {gone}");
        back.lines.after(0, "resolved", |line| line == "event: challenge_resolved");
        for (_, (stream, from)) in streams.iter().zip(from).enumerate().filter(|(of, _)| *of != number) {
            stream.lines.after(from, "resolved", |line| line == "event: challenge_resolved");
        }
        site.serve(number);
    }
    // Wherever it waited, that server is gone since.
    ann.approve(&page);
    let verdict = asking.verdict();
    assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
}

pub(crate) fn a_machine_that_is_silent_costs_no_answer(kind: Kind) {
    let Some(mut site) = Site::of_several(kind) else { return };
    let ann = site.browser(20);
    ann.sign_in("ann");
    let gone = site.servers[0].listen.clone();
    site.end(0, Signal::KILL);
    let _silent = silent(&gone);
    for _ in 0..2 * SEVERAL.len() {
        let answer = ann.get(&format!("{}/", site.origin));
        assert_eq!(answer.status, 200, "{}", answer.told());
        assert_ne!(answer.header("x-served-by"), Some(gone.clone()));
        let asking = Asking::start(site.host_file());
        ann.approve(&asking.page());
        assert!(matches!(asking.verdict(), Verdict::Granted(_)));
    }
}

/// Whoever connects to this address hears nothing, as of a machine that is switched off: Linux drops what comes to a full queue.
fn silent(address: &str) -> (TcpListener, Vec<TcpStream>) {
    let address: SocketAddr = address.parse().unwrap();
    let (listener, mut waiting) = (TcpListener::bind(address).unwrap(), Vec::new());
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            Ok(stream) => waiting.push(stream),
            Err(error) if error.kind() == ErrorKind::TimedOut => return (listener, waiting),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until a server has ended a host's request, and tells whether with an answer.
fn ends_by_itself(site: &Site) -> bool {
    let ended = |line: &str| line.contains("path=\"/api/challenge/") && line.contains("status=");
    let began = SystemClock.now();
    while SystemClock.now().since(began) < crate::PATIENCE {
        let tick = Duration::from_millis(50);
        if let Some(line) = site.servers.iter().find_map(|server| server.log.within(0, tick, ended)) {
            return line.contains("status=200 ");
        }
    }
    false
}

/// An event stream from this server: each new one goes to the next.
fn stream_of(site: &Site, ann: &Browser, number: usize) -> Events {
    let server = format!("x-served-by: {}", site.servers[number].listen);
    for _ in 0..4 * SEVERAL.len() {
        let stream = ann.events(&format!("{}/api/events", site.origin));
        let by = stream.lines.after(0, "name of who serves it", |line| line.starts_with("x-served-by: "));
        stream.lines.after(0, "hello", |line| line == "event: hello");
        if by.trim_end() == server {
            return stream;
        }
    }
    panic!("{kind} is never served", kind = site.servers[number].listen);
}
