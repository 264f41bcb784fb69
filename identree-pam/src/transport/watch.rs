//! Waiting for bytes while keeping an eye on the one who asked: the terminal, the calling process, signals.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::TransportError;
use crate::clock::{Moment, now};
use crate::verdict::Interruption;

/// What is watched while waiting. The default watches nothing.
#[derive(Debug, Default)]
pub struct Watch {
    terminal: Option<OwnedFd>,
    caller: Option<OwnedFd>,
    signals: Option<SignalFd>,
}

/// The terminal of that name, as PAM gives it (`/dev/pts/3`, `pts/3`), without taking it over.
pub(crate) fn open_terminal(name: &str) -> Option<OwnedFd> {
    let path = if name.starts_with("/dev/") { name.to_owned() } else { format!("/dev/{name}") };
    let inside = Path::new(&path).components().all(|part| !matches!(part, std::path::Component::ParentDir));
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    inside.then(|| open(&path, flags, Mode::empty()).ok().filter(|fd| rustix::termios::isatty(fd))).flatten()
}

impl Watch {
    /// Watches the terminal by its name as PAM gives it (`/dev/pts/3`, `pts/3`). A name that cannot be opened is not watched.
    #[must_use]
    pub fn terminal(mut self, name: &str) -> Self {
        self.terminal = open_terminal(name);
        self
    }

    /// Watches the calling process. Without pidfd (Linux before 5.3) the parent-death signal does it.
    #[must_use]
    pub fn caller(mut self, pid: u32) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        self.caller = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        self
    }

    /// Takes the signals that end a process as a reason to take the question back instead.
    ///
    /// # Errors
    /// What the system says.
    pub fn signals(mut self) -> Result<Self, nix::errno::Errno> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
            set.add(signal);
        }
        set.thread_block()?;
        self.signals = Some(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?);
        Ok(self)
    }

    /// Whether the one who asked is gone, or has said so by a signal.
    pub fn interrupted(&self) -> Option<Interruption> {
        match self.wait(None, now()) {
            Err(TransportError::Interrupted(why)) => Some(why),
            _ => None,
        }
    }

    /// Stops watching, so that what remains to be said can be said.
    pub(super) fn stop(&mut self) {
        // The signals stay blocked: the process is about to end by itself.
        *self = Self::default();
    }

    /// Returns at once, with an error if `until` has come or whoever asked is gone.
    pub(super) fn look(&self, until: Moment) -> Result<(), TransportError> {
        let at = now();
        if until.since(at).is_zero() {
            return Err(TransportError::Unreachable("no answer in time".into()));
        }
        self.wait(None, at).map(drop)
    }

    /// Waits until `wanted` is ready (true) or `until` has come (false).
    pub(super) fn wait(
        &self,
        wanted: Option<(BorrowedFd<'_>, PollFlags)>,
        until: Moment,
    ) -> Result<bool, TransportError> {
        loop {
            let left = until.since(now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let watched = [
                (self.terminal.as_ref().map(|fd| fd.as_fd()), PollFlags::empty(), Interruption::HangUp),
                (self.caller.as_ref().map(|fd| fd.as_fd()), PollFlags::IN, Interruption::CallerGone),
                (self.signals.as_ref().map(|fd| fd.as_fd()), PollFlags::IN, Interruption::Signal),
            ];
            let mut why = Vec::with_capacity(4);
            let mut fds = Vec::with_capacity(4);
            for (fd, flags, interruption) in watched {
                if let Some(fd) = fd {
                    fds.push(PollFd::from_borrowed_fd(fd, flags));
                    why.push(interruption);
                }
            }
            if let Some((fd, flags)) = wanted {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
            match poll(&mut fds, Some(&timeout)) {
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(cause) => return Err(TransportError::Unreachable(cause.to_string())),
                Ok(0) => return Ok(false),
                Ok(_) => {}
            }
            // The caller before the terminal: both go when a session ends, and either means the same.
            if let Some(interruption) =
                why.iter().zip(&fds).find(|(_, fd)| !fd.revents().is_empty()).map(|(why, _)| *why)
            {
                return Err(TransportError::Interrupted(interruption));
            }
            return Ok(true);
        }
    }
}
