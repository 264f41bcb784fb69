//! One sudo, from `open` to `close`: what it said first is kept until it says what it runs.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use identree_pam::facts::SudoCall;
use identree_pam::{Process, Terminal as _, Verdict, approve, claims, guest};

use crate::options::host_file;
use crate::terminal::SudoTerminal;

/// The helper, which resolves names in a process of its own.
const RESOLVER: &str = "/usr/libexec/identree/identree-pam";

/// What is kept between the calls.
#[derive(Debug)]
pub(crate) struct Session {
    terminal: SudoTerminal,
    call: SudoCall,
    config: PathBuf,
    /// What `errstr` points to: sudo reads it before `close`.
    message: CString,
}

impl Session {
    /// Begins.
    ///
    /// # Errors
    /// A mistyped option, with its remedy.
    pub(crate) fn open(terminal: SudoTerminal, call: SudoCall, options: &[Vec<u8>]) -> Result<Self, CString> {
        let config = host_file(options).map_err(|problem| {
            let (mut terminal, problem) = (terminal, format!("identree: {problem}"));
            terminal.warn(&problem);
            c_string(&problem)
        })?;
        Ok(Self { terminal, call, config, message: CString::default() })
    }

    /// Asks about what sudo is about to run, `again` if not for the first time; whether it may. If not, the reason is in [`Session::message`].
    pub(crate) fn check(&mut self, again: bool, [command_info, argv, envp]: [Vec<Vec<u8>>; 3]) -> bool {
        self.call = SudoCall { again, command_info, argv, envp, ..std::mem::take(&mut self.call) };
        let Ok(_mask) = guest::Mask::keep() else { return false };
        let process = Process {
            pid: std::process::id(),
            real_uid: rustix::process::getuid().as_raw(),
            config: &self.config,
            owner: 0,
            claims: Path::new(claims::DIRECTORY),
            resolver: Path::new(RESOLVER),
        };
        let verdict = approve(&self.call, process, &mut self.terminal);
        self.message = c_string(&format!("identree: {}", summary(&verdict)));
        matches!(verdict, Verdict::Granted(_) | Verdict::BrokenGlass)
    }

    /// Shows one line.
    pub(crate) fn say(&mut self, line: &str) {
        self.terminal.say(line);
    }

    /// Why not, for sudo's own log.
    pub(crate) fn message(&self) -> &std::ffi::CStr {
        &self.message
    }
}

/// For sudo's log, in English; the person was told on the terminal.
fn summary(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Granted(_) | Verdict::BrokenGlass => "approved".into(),
        Verdict::Refused(answer) => format!("refused: {:?}", answer.decision),
        Verdict::LeftToPlugin => "the plugin cannot leave it to itself".into(),
        Verdict::TimedOut => "nobody answered in time".into(),
        Verdict::Cancelled(_) => "interrupted".into(),
        Verdict::RefusedBefore(_) => "already refused".into(),
        Verdict::NotAsked(_) => "not asked, because too much is asked".into(),
        Verdict::Unreachable(why) => format!("server unreachable: {why}"),
        Verdict::Unsafe(why) => format!("refused: {why}"),
        Verdict::Misconfigured(why) => format!("not set up correctly: {why}"),
    }
}

/// Without NUL bytes and hidden characters.
fn c_string(text: &str) -> CString {
    CString::new(identree_core::text::visible(text).into_owned()).unwrap_or_default()
}
