//! What breaks, drawn by a seed, and how it is mended.

use std::time::Duration;

use identree_core::rng::{Entropy, bytes};
use identree_core::time::{Clock as _, SystemClock};
use identree_evidence::peer::Stop;
use rustix::process::Signal;

use super::relay::Line;
use super::site::{SERVERS, Site, confinable, faketime};
use crate::PATIENCE;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A server is killed.
    Kill(usize),
    /// The server that seals is killed.
    KillSealer,
    /// A server is told to stop.
    Terminate(usize),
    /// A server stands still, longer than a lease lasts, and goes on as if nothing had been.
    Freeze(usize),
    /// The server that seals does.
    FreezeSealer,
    /// PostgreSQL is restarted.
    Restart,
    /// PostgreSQL dies.
    Crash,
    /// PostgreSQL cannot be reached by one server, or by any; or says nothing any more.
    Line(Option<usize>, Line),
    /// PostgreSQL has no room left on its disk: it refuses to write, or ends.
    Full,
    /// The clock of the last server is set by so many seconds.
    Clock(i64),
}

/// How long it stays so, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) u64);

/// The next one, and for how long.
pub(crate) fn draw(random: &dyn Entropy) -> (Fault, Span) {
    let [kind, server, long] = bytes::<3>(random).map(usize::from);
    let server = server % SERVERS;
    let span = |from: u64, to: u64| Span(from + long as u64 * (to - from) / 255);
    match kind % 16 {
        0..=2 => (Fault::Kill(server), span(0, 500)),
        3 | 4 => (Fault::KillSealer, span(0, 500)),
        5 => (Fault::Terminate(server), span(0, 300)),
        6 => (Fault::Freeze(server), span(500, 4000)),
        7 => (Fault::FreezeSealer, span(1000, 9000)),
        8 => (Fault::Restart, span(0, 500)),
        10 if confinable() => (Fault::Full, span(500, 4000)),
        9 | 10 => (Fault::Crash, span(0, 500)),
        11 => (Fault::Line(None, Line::Cut), span(100, 3000)),
        12 => (Fault::Line(None, Line::Stalled), span(100, 4000)),
        13 => (Fault::Line(Some(server), Line::Cut), span(100, 4000)),
        14 => (Fault::Line(Some(server), Line::Stalled), span(100, 8000)),
        _ if faketime().is_some() => (Fault::Clock(if long % 2 == 0 { 3600 } else { -3600 }), span(1500, 3000)),
        _ => (Fault::Kill(server), span(0, 500)),
    }
}

/// Breaks it, leaves it so for a while, and mends it.
pub(crate) fn inject(site: &mut Site, fault: Fault, span: Span) {
    match fault {
        Fault::Kill(server) => restart(site, server, Signal::KILL, span),
        Fault::Terminate(server) => restart(site, server, Signal::TERM, span),
        Fault::KillSealer => {
            let server = site.sealer().unwrap_or(0);
            restart(site, server, Signal::KILL, span);
        }
        Fault::Freeze(server) => freeze(site, server, span),
        Fault::FreezeSealer => {
            let server = site.sealer().unwrap_or(0);
            freeze(site, server, span);
        }
        Fault::Restart | Fault::Crash => {
            site.cluster.down(if fault == Fault::Restart { Stop::Fast } else { Stop::Immediate });
            stay(span);
            site.cluster.up();
        }
        Fault::Full => {
            site.cluster.fill();
            stay(span);
            site.cluster.free();
        }
        Fault::Line(server, line) => {
            let set = |to| {
                let lines = site.servers.iter().enumerate().filter(|(at, _)| server.is_none_or(|server| server == *at));
                lines.for_each(|(_, server)| server.line.set(to));
            };
            set(line);
            stay(span);
            set(Line::Open);
        }
        Fault::Clock(offset) => {
            site.step(offset);
            let last = SERVERS - 1;
            // It sees by itself that it must not decide.
            wait_until("a server with a wrong clock is not ready", || !site.is_ready(last));
            stay(span);
            site.step(0);
            if offset > 0 {
                // Within a process time never goes back (decision 13): it ends by itself, to be started anew.
                let mut running = site.servers[last].running.take().unwrap();
                running.until("stopping, to be started anew");
                let (status, said) = running.ended();
                assert_eq!(status.code(), Some(75), "{said}");
                site.serve(last);
            }
        }
    }
    for server in 0..SERVERS {
        wait_until(&format!("server {server} is ready again after {fault:?}"), || site.is_ready(server));
    }
}

fn restart(site: &mut Site, server: usize, signal: Signal, span: Span) {
    site.end(server, signal);
    stay(span);
    site.serve(server);
}

fn freeze(site: &Site, server: usize, span: Span) {
    site.signal(server, Signal::STOP);
    stay(span);
    site.signal(server, Signal::CONT);
}

/// How long a fault lasts is what is drawn: there is no event to wait for.
fn stay(Span(millis): Span) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Waits for what a server says when it is asked.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = SystemClock.now();
    while !holds() {
        assert!(SystemClock.now().since(began) < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
