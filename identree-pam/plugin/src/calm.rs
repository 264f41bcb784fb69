//! Being a quiet guest in somebody else's process: no panic gets out, and the signal mask is given back.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use nix::errno::Errno;
use nix::sys::signal::SigSet;

/// Runs `work`; `None` if it panicked. Nothing is printed: the hook belongs to this shared object's own standard library,
/// and is changed for the time of the call only.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = take_hook();
    set_hook(Box::new(|_| {}));
    // What `work` leaves half done is dropped with it; what outlasts the call is in files, changed by rename.
    let end = catch_unwind(AssertUnwindSafe(work));
    set_hook(before);
    end.ok()
}

/// The signal mask as the program had it, restored on drop. Signals that came meanwhile are the program's again then.
pub(crate) struct Mask(SigSet);

impl Mask {
    pub(crate) fn keep() -> Result<Self, Errno> {
        SigSet::thread_get_mask().map(Self)
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}
