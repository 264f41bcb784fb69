//! `pam_identree.so`: a person approves in a browser before sudo, su or a login goes on.
//!
//! *auth* and *account* ask, one question per calling process ([`identree_pam::claims`]); *session* and *setcred* have
//! nothing to do and succeed; *password* is ignored. It is a guest in a setuid program: no thread, no environment
//! variable, no signal handler, no panic that gets out. `docs/man/pam_identree.8` is for its users.
#![expect(unsafe_code, reason = "libpam finds the entry functions by name and hands them pointers")]

mod codes;
mod ffi;
mod handle;
mod options;
mod terminal;

use core::ffi::{c_char, c_int};
use std::ffi::OsString;
use std::path::Path;

use identree_core::challenge::LoginKind;
use identree_core::text::visible;
use identree_pam::facts::{PamItems, Phase, Program};
use identree_pam::{Place, Terminal as _, claims, gate, guest};

pub use self::ffi::PamHandle;
use self::handle::Handle;
use self::options::Options;
use self::terminal::PamTerminal;

/// The helper, which resolves names in a process of its own.
const RESOLVER: &str = "/usr/libexec/identree/identree-pam";

/// `pam_sm_authenticate(3)`.
///
/// # Safety
/// Called by libpam, with its handle and the arguments of the PAM line.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_authenticate(
    pamh: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: passed on as libpam passed it.
    unsafe { enter(Phase::Auth, pamh, flags, argc, argv) }
}

/// `pam_sm_acct_mgmt(3)`.
///
/// # Safety
/// Called by libpam, with its handle and the arguments of the PAM line.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_acct_mgmt(
    pamh: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: passed on as libpam passed it.
    unsafe { enter(Phase::Account, pamh, flags, argc, argv) }
}

/// `pam_sm_setcred(3)`: there are no credentials to set.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_setcred(_: *mut PamHandle, _: c_int, _: c_int, _: *const *const c_char) -> c_int {
    ffi::SUCCESS
}

/// `pam_sm_open_session(3)`: what was approved is settled by then.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_open_session(_: *mut PamHandle, _: c_int, _: c_int, _: *const *const c_char) -> c_int {
    ffi::SUCCESS
}

/// `pam_sm_close_session(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_close_session(_: *mut PamHandle, _: c_int, _: c_int, _: *const *const c_char) -> c_int {
    ffi::SUCCESS
}

/// `pam_sm_chauthtok(3)`: no password is kept here.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_chauthtok(_: *mut PamHandle, _: c_int, _: c_int, _: *const *const c_char) -> c_int {
    ffi::IGNORE
}

/// # Safety
/// The pointers are what libpam passed to an entry function.
unsafe fn enter(phase: Phase, pamh: *mut PamHandle, flags: c_int, argc: c_int, argv: *const *const c_char) -> c_int {
    let asked = guest::quietly(|| {
        // SAFETY: the handle is libpam's and the entry function returns after this.
        let Some(handle) = (unsafe { Handle::new(pamh) }) else { return ffi::ABORT };
        // SAFETY: as libpam passed them.
        let arguments = unsafe { handle::arguments(argc, argv) };
        ask(&handle, phase, flags & ffi::SILENT != 0, &arguments)
    });
    asked.unwrap_or(ffi::ABORT)
}

fn ask(handle: &Handle, phase: Phase, silent: bool, arguments: &[String]) -> c_int {
    let items = PamItems::from_variables(|name| variable(handle, name));
    // OpenSSH passes on what was said with the next prompt only (sshpam_query).
    let holds_back = items.as_ref().is_ok_and(|items| items.program == Program::Login(LoginKind::SshLogin));
    let mut terminal = PamTerminal { handle, holds_back, tty: items.as_ref().ok().and_then(|items| items.tty.clone()) };
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(problem) => {
            handle.log(ffi::LOG_ERR, &problem);
            terminal.warn(&format!("identree: {problem}"));
            return ffi::SERVICE_ERR;
        }
    };
    let sudo = items.as_ref().is_ok_and(|items| items.program == Program::Sudo);
    // sudo says so at every call, and the question is no chatter there: without it nobody could approve. Who else says so
    // would have it asked unseen, so it is not asked.
    if silent && !sudo {
        handle.log(ffi::LOG_ERR, "refused: the program wants nothing shown (PAM_SILENT), and nobody approves unseen");
        return ffi::AUTHINFO_UNAVAIL;
    }
    let Ok(_mask) = guest::Mask::keep() else { return ffi::ABORT };
    let place = Place {
        config: &options.config,
        claims: Path::new(claims::DIRECTORY),
        owner: 0,
        reason: options.reason,
        resolver: Path::new(RESOLVER),
    };
    let verdict = gate(phase, items, std::process::id(), place, &mut terminal);
    let code = codes::code(phase, &verdict);
    if options.debug {
        handle.log(ffi::LOG_DEBUG, &visible(&format!("{phase:?}: code {code}, exit {}", verdict.exit_code())));
    }
    code
}

/// The item that `pam_exec` would hand over under this name.
fn variable(handle: &Handle, name: &str) -> Option<OsString> {
    match name {
        "PAM_SERVICE" => handle.item(ffi::ITEM_SERVICE),
        "PAM_USER" => handle.user(),
        "PAM_RUSER" => handle.item(ffi::ITEM_RUSER),
        "PAM_TTY" => handle.item(ffi::ITEM_TTY),
        "PAM_RHOST" => handle.item(ffi::ITEM_RHOST),
        _ => None,
    }
}
