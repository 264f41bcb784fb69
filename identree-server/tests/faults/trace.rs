//! What the kernel saw: no write is answered before its data was made durable.

use std::path::Path;
use std::process::Command;

use identree_core::rng::{OsEntropy, bytes};
use identree_core::wire::v1::Status;
use rustix::process::Signal;

use crate::crash::signed;
use crate::place::Place;
use crate::{PATIENCE, require};

/// One system call: the lines of the trace at which it began and ended.
#[derive(Debug)]
struct Call {
    began: usize,
    ended: usize,
    text: String,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.text.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    }

    /// Whether its first argument is the write-ahead log.
    fn of_log(&self) -> bool {
        self.text.split([',', ')']).next().is_some_and(|first| first.ends_with("identree.db-wal>"))
    }
}

/// Reads `PID name(…) = result`; a call that another thread's call cuts in two stands on two lines.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: Vec<(&str, usize, &str)> = Vec::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            open.push((pid, at, begin));
        } else if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            let Some(found) = open.iter().position(|(of, ..)| *of == pid) else { continue };
            let (_, began, begin) = open.remove(found);
            calls.push(Call { began, ended: at, text: format!("{begin}{end}") });
        } else {
            calls.push(Call { began: at, ended: at, text: rest.to_owned() });
        }
    }
    calls
}

/// Asserts that what holds the mark was written to the log, then synced, and only then answered; returns where the answer
/// stands.
fn assert_durable_first(calls: &[Call], mark: &str, answer: &str, after: usize) -> usize {
    let written = calls
        .iter()
        .find(|call| call.is(&["pwrite64", "write"]) && call.of_log() && call.text.contains(mark))
        .unwrap_or_else(|| panic!("{mark} was never written"));
    let synced = calls
        .iter()
        .filter(|call| call.is(&["fdatasync", "fsync"]) && call.of_log() && call.began > written.ended)
        .filter(|call| call.text.ends_with("= 0"))
        .map(|call| call.ended)
        .min()
        .unwrap_or_else(|| panic!("{mark} was never synced"));
    let sent = calls
        .iter()
        .filter(|call| call.is(&["sendto", "write", "writev", "sendmsg"]) && call.text.contains(answer))
        .map(|call| call.began)
        .filter(|began| *began > after)
        .min()
        .unwrap_or_else(|| panic!("{mark} was never answered"));
    assert!(sent > synced, "{mark} was answered at {sent}, and synced at {synced}");
    sent
}

#[test]
fn no_write_is_answered_before_its_log_is_synced() {
    let may = Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success());
    if !require("strace, with the right to trace", may) {
        return;
    }
    let place = Place::new();
    let trace = place.path("trace");
    let calls_wanted = "trace=fsync,fdatasync,write,pwrite64,writev,sendto,sendmsg";
    let mut server =
        place.serve_in(&["strace", "-f", "-D", "-y", "-q", "-s", "9000", "-e", calls_wanted, "-o", text(&trace)]);
    server.until("the identity provider");
    let host = place.host("web1");
    let mut ann = signed(&place, &host, "ann");

    // One after the other, each with something of its own that stands in nothing else.
    let mut wanted: Vec<(String, String)> = Vec::new();
    let ids: Vec<_> = (0..3)
        .map(|_| {
            let reply = host.ask("ann", &bytes(&OsEntropy)).unwrap().reply();
            let code = reply.user_code.unwrap().as_str().to_owned();
            wanted.push((code.clone(), code));
            reply.challenge_id
        })
        .collect();
    let token = ann.token.clone();
    let mut press = |path: &str, fields: &[(&str, &str)]| {
        let fields = [&[("csrf_token", &*token)], fields].concat();
        assert_eq!(ann.person.try_post(path, &fields).unwrap(), 303, "{path}");
    };
    let [approved, denied] = [&ids[0], &ids[1]].map(ToString::to_string);
    press("/api/challenges/approve", &[("challenge_id", &approved)]);
    wanted.push(("challenge_approved".into(), "303 See Other".into()));
    press("/api/challenges/reject", &[("challenge_id", &denied)]);
    wanted.push(("challenge_denied".into(), "303 See Other".into()));
    assert_eq!(host.cancel(ids[2]).unwrap().reply().status, Status::Cancelled);
    wanted.push(("challenge_cancelled".into(), "\\\"status\\\":\\\"cancelled\\\"".into()));
    press("/signout", &[]);
    wanted.push(("signed_out".into(), "303 See Other".into()));

    // Beside each other: groups of several in one transaction.
    let together: Vec<_> = (0..8)
        .map(|_| {
            let host = host.clone();
            std::thread::spawn(move || host.ask("ada", &bytes(&OsEntropy)).unwrap().reply().user_code.unwrap())
        })
        .collect();
    let together: Vec<_> = together.into_iter().map(|ask| ask.join().unwrap().as_str().to_owned()).collect();
    let pid = server.pid();
    server.signal(Signal::TERM);
    assert!(server.ended().0.success());

    let trace = settled(&trace, pid);
    let calls = calls(&trace);
    let mut after = 0;
    for (mark, answer) in &wanted {
        after = assert_durable_first(&calls, mark, answer, after);
    }
    for code in &together {
        assert_durable_first(&calls, code, code, after);
    }
    let count =
        |names: &[&str], of_log: bool| calls.iter().filter(|call| call.is(names) && (!of_log || call.of_log())).count();
    let (synced, written) = (count(&["fdatasync", "fsync"], true), count(&["pwrite64", "write"], true));
    assert!(synced >= wanted.len() && written >= synced, "{synced} syncs, {written} writes of the log");
    eprintln!("{} answered writes; the log was written {written} times and synced {synced} times", wanted.len() + 8);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The whole trace: strace runs on beside its program, and writes the program's end last.
#[expect(clippy::disallowed_methods, reason = "a real process runs by the real clock")]
fn settled(path: &Path, pid: u32) -> String {
    let deadline = std::time::Instant::now() + PATIENCE;
    let is_end = |line: &str| line.starts_with(&format!("{pid} ")) && line.ends_with("+++ exited with 0 +++");
    loop {
        let trace = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        if trace.lines().any(is_end) {
            return trace;
        }
        assert!(std::time::Instant::now() < deadline, "the trace has no end");
        std::thread::yield_now();
    }
}
