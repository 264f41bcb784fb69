//! From verdicts to the return codes of PAM (`pam_sm_authenticate(3)`, `pam_sm_acct_mgmt(3)`).

use core::ffi::c_int;

use identree_pam::Verdict;
use identree_pam::facts::Phase;

use crate::ffi;

/// The code of a verdict; only a proven yes (or the break-glass password) is `PAM_SUCCESS`.
///
/// In *auth*: a no that stands is `PAM_MAXTRIES`, so that sshd does not try again; sudo tries `passwd_tries` times whatever
/// the code (each further try is refused at once). What is broken is `PAM_AUTHINFO_UNAVAIL` (the server) or
/// `PAM_SERVICE_ERR` (this host), what was interrupted `PAM_ABORT`; at the latter two sudo stops at once. In *account* a no
/// is `PAM_PERM_DENIED`. What is left to sudo's plugin is no `PAM_IGNORE`: with nothing else in the stack libpam takes that
/// for a no.
pub(crate) fn code(phase: Phase, verdict: &Verdict) -> c_int {
    let no = |auth| match phase {
        Phase::Auth => auth,
        Phase::Account => ffi::PERM_DENIED,
    };
    match verdict {
        Verdict::Granted(_) | Verdict::BrokenGlass | Verdict::LeftToPlugin => ffi::SUCCESS,
        Verdict::Refused(_) | Verdict::RefusedBefore(_) | Verdict::NotAsked(_) | Verdict::Unsafe(_) => {
            no(ffi::MAXTRIES)
        }
        Verdict::TimedOut => no(ffi::AUTH_ERR),
        Verdict::Unreachable(_) => ffi::AUTHINFO_UNAVAIL,
        Verdict::Misconfigured(_) => ffi::SERVICE_ERR,
        Verdict::Cancelled(_) => ffi::ABORT,
    }
}

#[cfg(test)]
mod tests {
    use identree_pam::{Interruption, NotAsked};

    use super::*;

    #[test]
    fn no_other_verdict_is_a_yes() {
        let why = || "why".to_owned();
        for verdict in [
            Verdict::TimedOut,
            Verdict::RefusedBefore(0),
            Verdict::Unreachable(why()),
            Verdict::NotAsked(NotAsked::NoReason),
            Verdict::Unsafe(why()),
            Verdict::Misconfigured(why()),
            Verdict::Cancelled(Interruption::Signal),
        ] {
            for phase in [Phase::Auth, Phase::Account] {
                let code = code(phase, &verdict);
                assert!(code != ffi::SUCCESS && code != ffi::IGNORE, "{verdict:?}");
            }
        }
        assert_eq!(code(Phase::Auth, &Verdict::BrokenGlass), ffi::SUCCESS);
    }
}
