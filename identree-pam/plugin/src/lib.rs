//! `sudo_identree.so`: a person approves in a browser exactly what classic sudo is about to run.
//!
//! sudo calls [`identree_approval`]'s `check` after its policy has said yes, for `NOPASSWD` rules and cached tickets too, and
//! runs nothing if that returns 0. It is a guest in a setuid program: no thread, no environment variable, no signal
//! handler, no panic that gets out. `docs/man/sudo_identree.8` is for its users.
#![expect(unsafe_code, reason = "sudo finds the plugin by a symbol and hands it pointers")]

mod ffi;
mod list;
mod options;
mod session;
mod terminal;

use core::ffi::{c_char, c_int, c_uint};
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use identree_pam::facts::SudoCall;
use identree_pam::guest;

pub use self::ffi::{ApprovalPlugin, Conversation, List, Printf};
use self::session::Session;
use self::terminal::SudoTerminal;

/// What sudo looks for: `Plugin identree_approval /usr/libexec/identree/sudo_identree.so` in sudo.conf.
#[unsafe(no_mangle)]
pub static identree_approval: ApprovalPlugin =
    ApprovalPlugin { kind: ffi::APPROVAL_PLUGIN, version: ffi::API_VERSION, open, close, check, show_version };

/// sudo keeps no state for its plugins; `open` begins it and `close` ends it.
static SESSION: Mutex<Option<Session>> = Mutex::new(None);
/// Whether this process has asked; under `Defaults intercept` it asks again for what the command starts.
static ASKED: AtomicBool = AtomicBool::new(false);
/// What `errstr` points to where no session began.
static PROBLEM: Mutex<Option<CString>> = Mutex::new(None);

/// # Safety
/// Called by sudo, with its own functions and lists (`sudo_plugin(5)`).
unsafe extern "C" fn open(
    version: c_uint,
    conversation: Option<Conversation>,
    _: Option<Printf>,
    settings: List,
    user_info: List,
    _: c_int,
    _: List,
    submit_envp: List,
    plugin_options: List,
    errstr: *mut *const c_char,
) -> c_int {
    let opened = guest::quietly(|| {
        // Another major version has other structures; before 1.15 there was no approval plugin.
        if version >> 16 != 1 || version < ffi::API_VERSION {
            return Err(c"identree: this sudo's plugin API is not 1.15 or a later 1.x".to_owned());
        }
        let conversation = conversation.ok_or_else(|| c"identree: sudo has no conversation".to_owned())?;
        // SAFETY: lists as sudo hands them over.
        let [settings, user_info, submit_envp, options] =
            [settings, user_info, submit_envp, plugin_options].map(|list| unsafe { list::copy(list) });
        let mute = settings.iter().any(|entry| entry == b"noninteractive=true");
        // SAFETY: the conversation is sudo's.
        let terminal = unsafe { SudoTerminal::new(conversation, mute) };
        let call = SudoCall { settings, user_info, submit_envp, ..SudoCall::default() };
        Session::open(terminal, call, &options)
    });
    match opened {
        Some(Ok(session)) => {
            *SESSION.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
            ffi::ACCEPT
        }
        Some(Err(problem)) => {
            let mut kept = PROBLEM.lock().unwrap_or_else(PoisonError::into_inner);
            let problem = kept.insert(problem).as_ptr();
            // SAFETY: `errstr` is sudo's place for it; the string is kept until another takes its place.
            unsafe { tell(errstr, problem) };
            ffi::ERROR
        }
        None => ffi::ERROR,
    }
}

extern "C" fn close() {
    *SESSION.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// # Safety
/// Called by sudo, with its own lists (`sudo_plugin(5)`), after `open`.
unsafe extern "C" fn check(command_info: List, argv: List, envp: List, errstr: *mut *const c_char) -> c_int {
    let mut kept = SESSION.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(session) = kept.as_mut() else { return ffi::ERROR };
    let allowed = guest::quietly(|| {
        // SAFETY: lists as sudo hands them over.
        let run = [command_info, argv, envp].map(|list| unsafe { list::copy(list) });
        // sudo opens and closes its approval plugins around each check.
        session.check(ASKED.swap(true, Ordering::Relaxed), run)
    });
    if allowed == Some(true) {
        return ffi::ACCEPT;
    }
    // SAFETY: `errstr` is sudo's place for it; the session keeps the string until `close`.
    unsafe { tell(errstr, session.message().as_ptr()) };
    if allowed.is_some() { ffi::DENY } else { ffi::ERROR }
}

extern "C" fn show_version(_: c_int) -> c_int {
    let shown = guest::quietly(|| {
        if let Some(session) = SESSION.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            session.say(concat!("identree approval plugin version ", env!("CARGO_PKG_VERSION")));
        }
    });
    if shown.is_some() { ffi::ACCEPT } else { ffi::ERROR }
}

/// # Safety
/// `errstr` is null or a place to write to; `text` is a string that outlives sudo's use of it.
unsafe fn tell(errstr: *mut *const c_char, text: *const c_char) {
    if !errstr.is_null() {
        // SAFETY: it is a place to write to.
        unsafe { *errstr = text };
    }
}
