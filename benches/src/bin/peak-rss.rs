//! No budget: runs a command and prints the largest resident set of it, in KiB, on standard error.

use std::io::Write as _;
use std::process::{Command, ExitCode};

use nix::sys::resource::{UsageWho, getrusage};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let ended = arguments.next().map(|program| Command::new(program).args(arguments).status());
    match (ended, getrusage(UsageWho::RUSAGE_CHILDREN)) {
        (Some(Ok(_)), Ok(usage)) => {
            let _ = writeln!(std::io::stderr(), "{}", usage.max_rss());
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}
