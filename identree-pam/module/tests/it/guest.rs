//! What the module leaves behind in the program that called it: nothing.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use identree_core::grant::Decision;

use crate::place::{machine, pamtester};
use crate::sandbox::{Sandbox, require};
use crate::server::{Server, ask_then};

/// What the kernel says about a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guest {
    descriptors: usize,
    threads: String,
    memory_kib: u64,
    /// Signals ignored, caught and blocked; umask.
    manners: Vec<String>,
}

impl Guest {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |name: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap().trim().to_owned()
        };
        Self {
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
            threads: line("Threads"),
            memory_kib: line("VmRSS").trim_end_matches(" kB").parse().unwrap(),
            manners: ["SigIgn", "SigCgt", "SigBlk", "Umask"].map(line).to_vec(),
        }
    }
}

/// Starts pamtester itself, so that the process id is its own.
fn spawn(sandbox: &Sandbox, operations: &str) -> Child {
    let mut command = sandbox.command("exec pamtester su bob $1", operations);
    command.stdin(Stdio::null()).stdout(identree_evidence::stdio("terminal")).spawn().unwrap()
}

#[test]
fn a_thousand_calls_leave_nothing() {
    const CALLS: usize = 1000;
    if !require("pamtester", Path::new("/usr/bin/pamtester").exists()) {
        return;
    }
    let (pid, seen) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (of, log) = (Arc::clone(&pid), Arc::clone(&seen));
    let server = Server::start(move |state, _, nth| {
        // The process rests in its call here. The first ones warm up caches and the allocator.
        if [20, CALLS - 1].contains(&nth) {
            log.lock().unwrap().push(Guest::of(*of.lock().unwrap()));
        }
        state.settled_last(Decision::Granted)
    });
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let mut started = pid.lock().unwrap();
    let mut child = spawn(&sandbox, &"authenticate ".repeat(CALLS));
    *started = child.id();
    drop(started);
    assert!(child.wait().unwrap().success());
    assert_eq!(server.lines().len(), CALLS, "each call is a question of its own");
    let seen = seen.lock().unwrap();
    let [early, late] = &seen[..] else { panic!("looked twice, not {}", seen.len()) };
    assert_eq!(early.threads, "1");
    assert_eq!((late.descriptors, &late.threads, &late.manners), (early.descriptors, &early.threads, &early.manners));
    let grown = late.memory_kib.saturating_sub(early.memory_kib);
    assert!(grown <= 1024, "{grown} KiB more after {CALLS} calls");
}

#[test]
fn valgrind_finds_nothing() {
    if !require("valgrind", Path::new("/usr/bin/valgrind").exists()) {
        return;
    }
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let passed_over = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/valgrind.supp");
    let leaks = "--leak-check=full --errors-for-leak-kinds=definite --keep-debuginfo=yes";
    let valgrind = format!("valgrind --quiet {leaks} --error-exitcode=99 --suppressions={passed_over}");
    let phases = "authenticate acct_mgmt setcred open_session close_session";
    let (code, output) = crate::place::as_root(&sandbox, &format!("{valgrind} pamtester su bob {phases}")).finish();
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("approved by bob"), "{output}");
}

#[test]
fn nothing_is_printed_but_through_the_conversation() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server, "ALL") else { return };
    // Every variable that our libraries would read to say more.
    let line = "RUST_BACKTRACE=full RUST_LOG=trace SSLKEYLOGFILE=/run/keys pamtester su bob authenticate; ls /run/keys";
    let (_, output) = crate::place::as_root(&sandbox, line).finish();
    assert!(output.contains("approved by bob") && output.contains("cannot access '/run/keys'"), "{output}");
    assert!(pamtester(&sandbox, "su bob setcred").is_none_or(|(code, _)| code == 0));
}
