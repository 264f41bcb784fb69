//! How long what was asked about and what runs are apart under a sudo without plugins.

use crate::place::{config, stack};
use crate::sandbox::{Sandbox, require};
use crate::screen::Screen;
use crate::server::{Server, allow};
use crate::sudo_rs::program;

/// Seconds at the start of a line of `strace -ttt -f`, behind the process number.
fn at(line: &str) -> f64 {
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Prints it (`cargo test -p identree-pam-module --test it window -- --nocapture`). strace makes it longer, never shorter.
#[test]
fn from_the_command_line_to_exec_it_is_the_answer_that_takes_time() {
    let server = Server::start(allow);
    let Some(sandbox) = Sandbox::with_pam(&stack(&config(&server)).join("\n"), "ALL") else { return };
    let Some(program) = program() else { return };
    if !require("strace", std::path::Path::new("/usr/bin/strace").exists()) {
        return;
    }
    let trace = server.folder.path().join("trace");
    let last = format!(
        "mkdir /run/bin; install -m 4755 {} /run/bin/sudo; exec script -qec \"$1\" /dev/null",
        program.display()
    );
    let line = format!(
        "strace -f -ttt -e trace=openat,execve,sendto,recvfrom,write -o {} setpriv --reuid=64001 --regid=64001 --clear-groups /run/bin/sudo true",
        trace.display()
    );
    let (code, output) = Screen::of(sandbox.command(&last, &line)).finish();
    assert_eq!(code, 0, "{output}");
    let trace = std::fs::read_to_string(trace).unwrap();
    let read = trace.lines().find(|line| line.contains("/cmdline\"")).expect(&trace);
    let runs = trace.lines().find(|line| line.contains("execve(\"/") && line.contains("/true\"")).expect(&trace);
    let window = (at(runs) - at(read)) * 1000.0;
    eprintln!("from reading the command line to exec, with an answer at once: {window:.1} ms");
    assert!(window > 0.0, "the question comes before what it is about");
}
