//! The question that `sudo`, `su` and their kin ask.

use super::flags::flags;
use super::run::{RunMode, SudoRun};
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
    /// What sudo itself is about to run, as it tells its approval plugin: [`SudoFacts::run`] holds it.
    ApprovalPlugin,
}

impl CommandSource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CallerCommandLine => "caller_command_line",
            Self::ApprovalPlugin => "approval_plugin",
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
    /// What exactly would run; there when and only when the source is [`CommandSource::ApprovalPlugin`].
    pub run: Option<Box<SudoRun>>,
}

impl SudoFacts {
    /// The command as people and rules read it: what was typed, or, where that is known, the path that runs with its
    /// arguments, or `sudoedit` with the files.
    pub fn command(&self) -> String {
        let Some(run) = &self.run else { return command_line(&self.argv) };
        let (program, rest) = match run.mode {
            RunMode::Edit => (b"sudoedit".as_slice(), SudoRun::edited(&self.argv)),
            _ => (run.path.0.as_slice(), self.argv.get(1..).unwrap_or_default()),
        };
        let argv: Vec<&[u8]> = std::iter::once(program).chain(rest.iter().map(Vec::as_slice)).collect();
        command_line(&argv)
    }
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
    /// More than an approver could be shown in full.
    #[error("there are more than {max} {what}, more than can be shown in full")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Source and facts contradict each other.
    #[error(
        "what would run is stated when and only when the source is approval_plugin, with an absolute path and the file"
    )]
    Inconsistent,
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
        if facts.run.is_some() != (facts.source == CommandSource::ApprovalPlugin) {
            return Err(SudoError::Inconsistent);
        }
        if let Some(run) = &facts.run {
            run.check()?;
        }
        let command = facts.command();
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
        let SudoFacts { service, run_as, argv, cwd, tty, reason, run, .. } = &self.facts;
        let run_as =
            run_as.group.as_ref().map_or_else(|| run_as.user.to_string(), |group| format!("{}:{group}", run_as.user));
        let run_as = run.as_ref().map_or_else(|| run_as.clone(), |run| format!("{run_as} ({})", run.numbers()));
        let mut details = vec![Detail { label: Label::RunAs, value: run_as }];
        if let Some(run) = run {
            details.extend(flags(run, argv));
        }
        if let Some(cwd) = cwd {
            details.push(Detail { label: Label::Directory, value: visible_bytes(cwd) });
        }
        if let Some(run) = run {
            run.describe(argv, &mut details);
        }
        if let Some(tty) = tty {
            details.push(Detail { label: Label::Terminal, value: tty.clone() });
        }
        details.push(Detail { label: Label::Service, value: service.to_string() });
        Summary { action: self.command.clone(), reason: reason.clone(), details }
    }

    fn payload(&self) -> Payload {
        let SudoFacts { service, requester, run_as, source, argv, cwd, tty, reason, run } = &self.facts;
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
        // The source says whether it follows.
        if let Some(run) = run {
            run.put(&mut writer);
        }
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
        self.facts.run.as_ref().is_some_and(|run| run.is_plain())
    }
}

/// Absent and empty are different.
fn put_optional(writer: &mut Writer, field: Option<&[u8]>) {
    writer.put(if field.is_some() { &[1] } else { &[0] });
    writer.put(field.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::super::run::{FileFacts, Folder};
    use super::*;
    use crate::id::HostName;
    use crate::wire::v1::Bytes;

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
            run: None,
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

    fn exact() -> SudoFacts {
        let folder = |path: &[u8]| Folder { path: Bytes(path.to_vec()), uid: 0, gid: 0, mode: 0o40_755 };
        let file = FileFacts {
            real: Bytes(b"/usr/bin/whoami".to_vec()),
            device: 1,
            inode: 2,
            uid: 0,
            gid: 0,
            mode: 0o100_755,
            size: 3,
            changed_secs: 4,
            changed_nanos: 5,
            interpreter: None,
            folders: vec![folder(b"/"), folder(b"/usr"), folder(b"/usr/bin")],
        };
        let run = SudoRun {
            mode: RunMode::Command,
            requester_uid: 1000,
            run_as_uid: 0,
            run_as_gid: 0,
            run_as_groups: vec![0],
            path: Bytes(b"/usr/bin/whoami".to_vec()),
            file: Some(file),
            start_in: None,
            root: None,
            umask: Some(0o22),
            environment: vec![],
            settings: vec![],
        };
        let argv = vec![b"whoami".to_vec()];
        SudoFacts { source: CommandSource::ApprovalPlugin, argv, run: Some(Box::new(run)), ..facts() }
    }

    #[test]
    fn everything_sudo_says_is_bound_and_shown() {
        type Change = fn(&mut SudoRun, &dyn Fn(&str) -> Bytes);
        let base = ask(exact()).unwrap();
        assert!(base.command_is_exact() && base.command() == Some("/usr/bin/whoami"), "{base:?}");
        assert!(!ask(facts()).unwrap().command_is_exact());
        let bytes = |text: &str| Bytes(text.into());
        let changes: Vec<(bool, Change)> = vec![
            (false, |r, _| r.mode = RunMode::Shell),
            (true, |r, _| r.requester_uid = 1001),
            (true, |r, _| r.run_as_uid = 1),
            (true, |r, _| r.run_as_gid = 1),
            (true, |r, _| r.run_as_groups.push(4)),
            (true, |r, b| r.path = b("/bin/whoami")),
            (true, |r, b| r.start_in = Some(b("/root"))),
            (false, |r, b| r.root = Some(b("/srv"))),
            (true, |r, _| r.umask = None),
            (false, |r, b| r.environment = vec![b("PS1=x")]),
            (true, |r, b| r.settings = vec![b("noexec=true")]),
            (true, |r, b| r.file.as_mut().unwrap().real = b("/usr/bin/other")),
            (true, |r, _| r.file.as_mut().unwrap().device = 9),
            (true, |r, _| r.file.as_mut().unwrap().inode = 9),
            (false, |r, _| r.file.as_mut().unwrap().uid = 9),
            (true, |r, _| r.file.as_mut().unwrap().gid = 9),
            (false, |r, _| r.file.as_mut().unwrap().mode = 0o100_757),
            (true, |r, _| r.file.as_mut().unwrap().size = 9),
            (true, |r, _| r.file.as_mut().unwrap().changed_secs = -9),
            (true, |r, _| r.file.as_mut().unwrap().changed_nanos = 9),
            (true, |r, b| r.file.as_mut().unwrap().interpreter = Some(b("/bin/sh"))),
            (false, |r, _| r.file.as_mut().unwrap().folders[1].uid = 9),
            (true, |r, _| r.file.as_mut().unwrap().folders[1].gid = 9),
            (false, |r, _| r.file.as_mut().unwrap().folders[1].mode = 0o40_775),
            (true, |r, b| r.file.as_mut().unwrap().folders[1].path = b("/opt")),
        ];
        for (at, (plain, change)) in changes.into_iter().enumerate() {
            let mut changed = exact();
            change(changed.run.as_mut().unwrap(), &bytes);
            let changed = ask(changed).unwrap();
            assert_ne!(changed.payload(), base.payload(), "{at}");
            assert_ne!(changed.summary(), base.summary(), "an approver sees no difference: {at}");
            assert_eq!(changed.command_is_exact(), plain, "{at}");
        }
        let mut renamed = exact();
        renamed.argv[0] = b"-whoami".to_vec();
        let renamed = ask(renamed).unwrap();
        assert!(renamed.payload() != base.payload() && renamed.summary() != base.summary());
    }

    #[test]
    fn facts_that_contradict_each_other_make_no_question() {
        let without = SudoFacts { run: None, ..exact() };
        let typed = SudoFacts { source: CommandSource::CallerCommandLine, ..exact() };
        let change = |change: fn(&mut SudoRun)| {
            let mut facts = exact();
            change(facts.run.as_mut().unwrap());
            facts
        };
        let no_file = change(|run| run.file = None);
        let edit = change(|run| run.mode = RunMode::Edit);
        let relative = change(|run| run.path = Bytes(b"whoami".to_vec()));
        for facts in [without, typed, no_file, edit, relative] {
            assert_eq!(ask(facts), Err(SudoError::Inconsistent));
        }
        let long = change(|run| run.environment = vec![Bytes(vec![b'x'; SudoRun::MAX_ENVIRONMENT_BYTES])]);
        assert!(matches!(ask(long), Err(SudoError::TooLong { what: "environment", .. })));
        let many = change(|run| run.run_as_groups = vec![1; SudoRun::MAX_GROUPS + 1]);
        assert!(matches!(ask(many), Err(SudoError::TooMany { what: "groups", .. })));
    }

    #[test]
    fn an_edit_is_named_by_its_files() {
        let mut edit = exact();
        let run = edit.run.as_mut().unwrap();
        (run.mode, run.file, run.path) = (RunMode::Edit, None, Bytes(b"/usr/bin/editor".to_vec()));
        edit.argv = ["/usr/bin/editor", "-x", "--", "/etc/hosts", "a b"].map(|word| word.as_bytes().to_vec()).to_vec();
        let edit = ask(edit).unwrap();
        assert_eq!(edit.command(), Some("sudoedit /etc/hosts 'a b'"));
        assert!(!edit.command_is_exact());
        let editor = Detail { label: Label::Editor, value: "/usr/bin/editor (/usr/bin/editor -x --)".into() };
        assert!(edit.summary().details.contains(&editor), "{:?}", edit.summary());
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
