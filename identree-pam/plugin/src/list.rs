//! Copies of what sudo hands over: lists of C strings, bounded, as bytes.
#![expect(unsafe_code, reason = "the lists are C pointers; each block says why it is sound")]

use core::ffi::CStr;

use crate::ffi::List;

/// More than Linux takes for arguments and environment together (a quarter of the stack limit, 6 MiB at most).
const MAX_ENTRIES: usize = 1 << 20;

/// The strings of a list, copied. A list without an end in sight is none.
///
/// # Safety
/// `list` is null, or points to pointers to strings that end in NUL, the last pointer being null; nothing changes them
/// meanwhile.
pub(crate) unsafe fn copy(list: List) -> Vec<Vec<u8>> {
    let mut copied = Vec::new();
    if list.is_null() {
        return copied;
    }
    for at in 0..MAX_ENTRIES {
        // SAFETY: no entry before this one was null, so this one is part of the list.
        let place = unsafe { list.add(at) };
        // SAFETY: as above.
        let entry = unsafe { *place };
        if entry.is_null() {
            return copied;
        }
        // SAFETY: it is a string that ends in NUL.
        let text = unsafe { CStr::from_ptr(entry) };
        copied.push(text.to_bytes().to_vec());
    }
    Vec::new()
}
