//! Being a quiet guest in somebody else's process: no panic gets out, and the signal mask is given back.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use nix::errno::Errno;
use nix::sys::signal::SigSet;

/// Runs `work`; `None` if it panicked. Nothing is printed: the hook belongs to the standard library of the one shared object
/// that this is part of, and is changed for the time of the call only.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = take_hook();
    set_hook(Box::new(|_| {}));
    // What `work` leaves half done is dropped with it; what outlasts the call is in files, changed by rename.
    let end = catch_unwind(AssertUnwindSafe(work));
    set_hook(before);
    end.ok()
}

/// The signal mask as the program had it, restored on drop. Signals that came meanwhile are the program's again then.
#[derive(Debug)]
pub struct Mask(SigSet);

impl Mask {
    /// Keeps it as it is now.
    ///
    /// # Errors
    /// What the system says; then nothing was kept.
    pub fn keep() -> Result<Self, Errno> {
        SigSet::thread_get_mask().map(Self)
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn a_panic_is_told_to_nobody_and_the_hook_is_put_back() {
        let told = Arc::new(AtomicUsize::new(0));
        let (count, here) = (Arc::clone(&told), std::thread::current().id());
        let before = take_hook();
        set_hook(Box::new(move |_| {
            // The tests of other files panic too.
            if std::thread::current().id() == here {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }));
        assert_eq!(quietly(|| 7), Some(7));
        assert_eq!(quietly(|| -> u8 { panic!("in the module") }), None);
        assert_eq!(told.load(Ordering::SeqCst), 0);
        assert!(catch_unwind(|| panic!("in the program")).is_err());
        assert_eq!(told.load(Ordering::SeqCst), 1, "the program's own hook again");
        set_hook(before);
    }

    #[test]
    fn the_mask_is_given_back() {
        let before = SigSet::thread_get_mask().unwrap();
        let mask = Mask::keep().unwrap();
        let mut more = before;
        more.add(Signal::SIGUSR2);
        more.thread_set_mask().unwrap();
        drop(mask);
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
