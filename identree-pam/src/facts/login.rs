//! Who logs in, as PAM says: there is no process of theirs yet.

use identree_core::challenge::{LoginFacts, LoginKind};
use identree_core::id::UserName;
use identree_core::text::visible;

use super::{FactsError, PamItems};

/// Collects what a login asks. The requester is the account's owner (`PAM_USER`); that nobody has proven to be them yet is
/// what the question is for.
///
/// # Errors
/// [`FactsError::Name`] for an account that identree does not allow.
pub fn login(pam: &PamItems, kind: LoginKind) -> Result<LoginFacts, FactsError> {
    // From the network, so whatever could hide something is written out before the server refuses it.
    let shown = |text: &Option<String>| text.as_ref().map(|text| visible(text).into_owned());
    // sshd names no terminal: it says `ssh`.
    let tty = shown(&pam.tty).filter(|tty| tty != "ssh");
    Ok(LoginFacts {
        kind,
        service: pam.service.clone(),
        requester: UserName::parse(&pam.user)?,
        remote: shown(&pam.rhost),
        tty,
        reason: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pam_says_who_and_from_where() {
        let set = [("PAM_SERVICE", "sshd"), ("PAM_USER", "ann"), ("PAM_RHOST", "203.0.113.7"), ("PAM_TTY", "ssh")];
        let get = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        let facts = login(&PamItems::from_variables(get).unwrap(), LoginKind::SshLogin).unwrap();
        assert_eq!((facts.requester.as_str(), facts.remote.as_deref(), facts.tty), ("ann", Some("203.0.113.7"), None));
    }
}
