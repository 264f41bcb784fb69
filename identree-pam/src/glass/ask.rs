//! Where the way back stands in the gate: after the server was found unreachable, never after a no.

use std::path::Path;

use nix::unistd::User;

use super::pass::{self, PassError};
use super::{Checked, DIRECTORY, GlassError, HashFile, Place, Says, Use, verify};
use crate::ask::show;
use crate::clock::calendar_secs;
use crate::config::Config;
use crate::facts::{Caller, Phase};
use crate::question::Question;
use crate::terminal::{Echo, Terminal};
use crate::text::Notice;
use crate::verdict::Verdict;

/// Who asks, in which call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    pub(crate) config: &'a Config,
    pub(crate) question: Question<'a>,
    pub(crate) caller: Caller,
    pub(crate) phase: Phase,
    /// Where passes from one phase to the next are kept: the claims' directory.
    pub(crate) run: &'a Path,
    pub(crate) owner: u32,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Glass(#[from] GlassError),
    #[error(transparent)]
    Pass(#[from] PassError),
}

/// The verdict, or what the break-glass password makes of it. Only [`Verdict::Unreachable`] is ever changed.
pub(crate) fn instead(verdict: Verdict, situation: Situation<'_>, terminal: &mut dyn Terminal) -> Verdict {
    let (Verdict::Unreachable(_), Some(file)) = (&verdict, &situation.config.break_glass) else { return verdict };
    // One password for everybody is not to be guessed at from the network, nor its tries used up from there.
    if situation.question.is_remote() {
        return verdict;
    }
    let place = Place { file: file.clone(), folder: DIRECTORY.into(), owner: situation.owner };
    match try_password(&place, situation, terminal) {
        Ok(true) => told(Verdict::BrokenGlass, situation, terminal),
        Ok(false) => verdict,
        Err(error) => told(Verdict::Misconfigured(error.to_string()), situation, terminal),
    }
}

fn told(verdict: Verdict, situation: Situation<'_>, terminal: &mut dyn Terminal) -> Verdict {
    show(terminal, situation.config.language, Notice::Verdict(&verdict));
    verdict
}

fn try_password(place: &Place, situation: Situation<'_>, terminal: &mut dyn Terminal) -> Result<bool, AskError> {
    let Situation { config, question, caller, phase, run, owner } = situation;
    if HashFile::load(&place.file, place.owner)?.is_none() {
        return Ok(false);
    }
    if pass::take(run, owner, caller, phase)? {
        return Ok(true);
    }
    let says = |says| Notice::Glass(says).lines(config.language).join(" ");
    let Some(password) = terminal.ask(&says(Says::Prompt), Echo::Off) else { return Ok(false) };
    if password.expose().is_empty() {
        return Ok(false);
    }
    // Without a uid the attempt is counted under one that nobody has.
    let uid = User::from_name(question.requester().as_str()).ok().flatten().map_or(u32::MAX, |user| user.uid.as_raw());
    let used = Use {
        at: calendar_secs(),
        user: question.requester().to_string(),
        service: question.service().to_string(),
        run_as: question.becomes().to_string(),
    };
    match verify(place, &password, uid, Some(&used))? {
        Checked::Right => {
            pass::keep(run, owner, caller, phase)?;
            return Ok(true);
        }
        Checked::Wrong => terminal.warn(&says(Says::Wrong)),
        Checked::TooOften(wait) => terminal.warn(&says(Says::TooOften(wait))),
        Checked::None => {}
    }
    Ok(false)
}
