//! The person, reached through sudo's own conversation function.
#![expect(unsafe_code, reason = "the conversation is a C function; each block says why it is sound")]

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use std::ffi::CString;

use identree_core::secret::Secret;
use identree_pam::{Echo, Terminal};
use zeroize::Zeroize as _;

use crate::ffi::{self, Conversation, Message, Reply};

/// Shows lines on the terminal, on standard error where there is none; never on standard output, which is the command's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SudoTerminal {
    conversation: Conversation,
    /// Whether sudo was told to ask nothing (`-n`).
    mute: bool,
}

impl SudoTerminal {
    /// # Safety
    /// `conversation` is the function that sudo passed to `open`; it stays valid until sudo ends.
    pub(crate) const unsafe fn new(conversation: Conversation, mute: bool) -> Self {
        Self { conversation, mute }
    }

    /// Sends one message; the reply's bytes, if sudo took it.
    fn converse(&self, kind: c_int, text: &str) -> Option<Secret<String>> {
        let text = CString::new(text).ok()?;
        let message = Message { kind: kind | ffi::PREFER_TTY, timeout: 0, text: text.as_ptr() };
        let mut reply = Reply { text: ptr::null_mut() };
        let (message, answer): (*const c_void, *mut c_void) = ((&raw const message).cast(), (&raw mut reply).cast());
        // SAFETY: one message and one reply are announced and there are as many; both outlive the call, and no callback is
        // allowed (sudo_plugin(5)).
        let code = unsafe { (self.conversation)(1, message, answer, ptr::null_mut()) };
        let answer = take(&reply);
        if code == 0 { Some(answer) } else { None }
    }
}

/// The reply's text; what sudo allocated for it is wiped and freed.
fn take(reply: &Reply) -> Secret<String> {
    if reply.text.is_null() {
        return Secret::new(String::new());
    }
    // SAFETY: sudo filled it with a string that ends in NUL, and it is ours until freed.
    let length = unsafe { CStr::from_ptr(reply.text) }.to_bytes().len();
    // SAFETY: that many bytes belong to the string, and nobody else looks at it.
    let bytes = unsafe { core::slice::from_raw_parts_mut(reply.text.cast::<u8>(), length) };
    let text = String::from_utf8_lossy(bytes).into_owned();
    bytes.zeroize();
    // SAFETY: it came from malloc (sudo_plugin(5)) and is not used again.
    unsafe { ffi::free(reply.text.cast()) };
    Secret::new(text)
}

impl Terminal for SudoTerminal {
    fn say(&mut self, line: &str) {
        // Where nothing can be shown nobody can be told; the answer does not depend on it.
        let _ = self.converse(ffi::ERROR_MSG, &format!("{line}\n"));
    }

    fn ask(&mut self, prompt: &str, echo: Echo) -> Option<Secret<String>> {
        let kind = match echo {
            Echo::On => ffi::PROMPT_ECHO_ON,
            Echo::Off => ffi::PROMPT_ECHO_OFF,
        };
        if self.mute { None } else { self.converse(kind, prompt) }
    }
}
