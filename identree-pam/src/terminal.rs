//! Where the person sees what is going on, and answers.

use std::io::Write as _;

use identree_core::secret::Secret;

use crate::qr::Canvas;

/// Shows lines to the person who asked, and asks them back.
pub trait Terminal {
    /// Shows one complete line. It holds nothing that a terminal would take for a command.
    fn say(&mut self, line: &str);

    /// Shows one line that tells of something wrong.
    fn warn(&mut self, line: &str) {
        self.say(line);
    }

    /// How much can be drawn here; `None` for lines of text alone.
    fn canvas(&self) -> Option<Canvas> {
        None
    }

    /// Whether what is said is seen only together with the next prompt, or not at all: as in sshd.
    fn holds_back(&self) -> bool {
        false
    }

    /// Asks the person for one line. `None`: nobody can answer here (`pam_exec`, no conversation, `sudo -n`).
    fn ask(&mut self, _prompt: &str, _echo: Echo) -> Option<Secret<String>> {
        None
    }
}

/// Whether an answer may be seen while it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It is shown.
    On,
    /// It is a secret.
    Off,
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
