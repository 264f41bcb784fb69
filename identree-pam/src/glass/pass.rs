//! From one phase of a process to its next: who typed the password in *auth* is not asked again in *account*.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{Moment, now};
use crate::facts::{Caller, Phase};
use crate::state::{State, StateError};

/// How long the next phase may take to come.
const USABLE: Duration = Duration::from_secs(30);
const MAX_BYTES: u64 = 256;

/// Why it cannot be told. Each means no.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{}: is damaged, so nothing is allowed to this process; remove the file", .0.display())]
    Damaged(PathBuf),
}

/// Keeps that this process's password was right in that phase.
pub(super) fn keep(run: &Path, owner: u32, caller: Caller, phase: Phase) -> Result<(), PassError> {
    let state = State::open(run, owner)?;
    let _lock = state.lock()?;
    Ok(state.write(&name(caller), render(now(), &[&word(phase)]).as_bytes())?)
}

/// Whether another phase of this process was opened in the last 30 s, and this one was not yet. It counts once.
pub(super) fn take(run: &Path, owner: u32, caller: Caller, phase: Phase) -> Result<bool, PassError> {
    let state = State::open(run, owner)?;
    let _lock = state.lock()?;
    let name = name(caller);
    let Some(bytes) = state.read(&name, MAX_BYTES)? else { return Ok(false) };
    let damaged = || PassError::Damaged(state.path(&name));
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    let mut words = text.split_whitespace();
    let at = words.next().and_then(|at| at.parse().ok()).map(Moment::from_millis).ok_or_else(damaged)?;
    let mut used: Vec<&str> = words.collect();
    let mine = word(phase);
    if now().since(at) > USABLE || used.contains(&&*mine) {
        return Ok(false);
    }
    used.push(&mine);
    state.write(&name, render(at, &used).as_bytes())?;
    Ok(true)
}

fn name(caller: Caller) -> String {
    format!("glass-{}-{}", caller.pid, caller.start_time)
}

fn word(phase: Phase) -> String {
    format!("{phase:?}").to_lowercase()
}

fn render(at: Moment, used: &[&str]) -> String {
    format!("{} {}\n", at.as_millis(), used.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_other_phase_of_the_same_process_passes_once() {
        let folder = tempfile::tempdir().unwrap();
        let owner = rustix::process::geteuid().as_raw();
        let run = folder.path().join("run");
        let state = State::create(&run, owner).unwrap();
        let caller = Caller { pid: 5, start_time: 9 };
        let take = |caller, phase| take(&run, owner, caller, phase).unwrap();
        assert!(!take(caller, Phase::Account));
        keep(&run, owner, caller, Phase::Auth).unwrap();
        assert!(!take(caller, Phase::Auth), "a second auth types again");
        assert!(!take(Caller { start_time: 10, ..caller }, Phase::Account), "another process");
        assert!(take(caller, Phase::Account));
        assert!(!take(caller, Phase::Account), "once");
        keep(&run, owner, caller, Phase::Auth).unwrap();
        let old = now().as_millis().saturating_sub(31_000);
        state.write(&name(caller), render(Moment::from_millis(old), &["auth"]).as_bytes()).unwrap();
        assert!(!take(caller, Phase::Account), "too late");
        state.write(&name(caller), b"x").unwrap();
        assert!(super::take(&run, owner, caller, Phase::Account).is_err());
    }
}
