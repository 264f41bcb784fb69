//! The ways to become root, and how each is tried.

use std::path::PathBuf;

use identree_core::grant::Decision;

use super::{Account, End, Trial, TrialError};
use crate::setup::file::Snapshot;

/// A program that makes root of somebody, by its PAM service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `sudo`.
    Sudo,
    /// `sudo -i`.
    SudoLogin,
    /// `su`.
    Su,
    /// `su -l`.
    SuLogin,
}

/// What sudoers says of the one who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everything, after authentication.
    Password,
    /// Everything, without.
    NoPassword,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sudo, Self::SudoLogin, Self::Su, Self::SuLogin];

    /// The PAM service.
    pub const fn service(self) -> &'static str {
        match self {
            Self::Sudo => "sudo",
            Self::SudoLogin => "sudo-i",
            Self::Su => "su",
            Self::SuLogin => "su-l",
        }
    }

    /// By its service.
    pub fn of(service: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.service() == service)
    }

    /// As one types it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sudo => "sudo",
            Self::SudoLogin => "sudo -i",
            Self::Su => "su",
            Self::SuLogin => "su -l",
        }
    }

    /// Whether sudoers decides about it.
    pub const fn is_sudo(self) -> bool {
        matches!(self, Self::Sudo | Self::SudoLogin)
    }

    /// The program.
    pub const fn program(self) -> &'static str {
        if self.is_sudo() { "/usr/bin/sudo" } else { "/usr/bin/su" }
    }

    /// Prints the uid of whoever it made.
    pub fn command(self) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::Sudo => &["id", "-u"],
            Self::SudoLogin => &["-i", "id", "-u"],
            Self::Su => &["-c", "id -u", "root"],
            Self::SuLogin => &["-l", "-c", "id -u", "root"],
        };
        std::iter::once(self.program()).chain(arguments.iter().copied()).map(str::to_owned).collect()
    }

    /// Tries it: `files` are those of the room, `rule` is what sudoers says of the one who tries.
    ///
    /// # Errors
    /// [`TrialError`].
    pub fn attempt(self, attempt: &Attempt<'_>, rule: Rule, answers: &[Decision]) -> Result<End, TrialError> {
        attempt.run(self.command(), rule, answers)
    }
}

/// What all attempts of one walk share.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// As in [`Trial`].
    pub program: &'a std::path::Path,
    /// As in [`Trial`].
    pub room: &'a std::path::Path,
    /// Files that stand otherwise in the room than on the host.
    pub files: Vec<(PathBuf, Option<Snapshot>)>,
    /// sudoers as it is on the host.
    pub sudoers: (PathBuf, Option<Snapshot>),
    /// Who tries.
    pub account: &'a Account,
}

impl Attempt<'_> {
    /// Tries a command.
    ///
    /// # Errors
    /// [`TrialError`].
    pub fn run(&self, command: Vec<String>, rule: Rule, answers: &[Decision]) -> Result<End, TrialError> {
        let mut files = self.files.clone();
        let (path, now) = &self.sudoers;
        if let Some(now) = now {
            files.push((path.clone(), Some(now.with(allowing(&now.bytes, self.account, rule)))));
        }
        let within = std::time::Duration::from_secs(30);
        let answers = answers.to_vec();
        Trial { program: self.program, room: self.room, files, account: self.account, command, answers, within }.run()
    }
}

/// sudoers with a rule for the one who tries: the last line that matches counts (sudoers(5)). No mail, no lecture.
fn allowing(sudoers: &[u8], account: &Account, rule: Rule) -> Vec<u8> {
    let tag = match rule {
        Rule::Password => "PASSWD",
        Rule::NoPassword => "NOPASSWD",
    };
    let who = format!("#{}", account.uid);
    let quiet = "!lecture, !requiretty, !mail_always, !mail_badpass, !mail_no_user, !mail_no_perms, !mail_no_host";
    let lines = format!("\nDefaults:{who} {quiet}, authenticate\n{who} ALL=(ALL:ALL) {tag}: ALL\n");
    [sudoers, lines.as_bytes()].concat()
}
