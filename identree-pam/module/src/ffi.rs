//! libpam as C sees it: types, numbers and functions of Linux-PAM 1.x (`security/_pam_types.h`, `security/pam_ext.h`).
#![expect(unsafe_code, reason = "foreign functions are unsafe to call; handle.rs alone calls them")]

use core::ffi::{c_char, c_int, c_void};

/// What libpam knows about one transaction; opaque.
#[repr(C)]
pub struct PamHandle {
    private: [u8; 0],
}

/// `struct pam_message`.
#[repr(C)]
pub(crate) struct Message {
    pub(crate) style: c_int,
    pub(crate) text: *const c_char,
}

/// `struct pam_response`; `text` comes from malloc.
#[repr(C)]
pub(crate) struct Response {
    pub(crate) text: *mut c_char,
    pub(crate) unused: c_int,
}

/// `struct pam_conv`.
#[repr(C)]
pub(crate) struct Conversation {
    pub(crate) call: Option<ConversationFunction>,
    pub(crate) data: *mut c_void,
}

pub(crate) type ConversationFunction =
    unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

pub(crate) const SUCCESS: c_int = 0;
pub(crate) const SERVICE_ERR: c_int = 3;
pub(crate) const PERM_DENIED: c_int = 6;
pub(crate) const AUTH_ERR: c_int = 7;
pub(crate) const AUTHINFO_UNAVAIL: c_int = 9;
pub(crate) const MAXTRIES: c_int = 11;
pub(crate) const IGNORE: c_int = 25;
pub(crate) const ABORT: c_int = 26;

/// The caller wants nothing shown.
pub(crate) const SILENT: c_int = 0x8000;

pub(crate) const ITEM_SERVICE: c_int = 1;
pub(crate) const ITEM_TTY: c_int = 3;
pub(crate) const ITEM_RHOST: c_int = 4;
pub(crate) const ITEM_CONVERSATION: c_int = 5;
pub(crate) const ITEM_RUSER: c_int = 8;

pub(crate) const PROMPT_ECHO_OFF: c_int = 1;
pub(crate) const PROMPT_ECHO_ON: c_int = 2;
pub(crate) const ERROR_MSG: c_int = 3;
pub(crate) const TEXT_INFO: c_int = 4;

/// `LOG_AUTHPRIV | LOG_ERR` and `LOG_AUTHPRIV | LOG_DEBUG` (`syslog.h`).
pub(crate) const LOG_ERR: c_int = (10 << 3) | 3;
pub(crate) const LOG_DEBUG: c_int = (10 << 3) | 7;

unsafe extern "C" {
    pub(crate) fn pam_get_item(pamh: *const PamHandle, item: c_int, value: *mut *const c_void) -> c_int;
    pub(crate) fn pam_get_user(pamh: *mut PamHandle, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    pub(crate) fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
    pub(crate) fn free(pointer: *mut c_void);
}
