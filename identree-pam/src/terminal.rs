//! Where the person sees what is going on.

use std::io::Write as _;

/// Shows lines to the person who asked.
pub trait Terminal {
    /// Shows one complete line. It holds nothing that a terminal would take for a command.
    fn say(&mut self, line: &str);
}

/// Standard output, which `pam_exec`'s option `stdout` passes on line by line.
#[derive(Debug, Default)]
pub struct Stdout;

impl Terminal for Stdout {
    fn say(&mut self, line: &str) {
        // One write per line, so that the line appears at once; if nobody reads, nobody can be told.
        let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
    }
}
