//! The terminal of the one who runs this, whatever the standard streams are.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};

use identree_core::secret::Secret;
use identree_pam::terminal::Echo;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The controlling terminal, open.
#[derive(Debug)]
pub(crate) struct Tty(File);

impl Tty {
    /// `None` where there is none.
    pub(crate) fn open() -> Option<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    pub(crate) fn show(&self, text: &str) -> io::Result<()> {
        (&self.0).write_all(text.as_bytes())
    }

    /// One line, without its newline.
    pub(crate) fn ask(&mut self, prompt: &str, echo: Echo) -> io::Result<Secret<String>> {
        let line = {
            // Before the prompt: what is typed as soon as it shows is neither seen nor thrown away.
            let _quiet = (echo == Echo::Off).then(|| Quiet::on(&self.0)).transpose()?;
            self.show(prompt)?;
            self.line()?
        };
        if echo == Echo::Off {
            self.show("\n")?;
        }
        Ok(line)
    }

    fn line(&self) -> io::Result<Secret<String>> {
        let mut line = Zeroizing::new(String::new());
        BufReader::new(&self.0).read_line(&mut line)?;
        let length = line.trim_end_matches(['\n', '\r']).len();
        line.truncate(length);
        Ok(Secret::new(std::mem::take(&mut *line)))
    }
}

/// While it lives, what is typed is not shown.
struct Quiet<'a>(&'a File, Termios);

impl<'a> Quiet<'a> {
    fn on(tty: &'a File) -> io::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(tty, OptionalActions::Flush, &quiet)?;
        Ok(Self(tty, before))
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}
