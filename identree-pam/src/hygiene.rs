//! What the process asks of the kernel before it does anything else.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal, umask};

/// Ends with the caller, leaves no core dump, cannot be traced by others, creates files for its own user alone.
///
/// The environment cannot be emptied without unsafe code; it is never read beyond `PAM_*`, and children get an empty one.
///
/// # Errors
/// What the kernel answers when it refuses one of them.
pub fn settle_in() -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}
