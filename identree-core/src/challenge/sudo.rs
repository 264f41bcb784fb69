//! The question that `sudo`, `su` and their kin ask.

use super::{Challenge, Detail, Label, Payload, RunAs, Summary};
use crate::canon::Writer;
use crate::id::{ChallengeKind, ServiceName, Target, UserName};
use crate::text::{command_line, visible_bytes};

use serde::{Deserialize, Serialize};

/// Where the host learned the command from, which says how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandSource {
    /// The calling process's own command line in procfs: what the person typed, `sudo` and its options included. Under
    /// `pam_exec` there is no better source; sudo's rules decide afterwards what it really runs.
    CallerCommandLine,
}

impl CommandSource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CallerCommandLine => "caller_command_line",
        }
    }
}

/// May this person run this command on this host as that user?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudoChallenge {
    target: Target,
    target_groups: Vec<String>,
    facts: SudoFacts,
    command: String,
}

/// What the host states about one call of sudo. Bytes are bound as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudoFacts {
    /// The PAM service that asks.
    pub service: ServiceName,
    /// The person: the real user of the calling process.
    pub requester: UserName,
    /// As whom the command would run.
    pub run_as: RunAs,
    /// Where the command is known from.
    pub source: CommandSource,
    /// The command, argument by argument.
    pub argv: Vec<Vec<u8>>,
    /// The working directory of the caller.
    pub cwd: Option<Vec<u8>>,
    /// The terminal, `/dev/pts/3`.
    pub tty: Option<String>,
    /// Why, in the requester's words.
    pub reason: Option<String>,
}

/// Facts that do not make a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SudoError {
    /// No argument at all.
    #[error("the command is empty")]
    NoCommand,
    /// Longer than an approver could be shown in full.
    #[error("the {what} is longer than {max} bytes, more than can be shown in full")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The limit in bytes.
        max: usize,
    },
}

impl SudoChallenge {
    /// The longest command line, in bytes over all arguments, separators counted: the largest single argument of Linux.
    pub const MAX_COMMAND_BYTES: usize = 128 * 1024;
    /// The longest working directory (`PATH_MAX`).
    pub const MAX_CWD_BYTES: usize = 4096;
    /// The longest terminal name.
    pub const MAX_TTY_BYTES: usize = 256;
    /// The longest reason, in bytes (500 characters of any script).
    pub const MAX_REASON_BYTES: usize = 2000;

    /// The kind of every sudo question.
    ///
    /// # Panics
    /// Never: the literal is a valid kind.
    pub fn kind_name() -> ChallengeKind {
        ChallengeKind::parse("sudo").expect("the literal is a valid kind")
    }

    /// Checks the facts' sizes. `target` is the host that proved itself, never a name it sent.
    ///
    /// # Errors
    /// [`SudoError`] says what is missing or too long; nothing is cut.
    pub fn new(target: Target, target_groups: Vec<String>, facts: SudoFacts) -> Result<Self, SudoError> {
        let too_long = |what, length: usize, max| {
            if length > max { Err(SudoError::TooLong { what, max }) } else { Ok(()) }
        };
        if facts.argv.first().is_none_or(Vec::is_empty) {
            return Err(SudoError::NoCommand);
        }
        too_long("command", facts.argv.iter().map(|a| a.len() + 1).sum(), Self::MAX_COMMAND_BYTES)?;
        too_long("working directory", facts.cwd.as_ref().map_or(0, Vec::len), Self::MAX_CWD_BYTES)?;
        too_long("terminal name", facts.tty.as_ref().map_or(0, String::len), Self::MAX_TTY_BYTES)?;
        too_long("reason", facts.reason.as_ref().map_or(0, String::len), Self::MAX_REASON_BYTES)?;
        let command = command_line(&facts.argv);
        Ok(Self { target, target_groups, facts, command })
    }

    /// What the host stated.
    pub const fn facts(&self) -> &SudoFacts {
        &self.facts
    }
}

impl Challenge for SudoChallenge {
    fn kind(&self) -> ChallengeKind {
        Self::kind_name()
    }

    fn requester(&self) -> &UserName {
        &self.facts.requester
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn summary(&self) -> Summary {
        let SudoFacts { service, run_as, argv, cwd, tty, reason, .. } = &self.facts;
        let run_as =
            run_as.group.as_ref().map_or_else(|| run_as.user.to_string(), |group| format!("{}:{group}", run_as.user));
        let mut details = vec![Detail { label: Label::RunAs, value: run_as }];
        if let Some(cwd) = cwd {
            details.push(Detail { label: Label::Directory, value: visible_bytes(cwd) });
        }
        if let Some(tty) = tty {
            details.push(Detail { label: Label::Terminal, value: tty.clone() });
        }
        details.push(Detail { label: Label::Service, value: service.to_string() });
        Summary { action: command_line(argv), reason: reason.clone(), details }
    }

    fn payload(&self) -> Payload {
        let SudoFacts { service, requester, run_as, source, argv, cwd, tty, reason } = &self.facts;
        let mut writer = Writer::new(b"identree sudo payload v1");
        writer.put_text(service.as_str());
        writer.put_text(requester.as_str());
        writer.put_text(run_as.user.as_str());
        put_optional(&mut writer, run_as.group.as_ref().map(|group| group.as_str().as_bytes()));
        writer.put_text(source.as_str());
        writer.put_number(argv.len() as u64);
        for argument in argv {
            writer.put(argument);
        }
        put_optional(&mut writer, cwd.as_deref());
        put_optional(&mut writer, tty.as_ref().map(String::as_bytes));
        put_optional(&mut writer, reason.as_ref().map(String::as_bytes));
        Payload::new(writer.finish())
    }

    fn run_as(&self) -> Option<&RunAs> {
        Some(&self.facts.run_as)
    }

    fn target_groups(&self) -> &[String] {
        &self.target_groups
    }

    fn command(&self) -> Option<&str> {
        Some(&self.command)
    }

    fn command_is_exact(&self) -> bool {
        match self.facts.source {
            CommandSource::CallerCommandLine => false,
        }
    }
}

/// Absent and empty are different.
fn put_optional(writer: &mut Writer, field: Option<&[u8]>) {
    writer.put(if field.is_some() { &[1] } else { &[0] });
    writer.put(field.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::HostName;

    fn facts() -> SudoFacts {
        SudoFacts {
            service: ServiceName::parse("sudo").unwrap(),
            requester: UserName::parse("ann").unwrap(),
            run_as: RunAs { user: UserName::parse("root").unwrap(), group: None },
            source: CommandSource::CallerCommandLine,
            argv: vec![b"sudo".to_vec(), b"whoami".to_vec()],
            cwd: Some(b"/home/ann".to_vec()),
            tty: None,
            reason: None,
        }
    }

    fn ask(facts: SudoFacts) -> Result<SudoChallenge, SudoError> {
        SudoChallenge::new(Target::Host(HostName::parse("web1").unwrap()), vec![], facts)
    }

    #[test]
    fn every_fact_is_bound() {
        let base = ask(facts()).unwrap().payload().sha256();
        let changed: [fn(&mut SudoFacts); 9] = [
            |f| f.service = ServiceName::parse("su").unwrap(),
            |f| f.requester = UserName::parse("bob").unwrap(),
            |f| f.run_as.user = UserName::parse("www").unwrap(),
            |f| f.run_as.group = Some(UnixGroup::parse("adm").unwrap()),
            |f| f.argv = vec![b"sudo whoami".to_vec()],
            |f| f.argv.push(vec![]),
            |f| f.cwd = None,
            |f| f.tty = Some(String::new()),
            |f| f.reason = Some("x".into()),
        ];
        for change in changed {
            let mut facts = facts();
            change(&mut facts);
            assert_ne!(ask(facts).unwrap().payload().sha256(), base);
        }
    }

    #[test]
    fn nothing_is_cut() {
        let mut long = facts();
        long.argv.push(vec![b'x'; SudoChallenge::MAX_COMMAND_BYTES]);
        assert!(matches!(ask(long), Err(SudoError::TooLong { what: "command", .. })));
        let mut empty = facts();
        empty.argv.clear();
        assert_eq!(ask(empty), Err(SudoError::NoCommand));
    }

    use crate::id::UnixGroup;
}
