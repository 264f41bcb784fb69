//! One call of PAM, wrapped: items, conversation and log lines without a pointer in sight.
#![expect(unsafe_code, reason = "the boundary to libpam; each block says why it is sound")]

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{self, NonNull};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use identree_core::secret::Secret;
use zeroize::Zeroizing;

use crate::ffi::{self, Conversation, Message, PamHandle, Response};

/// libpam's handle for the time of one call. Not `Send`: PAM transactions belong to one thread.
pub(crate) struct Handle(NonNull<PamHandle>);

impl Handle {
    /// `None` for a null pointer.
    ///
    /// # Safety
    /// `raw` is null or the handle that libpam passed to the entry function, which does not return while this lives.
    pub(crate) unsafe fn new(raw: *mut PamHandle) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// The text of an item, if it is set.
    pub(crate) fn item(&self, item: c_int) -> Option<OsString> {
        debug_assert_ne!(item, ffi::ITEM_CONVERSATION, "is no text");
        let text = self.raw_item(item)?.cast::<c_char>();
        // SAFETY: text items are strings that end in NUL and stay as they are until the item is set anew, which this thread
        // does not do before the copy is made.
        let text = unsafe { CStr::from_ptr(text) };
        Some(OsStr::from_bytes(text.to_bytes()).to_owned())
    }

    /// The user that PAM is about; libpam asks for the name where the program left that to it.
    pub(crate) fn user(&self) -> Option<OsString> {
        let mut name = ptr::null();
        // SAFETY: the handle is valid (`new`), `name` outlives the call, a null prompt is allowed (pam_get_user(3)).
        let code = unsafe { ffi::pam_get_user(self.0.as_ptr(), &raw mut name, ptr::null()) };
        if code != ffi::SUCCESS || name.is_null() {
            return None;
        }
        // SAFETY: after success it is a string that ends in NUL and belongs to libpam; it is copied at once.
        let name = unsafe { CStr::from_ptr(name) };
        Some(OsStr::from_bytes(name.to_bytes()).to_owned())
    }

    /// Sends one message through the program's conversation and returns the answer's bytes: empty where there is none.
    /// `None` if the program has no conversation or refuses this message.
    pub(crate) fn converse(&self, style: c_int, text: &str) -> Option<Secret<String>> {
        let text = CString::new(text).ok()?;
        let conversation = self.raw_item(ffi::ITEM_CONVERSATION)?.cast::<Conversation>();
        // SAFETY: the item is a `struct pam_conv` of the program, which keeps it for the transaction's life.
        let call = unsafe { (*conversation).call }?;
        // SAFETY: as above.
        let data = unsafe { (*conversation).data };
        let message = Message { style, text: text.as_ptr() };
        let mut messages = &raw const message;
        let mut response: *mut Response = ptr::null_mut();
        // SAFETY: one message is announced and one is there; all of it outlives the call (pam_conv(3)).
        let code = unsafe { call(1, &raw mut messages, &raw mut response, data) };
        let answer = Answer(response);
        if code == ffi::SUCCESS { answer.text() } else { None }
    }

    /// Writes one line to the system's log, in PAM's own form.
    pub(crate) fn log(&self, priority: c_int, line: &str) {
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: the format takes one string, which ends in NUL and outlives the call.
        unsafe { ffi::pam_syslog(self.0.as_ptr(), priority, c"%s".as_ptr(), line.as_ptr()) };
    }

    fn raw_item(&self, item: c_int) -> Option<*const c_void> {
        let mut value = ptr::null();
        // SAFETY: the handle is valid (`new`) and `value` outlives the call.
        let code = unsafe { ffi::pam_get_item(self.0.as_ptr(), item, &raw mut value) };
        (code == ffi::SUCCESS && !value.is_null()).then_some(value)
    }
}

/// What the conversation gave back: wiped and freed here, because the caller of a conversation owns its responses.
struct Answer(*mut Response);

impl Answer {
    fn text(&self) -> Option<Secret<String>> {
        let Some(response) = NonNull::new(self.0) else { return Some(Secret::new(String::new())) };
        // SAFETY: the program answered one message, so one response is there (pam_conv(3)).
        let text = unsafe { response.as_ref() }.text;
        if text.is_null() {
            return Some(Secret::new(String::new()));
        }
        // SAFETY: a response's text is a string from malloc that ends in NUL; it is freed in `drop`, after this copy.
        let text = unsafe { CStr::from_ptr(text) };
        let mut bytes = Zeroizing::new(text.to_bytes().to_vec());
        String::from_utf8(std::mem::take(&mut *bytes)).ok().map(Secret::new)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(response) = NonNull::new(self.0) else { return };
        // SAFETY: as in `text`.
        let text = unsafe { response.as_ref() }.text;
        if !text.is_null() {
            // SAFETY: as in `text`.
            let length = unsafe { CStr::from_ptr(text) }.to_bytes().len();
            // SAFETY: that many bytes belong to the string, and nobody else looks at it.
            let bytes = unsafe { core::slice::from_raw_parts_mut(text.cast::<u8>(), length) };
            zeroize::Zeroize::zeroize(bytes);
            // SAFETY: it came from malloc (pam_conv(3)) and is not used again.
            unsafe { ffi::free(text.cast()) };
        }
        // SAFETY: so did the response itself.
        unsafe { ffi::free(self.0.cast()) };
    }
}

/// The module's arguments in the PAM line.
///
/// # Safety
/// `argv` points to `argc` strings that end in NUL, or `argc` is 0: what libpam passes to the entry functions.
pub(crate) unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<String> {
    let count = usize::try_from(argc).unwrap_or(0);
    let mut texts = Vec::with_capacity(count);
    for at in 0..count {
        // SAFETY: `at` is below `argc`.
        let place = unsafe { argv.add(at) };
        // SAFETY: as above.
        let argument = unsafe { *place };
        // SAFETY: each is a string that ends in NUL.
        let argument = unsafe { CStr::from_ptr(argument) };
        texts.push(argument.to_string_lossy().into_owned());
    }
    texts
}
