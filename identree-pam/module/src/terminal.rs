//! The person, reached through the program's own conversation.

use identree_core::secret::Secret;
use identree_pam::{Canvas, Echo, Terminal};

use crate::ffi;
use crate::handle::Handle;

/// Shows and asks through PAM.
pub(crate) struct PamTerminal<'a> {
    pub(crate) handle: &'a Handle,
    /// Whether the program shows nothing before it prompts.
    pub(crate) holds_back: bool,
    /// The terminal's name, where there is one.
    pub(crate) tty: Option<String>,
}

impl Terminal for PamTerminal<'_> {
    fn say(&mut self, line: &str) {
        // A program that shows nothing is told nothing; the answer does not depend on it.
        let _ = self.handle.converse(ffi::TEXT_INFO, line);
    }

    fn warn(&mut self, line: &str) {
        let _ = self.handle.converse(ffi::ERROR_MSG, line);
    }

    fn canvas(&self) -> Option<Canvas> {
        // In sshd the terminal is the other side's, and a prompt is no place to draw.
        self.tty.as_ref().filter(|_| !self.holds_back).and_then(|tty| Canvas::of(tty, std::process::id()))
    }

    fn holds_back(&self) -> bool {
        self.holds_back
    }

    fn ask(&mut self, prompt: &str, echo: Echo) -> Option<Secret<String>> {
        let style = match echo {
            Echo::On => ffi::PROMPT_ECHO_ON,
            Echo::Off => ffi::PROMPT_ECHO_OFF,
        };
        self.handle.converse(style, prompt)
    }
}
