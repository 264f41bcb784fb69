//! Waiting for the lock of a file, but not for ever: who holds it may have been stopped, perhaps on purpose.

use std::time::Duration;

use rustix::event::{Timespec, poll};
use rustix::fd::AsFd;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::clock::now;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// In all.
    pub(crate) within: Duration,
    /// From one try to the next.
    pub(crate) retry: Timespec,
}

/// Locks the file until it is closed; `false` if somebody else has it all that time.
///
/// # Errors
/// What the system says.
pub(crate) fn take(file: impl AsFd, patience: Patience) -> Result<bool, Errno> {
    let until = now() + patience.within;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK | Errno::INTR) if now() < until => {
                let _ = poll(&mut [], Some(&patience.retry));
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(false),
            Err(cause) => return Err(cause),
        }
    }
}
