//! Whether the plan keeps its promise, tried with the real programs: a yes opens, a no does not, silence does not.

use std::path::{Path, PathBuf};

use identree_core::grant::Decision;

use super::SetupError;
use super::file::Snapshot;
use super::journal::Change;
use super::plan::{Places, Plan};
use super::stack::Password;
use crate::trial::door::{Attempt, Door, Rule};
use crate::trial::{Account, End, TrialError};

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Everything, over a copy, before anything changes.
    Full,
    /// A yes and a no, over what stands now.
    Short,
}

/// What a test needs besides the plan.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) program: &'a Path,
    pub(super) room: &'a Path,
    pub(super) places: &'a Places,
    pub(super) account: &'a Account,
}

/// Tries every service of the plan. `changes` are laid over the host's `/etc`.
pub(super) fn rehearse(
    stage: &Stage<'_>,
    plan: &Plan,
    changes: &[Change],
    password: Password,
    depth: Depth,
) -> Result<(), SetupError> {
    let files: Vec<(PathBuf, Option<Snapshot>)> =
        changes.iter().map(|change| (change.path.clone(), change.after.clone())).collect();
    let sudoers = Snapshot::take(&stage.places.sudoers)
        .map_err(|cause| SetupError::File { path: stage.places.sudoers.clone(), cause })?;
    let attempt = Attempt {
        program: stage.program,
        room: stage.room,
        files,
        sudoers: (stage.places.sudoers.clone(), sudoers),
        account: stage.account,
    };
    if depth == Depth::Full && Path::new("/usr/sbin/visudo").exists() {
        let root = Account { name: "root".into(), uid: 0, gid: 0 };
        let check =
            Attempt { account: &root, files: attempt.files.clone(), sudoers: attempt.sudoers.clone(), ..attempt };
        let end = check.run(vec!["/usr/sbin/visudo".into(), "-c".into()], Rule::Password, &[])?;
        expect("sudoers", "visudo -c accepts it", end.success, &end)?;
    }
    for service in &plan.services {
        let Some(door) = Door::of(service) else { continue };
        try_door(&attempt, door, password, depth)?;
    }
    Ok(())
}

fn try_door(attempt: &Attempt<'_>, door: Door, password: Password, depth: Depth) -> Result<(), SetupError> {
    use Decision::{Denied, Granted};
    let name = door.name();
    // Where a password is asked for too, nobody here can type it: then the yes is tried where sudo asks for none.
    let rule = if password == Password::Kept && door.is_sudo() { Rule::NoPassword } else { Rule::Password };
    let end = door.attempt(attempt, rule, &[Granted])?;
    // PAM and sudo's plugin may each ask; more often nothing does.
    expect(name, "it asks once, at most once more by sudo's plugin", (1..=2).contains(&end.asked.len()), &end)?;
    if password == Password::Replaced || door.is_sudo() {
        expect(name, "an approval opens it", end.root == 1, &end)?;
    }
    let end = door.attempt(attempt, Rule::Password, &[Denied])?;
    expect(name, "a denial keeps it shut, after one question", end.root == 0 && end.asked.len() == 1, &end)?;
    if depth == Depth::Short {
        return Ok(());
    }
    let end = door.attempt(attempt, Rule::Password, &[])?;
    expect(name, "it stays shut without a server", end.root == 0, &end)?;
    if door.is_sudo() {
        let end = door.attempt(attempt, Rule::NoPassword, &[Denied])?;
        expect(name, "a NOPASSWD rule asks too", end.root == 0 && end.asked.len() == 1, &end)?;
    }
    Ok(())
}

fn expect(door: &'static str, what: &'static str, held: bool, end: &End) -> Result<(), SetupError> {
    if held {
        return Ok(());
    }
    let output = identree_core::text::visible(end.output.trim()).replace("\\n", "\n    ");
    Err(SetupError::Test { door, what, asked: end.asked.len(), output })
}

impl From<TrialError> for SetupError {
    fn from(error: TrialError) -> Self {
        Self::Trial(error)
    }
}
