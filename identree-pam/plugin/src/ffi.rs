//! sudo's plugin interface as C sees it: types and numbers of `sudo_plugin.h`, API 1.15 (sudo 1.9.3) to 1.22.

use core::ffi::{c_char, c_int, c_uint, c_void};

/// A list of strings that ends in a null pointer; the list itself may be null.
pub type List = *const *const c_char;

/// `struct sudo_conv_message`.
#[repr(C)]
pub(crate) struct Message {
    pub(crate) kind: c_int,
    pub(crate) timeout: c_int,
    pub(crate) text: *const c_char,
}

/// `struct sudo_conv_reply`; `text` comes from malloc.
#[repr(C)]
pub(crate) struct Reply {
    pub(crate) text: *mut c_char,
}

/// `sudo_conv_t`.
pub type Conversation = unsafe extern "C" fn(c_int, *const c_void, *mut c_void, *mut c_void) -> c_int;

/// `sudo_printf_t`, not used: the conversation shows lines too, and can say that they belong on the terminal.
pub type Printf = unsafe extern "C" fn(c_int, *const c_char, ...) -> c_int;

/// `struct approval_plugin`.
#[repr(C)]
#[derive(Debug)]
pub struct ApprovalPlugin {
    /// `SUDO_APPROVAL_PLUGIN`.
    pub kind: c_uint,
    /// The API it was written for.
    pub version: c_uint,
    /// Called once, before the policy is asked.
    pub open: unsafe extern "C" fn(
        c_uint,
        Option<Conversation>,
        Option<Printf>,
        List,
        List,
        c_int,
        List,
        List,
        List,
        *mut *const c_char,
    ) -> c_int,
    /// Called at the end, where `open` succeeded.
    pub close: extern "C" fn(),
    /// Called after the policy has said yes.
    pub check: unsafe extern "C" fn(List, List, List, *mut *const c_char) -> c_int,
    /// Called for `sudo -V`.
    pub show_version: extern "C" fn(c_int) -> c_int,
}

/// `SUDO_APPROVAL_PLUGIN`.
pub(crate) const APPROVAL_PLUGIN: c_uint = 4;
/// `SUDO_API_VERSION` 1.15: the first with approval plugins.
pub(crate) const API_VERSION: c_uint = version(1, 15);

/// `SUDO_API_MKVERSION`.
pub(crate) const fn version(major: c_uint, minor: c_uint) -> c_uint {
    major << 16 | minor
}

pub(crate) const ACCEPT: c_int = 1;
pub(crate) const DENY: c_int = 0;
pub(crate) const ERROR: c_int = -1;

pub(crate) const PROMPT_ECHO_OFF: c_int = 1;
pub(crate) const PROMPT_ECHO_ON: c_int = 2;
pub(crate) const ERROR_MSG: c_int = 3;
/// Flag: on the terminal where there is one, so that nothing of ours gets into the command's output.
pub(crate) const PREFER_TTY: c_int = 0x2000;

#[expect(unsafe_code, reason = "a foreign function; terminal.rs alone calls it")]
unsafe extern "C" {
    pub(crate) fn free(pointer: *mut c_void);
}
