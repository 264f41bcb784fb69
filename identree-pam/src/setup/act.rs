//! `identree setup` and `identree setup --remove`, from the first look to the last.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use identree_core::diff::unified;

use super::SetupError;
use super::journal::{Change, Direction, Recovered, Steps, Transaction, carry_out, installed, recover};
use super::plan::{self, Places, Plan, Wish};
use super::rehearse::{Depth, Stage, rehearse};
use crate::state::State;
use crate::terminal::Terminal;
use crate::trial::Account;

/// Everything that a run of setup is told.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Where things are.
    pub places: Places,
    /// Where setup keeps its records.
    pub records: PathBuf,
    /// This program, which tries the doors.
    pub program: &'a Path,
    /// Who tries them.
    pub account: &'a Account,
    /// What is wanted.
    pub wish: Wish,
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Everything was in place already.
    Nothing,
    /// It was changed, and tested.
    Changed,
}

impl Setup<'_> {
    /// What would change, as a unified diff; nothing is touched.
    ///
    /// # Errors
    /// As [`Setup::install`] and [`Setup::remove`] would fail.
    pub fn dry_run(&self, direction: Direction, out: &mut dyn Terminal) -> Result<(), SetupError> {
        let plan = match direction {
            Direction::Install => plan::install(&self.places, &self.wish)?,
            Direction::Remove => {
                let record = State::open(&self.records, 0).ok().map(|state| installed(&state)).transpose()?.flatten();
                plan::remove(&self.places, record.as_ref())?
            }
        };
        for note in &plan.notes {
            out.say(&format!("note: {note}"));
        }
        for Change { path, before, after } in &plan.changes {
            let bytes = |state: &Option<super::file::Snapshot>| state.as_ref().map(|file| file.bytes.clone());
            for line in unified(path, bytes(before).as_deref(), bytes(after).as_deref()).lines() {
                out.say(line);
            }
        }
        if plan.changes.is_empty() {
            out.say("nothing would change");
        }
        Ok(())
    }

    /// Puts back or completes what an interrupted run left, first of all.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn recover(&self, out: &mut dyn Terminal) -> Result<State, SetupError> {
        let state = State::create(&self.records, 0)?;
        match recover(&state)? {
            Recovered::Clean => {}
            Recovered::Undone => out.say("an interrupted run was put back first"),
            Recovered::Completed => out.say("an interrupted run was completed first"),
        }
        Ok(state)
    }

    /// Rehearses the plan over a copy of `/etc`, then changes the files, tests what stands, and puts everything back if
    /// that fails.
    ///
    /// # Errors
    /// [`SetupError`]: then everything is as it was.
    pub fn install(&self, state: &State, steps: Steps<'_>, out: &mut dyn Terminal) -> Result<Done, SetupError> {
        let _lock = state.lock()?;
        let plan = plan::install(&self.places, &self.wish)?;
        for note in &plan.notes {
            out.say(&format!("note: {note}"));
        }
        if plan.changes.is_empty() {
            return Ok(Done::Nothing);
        }
        out.say("trying the new stack over a copy of /etc ... (what is approved and denied below is this test's)");
        let (room, password) = (self.room()?, self.wish.password);
        let stage = Stage { program: self.program, room: &room, places: &self.places, account: self.account };
        rehearse(&stage, &plan, &plan.changes, password, Depth::Full)?;
        let transaction = Transaction { direction: Direction::Install, decided: false, changes: plan.changes.clone() };
        let test = &mut || rehearse(&stage, &plan, &[], password, Depth::Short);
        carry_out(state, &transaction, steps, test)?;
        self.told(&plan, out);
        Ok(Done::Changed)
    }

    /// Takes our lines out, PAM first, and sees that what they did is gone.
    ///
    /// # Errors
    /// [`SetupError`]: then everything is as it was.
    pub fn remove(&self, state: &State, steps: Steps<'_>, out: &mut dyn Terminal) -> Result<Done, SetupError> {
        let _lock = state.lock()?;
        let record = installed(state)?;
        let plan = plan::remove(&self.places, record.as_ref())?;
        for note in &plan.notes {
            out.say(&format!("note: {note}"));
        }
        if plan.changes.is_empty() {
            state.remove("installed")?;
            return Ok(Done::Nothing);
        }
        let transaction = Transaction { direction: Direction::Remove, decided: false, changes: plan.changes.clone() };
        let gone = &mut || {
            let left = plan::remove(&self.places, record.as_ref())?;
            left.changes.first().map_or(Ok(()), |change| Err(SetupError::Left(change.path.clone())))
        };
        carry_out(state, &transaction, steps, gone)?;
        self.told(&plan, out);
        Ok(Done::Changed)
    }

    fn told(&self, plan: &Plan, out: &mut dyn Terminal) {
        for change in &plan.changes {
            out.say(&format!("changed {}", change.path.display()));
        }
        if plan.changes.iter().any(|change| change.path == self.places.audit) {
            out.say(&load_audit_rules());
        }
    }

    fn room(&self) -> Result<PathBuf, SetupError> {
        let room = self.records.join("room");
        match fs::DirBuilder::new().mode(0o700).create(&room) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(SetupError::File { path: room, cause })
            }
            _ => Ok(room),
        }
    }
}

/// Has auditd take the rules over, and says how that went: without auditd they wait for it.
fn load_audit_rules() -> String {
    let program = "/usr/sbin/augenrules";
    if !Path::new(program).exists() {
        return "auditd is not installed; its rules wait in /etc/audit/rules.d".to_owned();
    }
    let mut command = Command::new(program);
    command.arg("--load").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        "auditd watches by the new rules".to_owned()
    } else {
        "augenrules --load failed; run it by hand to see why".to_owned()
    }
}
