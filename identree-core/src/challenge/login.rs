//! The question that a login asks: over ssh, or at a console.

use serde::{Deserialize, Serialize};

use super::{Challenge, Detail, Label, Payload, Summary};
use crate::canon::Writer;
use crate::id::{ChallengeKind, ServiceName, Target, UserName};

/// By which door somebody would come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LoginKind {
    /// From another machine, by ssh.
    SshLogin,
    /// At a console of the host.
    Login,
}

impl LoginKind {
    /// The kind's name, as rules match it (`match_kinds`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SshLogin => "ssh-login",
            Self::Login => "login",
        }
    }

    /// The kind of questions.
    ///
    /// # Panics
    /// Never: the names are valid kinds.
    pub fn kind(self) -> ChallengeKind {
        ChallengeKind::parse(self.as_str()).expect("the names are valid kinds")
    }
}

/// May this person log in to this host?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginChallenge {
    target: Target,
    target_groups: Vec<String>,
    facts: LoginFacts,
}

/// What the host states about one login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginFacts {
    /// By which door.
    pub kind: LoginKind,
    /// The PAM service that asks.
    pub service: ServiceName,
    /// The account that would be logged in to, whose owner is the one who asks: nobody is proven at this point.
    pub requester: UserName,
    /// From where, as the service says (`PAM_RHOST`): an address or a name.
    pub remote: Option<String>,
    /// The terminal, where there is one.
    pub tty: Option<String>,
    /// Why, in the requester's words.
    pub reason: Option<String>,
}

/// Facts that do not make a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Longer than an approver could be shown in full.
    #[error("the {what} is longer than {max} bytes, more than can be shown in full")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The limit in bytes.
        max: usize,
    },
}

impl LoginChallenge {
    /// The longest remote name, in bytes: the longest name of DNS (RFC 1035 §2.3.4).
    pub const MAX_REMOTE_BYTES: usize = 255;
    /// The longest terminal name.
    pub const MAX_TTY_BYTES: usize = 256;
    /// The longest reason, in bytes (500 characters of any script).
    pub const MAX_REASON_BYTES: usize = 2000;

    /// Checks the facts' sizes. `target` is the host that proved itself, never a name it sent.
    ///
    /// # Errors
    /// [`LoginError`] says what is too long; nothing is cut.
    pub fn new(target: Target, target_groups: Vec<String>, facts: LoginFacts) -> Result<Self, LoginError> {
        for (what, text, max) in [
            ("remote name", &facts.remote, Self::MAX_REMOTE_BYTES),
            ("terminal name", &facts.tty, Self::MAX_TTY_BYTES),
            ("reason", &facts.reason, Self::MAX_REASON_BYTES),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > max) {
                return Err(LoginError::TooLong { what, max });
            }
        }
        Ok(Self { target, target_groups, facts })
    }

    /// What the host stated.
    pub const fn facts(&self) -> &LoginFacts {
        &self.facts
    }
}

impl Challenge for LoginChallenge {
    fn kind(&self) -> ChallengeKind {
        self.facts.kind.kind()
    }

    fn requester(&self) -> &UserName {
        &self.facts.requester
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn summary(&self) -> Summary {
        let LoginFacts { kind, service, requester, remote, tty, reason } = &self.facts;
        // In the form of a command, which reads the same in every language.
        let action = match kind {
            LoginKind::SshLogin => format!("ssh {requester}@{}", self.target.name()),
            LoginKind::Login => format!("login {requester}"),
        };
        let mut details = Vec::new();
        if let Some(remote) = remote {
            details.push(Detail { label: Label::Remote, value: remote.clone() });
        }
        if let Some(tty) = tty {
            details.push(Detail { label: Label::Terminal, value: tty.clone() });
        }
        details.push(Detail { label: Label::Service, value: service.to_string() });
        Summary { action, reason: reason.clone(), details }
    }

    fn payload(&self) -> Payload {
        let LoginFacts { kind, service, requester, remote, tty, reason } = &self.facts;
        let mut writer = Writer::new(b"identree login payload v1");
        writer.put_text(kind.as_str());
        writer.put_text(service.as_str());
        writer.put_text(requester.as_str());
        for field in [remote, tty, reason] {
            // Absent and empty are different.
            writer.put(if field.is_some() { &[1] } else { &[0] });
            writer.put(field.as_ref().map(String::as_bytes).unwrap_or_default());
        }
        Payload::new(writer.finish())
    }

    fn target_groups(&self) -> &[String] {
        &self.target_groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::HostName;

    fn facts() -> LoginFacts {
        LoginFacts {
            kind: LoginKind::SshLogin,
            service: ServiceName::parse("sshd").unwrap(),
            requester: UserName::parse("ann").unwrap(),
            remote: Some("203.0.113.7".into()),
            tty: None,
            reason: None,
        }
    }

    fn ask(facts: LoginFacts) -> Result<LoginChallenge, LoginError> {
        LoginChallenge::new(Target::Host(HostName::parse("web1").unwrap()), vec![], facts)
    }

    #[test]
    fn every_fact_is_bound() {
        let base = ask(facts()).unwrap().payload().sha256();
        let changed: [fn(&mut LoginFacts); 6] = [
            |f| f.kind = LoginKind::Login,
            |f| f.service = ServiceName::parse("login").unwrap(),
            |f| f.requester = UserName::parse("bob").unwrap(),
            |f| f.remote = None,
            |f| f.tty = Some(String::new()),
            |f| f.reason = Some("203.0.113.7".into()),
        ];
        for change in changed {
            let mut facts = facts();
            change(&mut facts);
            assert_ne!(ask(facts).unwrap().payload().sha256(), base);
        }
    }

    #[test]
    fn an_approver_reads_who_from_where_to_what() {
        let summary = ask(facts()).unwrap().summary();
        assert_eq!(summary.action, "ssh ann@web1");
        assert_eq!(summary.details[0], Detail { label: Label::Remote, value: "203.0.113.7".into() });
        assert_eq!(ask(facts()).unwrap().kind().as_str(), "ssh-login");
    }

    #[test]
    fn nothing_is_cut() {
        let long = LoginFacts { remote: Some("x".repeat(256)), ..facts() };
        assert_eq!(ask(long), Err(LoginError::TooLong { what: "remote name", max: 255 }));
    }
}
