//! What setup is about to change, on disk before it changes anything, so that it can be undone after any crash.
//!
//! `pending` says what is under way. Until it is marked as decided, whatever was changed is put back; from then on it is
//! carried through. `installed` is what `--remove` takes back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SetupError;
use super::file::{Snapshot, beside};
use crate::state::State;

/// Where setup keeps its records.
pub const DIRECTORY: &str = "/var/lib/identree-host/setup";

const PENDING: &str = "pending";
const INSTALLED: &str = "installed";
/// Several whole PAM folders.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// One file before and after; `None` is no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which file.
    pub path: PathBuf,
    /// As it was.
    pub before: Option<Snapshot>,
    /// As it shall be.
    pub after: Option<Snapshot>,
}

/// Which way a transaction goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Our lines come in.
    Install,
    /// They go out.
    Remove,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Which way.
    pub direction: Direction,
    /// Whether it stands: everything is in place and was tested.
    pub decided: bool,
    /// In the order they are made.
    pub changes: Vec<Change>,
}

/// Called before each step that can be interrupted, with its number from 0. Tests end the process there.
pub type Steps<'a> = &'a mut dyn FnMut();

/// What was found of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing was under way.
    Clean,
    /// It was put back.
    Undone,
    /// It was carried through.
    Completed,
}

/// Makes the changes, has them tested, and lets them stand; puts everything back if anything fails.
///
/// # Errors
/// What failed. [`SetupError::NotUndone`] if putting back failed too, with the files to look at.
pub fn carry_out(
    state: &State,
    transaction: &Transaction,
    steps: Steps<'_>,
    test: &mut dyn FnMut() -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    steps();
    keep(state, transaction)?;
    let changed = transaction.changes.iter().try_for_each(|change| {
        steps();
        Snapshot::restore(change.after.as_ref(), &change.path)
            .map_err(|cause| SetupError::File { path: change.path.clone(), cause })
    });
    steps();
    if let Err(error) = changed.and_then(|()| test()) {
        undo(state, transaction)?;
        return Err(error);
    }
    steps();
    let decided = Transaction { decided: true, ..transaction.clone() };
    keep(state, &decided)?;
    finish(state, &decided, steps)
}

/// Undoes or completes what an earlier run left.
///
/// # Errors
/// [`SetupError::Changed`] if somebody changed a file meanwhile: then nothing is touched.
pub fn recover(state: &State) -> Result<Recovered, SetupError> {
    let Some(transaction) = load(state, PENDING)? else { return Ok(Recovered::Clean) };
    if transaction.decided {
        finish(state, &transaction, &mut || {})?;
        return Ok(Recovered::Completed);
    }
    undo(state, &transaction)?;
    Ok(Recovered::Undone)
}

/// What stands, for `--remove`.
///
/// # Errors
/// If the record cannot be read.
pub fn installed(state: &State) -> Result<Option<Transaction>, SetupError> {
    load(state, INSTALLED)
}

fn finish(state: &State, transaction: &Transaction, steps: Steps<'_>) -> Result<(), SetupError> {
    steps();
    match transaction.direction {
        Direction::Install => {
            // What an earlier setup changed keeps its first state: that is what `--remove` goes back to.
            let mut changes = load(state, INSTALLED)?.map(|earlier| earlier.changes).unwrap_or_default();
            for change in &transaction.changes {
                match changes.iter_mut().find(|earlier| earlier.path == change.path) {
                    Some(earlier) if earlier.after == change.before => earlier.after = change.after.clone(),
                    Some(earlier) => *earlier = change.clone(),
                    None => changes.push(change.clone()),
                }
            }
            write(state, INSTALLED, &Transaction { changes, ..transaction.clone() })?;
        }
        Direction::Remove => state.remove(INSTALLED)?,
    }
    steps();
    Ok(state.remove(PENDING)?)
}

/// Last change first. Every file must be as it was before or after; otherwise nothing is touched.
fn undo(state: &State, transaction: &Transaction) -> Result<(), SetupError> {
    let stand = |path: &Path| Snapshot::take(path).map_err(|cause| SetupError::File { path: path.to_owned(), cause });
    let mut back = Vec::new();
    for change in transaction.changes.iter().rev() {
        let now = stand(&change.path)?;
        if now == change.after {
            back.push(change);
        } else if now != change.before {
            return Err(SetupError::Changed { path: change.path.clone(), record: state.path(PENDING) });
        }
    }
    for change in &back {
        Snapshot::restore(change.before.as_ref(), &change.path)
            .map_err(|cause| SetupError::NotUndone { path: change.path.clone(), cause })?;
    }
    for change in &transaction.changes {
        // What a killed run had not renamed yet.
        let _ = std::fs::remove_file(beside(&change.path));
    }
    Ok(state.remove(PENDING)?)
}

fn keep(state: &State, transaction: &Transaction) -> Result<(), SetupError> {
    write(state, PENDING, transaction)
}

fn write(state: &State, name: &str, transaction: &Transaction) -> Result<(), SetupError> {
    let bytes = serde_json::to_vec(transaction).map_err(|_| SetupError::Record(state.path(name)))?;
    Ok(state.write(name, &bytes)?)
}

fn load(state: &State, name: &str) -> Result<Option<Transaction>, SetupError> {
    let Some(bytes) = state.read(name, MAX_BYTES)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| SetupError::Record(state.path(name)))
}

#[cfg(test)]
mod tests;
