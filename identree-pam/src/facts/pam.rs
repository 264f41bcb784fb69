//! What `pam_exec` tells: the `PAM_*` variables, the only part of the environment that is ever read.

use std::ffi::OsString;

use identree_core::challenge::LoginKind;
use identree_core::id::ServiceName;
use identree_core::text::visible;

/// The PAM phase a question is asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `auth`.
    Auth,
    /// `account`: the phase that cached tickets and NOPASSWD rules do not skip.
    Account,
}

/// Which program asks, by its PAM service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `sudo`, `sudo-i`.
    Sudo,
    /// `su`, `su-l`.
    Su,
    /// `sshd`, `login`: who asks is known to PAM alone.
    Login(LoginKind),
}

/// What PAM says about the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PamItems {
    /// The service.
    pub service: ServiceName,
    /// What the service is.
    pub program: Program,
    /// `PAM_USER`: for su the target, for sudo the person; never taken for who asks.
    pub user: String,
    /// `PAM_RUSER`, if the program said who asks.
    pub ruser: Option<String>,
    /// `PAM_RHOST`, from where somebody logs in.
    pub rhost: Option<String>,
    /// `PAM_TTY`, if there is a terminal.
    pub tty: Option<String>,
}

/// Why the call is not one that can be asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PamError {
    /// Not started by `pam_exec`, or with a value that is not text.
    #[error("{0} is missing or not text: this program is started by pam_exec, see identree-pam --help")]
    Variable(&'static str),
    /// Set twice: by PAM, and by whatever filled PAM's environment before. Which of both would count is chance.
    #[error("{0} is set twice; let no PAM module put PAM_* names into the environment (pam_env, user_readenv)")]
    Repeated(String),
    /// A phase that is not known.
    #[error("unknown PAM phase '{0}'")]
    Phase(String),
    /// Another service.
    #[error("the PAM service '{0}' is not supported; the supported ones are sudo, sudo-i, su, su-l, sshd and login")]
    Service(String),
}

impl Phase {
    /// Reads `PAM_TYPE` through `get`; `None` where there is nothing to ask: sessions and password changes pass.
    ///
    /// # Errors
    /// [`PamError`] if it is missing or unknown.
    pub fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, PamError> {
        match &*need(&get, "PAM_TYPE")? {
            "auth" => Ok(Some(Self::Auth)),
            "account" => Ok(Some(Self::Account)),
            "open_session" | "close_session" | "password" => Ok(None),
            other => Err(PamError::Phase(visible(other).into_owned())),
        }
    }
}

impl PamItems {
    /// Reads the variables through `get`.
    ///
    /// # Errors
    /// [`PamError`] says which variable is wrong.
    pub fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, PamError> {
        let service = need(&get, "PAM_SERVICE")?;
        let program = match &*service {
            "sudo" | "sudo-i" => Program::Sudo,
            "su" | "su-l" => Program::Su,
            "sshd" => Program::Login(LoginKind::SshLogin),
            "login" => Program::Login(LoginKind::Login),
            _ => return Err(PamError::Service(visible(&service).into_owned())),
        };
        let service = ServiceName::parse(&service).map_err(|_| PamError::Service(visible(&service).into_owned()))?;
        let (user, ruser, tty) = (need(&get, "PAM_USER")?, filled(&get, "PAM_RUSER")?, filled(&get, "PAM_TTY")?);
        let rhost = filled(&get, "PAM_RHOST")?;
        Ok(Self { service, program, user, ruser, rhost, tty })
    }
}

/// Refuses an environment in which a `PAM_*` name stands twice.
///
/// # Errors
/// [`PamError::Repeated`] with the first such name.
pub fn each_once(names: impl Iterator<Item = OsString>) -> Result<(), PamError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names.filter(|name| name.as_encoded_bytes().starts_with(b"PAM_")) {
        let shown = visible(&name.to_string_lossy()).into_owned();
        if !seen.insert(name) {
            return Err(PamError::Repeated(shown));
        }
    }
    Ok(())
}

/// The variable's text, if it is set and not empty.
fn filled(get: impl Fn(&str) -> Option<OsString>, name: &'static str) -> Result<Option<String>, PamError> {
    let text = get(name).map(|value| value.into_string().map_err(|_| PamError::Variable(name))).transpose()?;
    Ok(text.filter(|value| !value.is_empty()))
}

fn need(get: impl Fn(&str) -> Option<OsString>, name: &'static str) -> Result<String, PamError> {
    filled(get, name)?.ok_or(PamError::Variable(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    }

    #[test]
    fn auth_and_account_ask_and_the_others_pass() {
        for (kind, phase) in [
            ("auth", Some(Phase::Auth)),
            ("account", Some(Phase::Account)),
            ("open_session", None),
            ("close_session", None),
            ("password", None),
        ] {
            assert_eq!(Phase::from_variables(variables(&[("PAM_TYPE", kind)])), Ok(phase));
        }
        assert!(matches!(Phase::from_variables(variables(&[("PAM_TYPE", "x")])), Err(PamError::Phase(_))));
        assert_eq!(Phase::from_variables(variables(&[])), Err(PamError::Variable("PAM_TYPE")));
    }

    #[test]
    fn no_name_of_pam_stands_twice() {
        let names = |names: &'static [&'static str]| each_once(names.iter().map(OsString::from));
        assert_eq!(names(&["PAM_TYPE", "PAM_USER", "HOME", "HOME"]), Ok(()));
        assert_eq!(names(&["PAM_TYPE", "PAM_USER", "PAM_TYPE"]), Err(PamError::Repeated("PAM_TYPE".into())));
    }

    #[test]
    fn only_known_services_and_complete_calls() {
        let call = |service| {
            PamItems::from_variables(variables(&[("PAM_SERVICE", service), ("PAM_USER", "ann"), ("PAM_TTY", "")]))
        };
        assert_eq!(call("sudo-i").unwrap().program, Program::Sudo);
        assert_eq!(call("su-l").unwrap().program, Program::Su);
        assert_eq!(call("sudo").unwrap().tty, None, "sudo without a terminal sends an empty name");
        assert_eq!(call("sshd").unwrap().program, Program::Login(LoginKind::SshLogin));
        assert!(call("cron").unwrap_err().to_string().contains("'cron' is not supported"));
        let nobody = PamItems::from_variables(variables(&[("PAM_SERVICE", "sudo")]));
        assert_eq!(nobody, Err(PamError::Variable("PAM_USER")));
    }
}
