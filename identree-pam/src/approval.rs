//! What stands behind sudo's approval plugin: from what sudo is about to run to yes or no, looked at twice.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use identree_core::id::Nonce;

use crate::ask::{ask, show};
use crate::clock::now;
use crate::config::{Config, ConfigError};
use crate::facts::{CallError, FactsError, Phase, SudoCall, caller, collect_call, look_again};
use crate::glass::{Situation, instead};
use crate::question::Question;
use crate::state::{State, StateError};
use crate::terminal::Terminal;
use crate::text::{Language, Notice};
use crate::transport::Watch;
use crate::verdict::Verdict;

/// The sudo process as the kernel knows it, and where its plugin finds what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// Its id.
    pub pid: u32,
    /// Its real uid: who called sudo.
    pub real_uid: u32,
    /// The host file.
    pub config: &'a Path,
    /// Who must own it.
    pub owner: u32,
    /// The claims' directory, where a typed break-glass password is remembered for the process.
    pub claims: &'a Path,
    /// The helper's program, which resolves names in a process of its own ([`crate::transport::RESOLVE`]).
    pub resolver: &'a Path,
}

#[derive(Debug, thiserror::Error)]
enum ApprovalError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("/dev/urandom: {0}")]
    Random(std::io::Error),
    #[error("signals cannot be watched: {0}")]
    Signals(nix::errno::Errno),
}

/// Decides about one run: shows what there is to show and returns the verdict. Each call is a question of its own, with a
/// nonce that nothing else can know, so that no other answer fits. The caller gives the signal mask back.
pub fn approve(call: &SudoCall, process: Process<'_>, terminal: &mut dyn Terminal) -> Verdict {
    try_approve(call, process, terminal).unwrap_or_else(|error| {
        let verdict = Verdict::Misconfigured(error.to_string());
        // Where it went wrong there may be no host file to say a language.
        show(terminal, Language::default(), Notice::Verdict(&verdict));
        verdict
    })
}

fn try_approve(call: &SudoCall, process: Process<'_>, terminal: &mut dyn Terminal) -> Result<Verdict, ApprovalError> {
    let Process { pid, real_uid, config, owner, claims, resolver } = process;
    let config = Config { resolver: resolver.to_owned(), ..Config::load(config, owner)? };
    let told = |verdict: Verdict, terminal: &mut dyn Terminal| {
        show(terminal, config.language, Notice::Verdict(&verdict));
        Ok(verdict)
    };
    let facts = match collect_call(call, real_uid, pid) {
        Ok(facts) => facts,
        Err(error) => return told(refused(&error), terminal),
    };
    let mut nonce = [0; 32];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut nonce)).map_err(ApprovalError::Random)?;
    let mut watch = Watch::default().signals().map_err(ApprovalError::Signals)?;
    if let Some(tty) = &facts.tty {
        watch = watch.terminal(tty);
    }
    let mut verdict = ask(&config, &facts, Nonce::from_bytes(nonce), now(), terminal, watch);
    if matches!(verdict, Verdict::Unreachable(_)) && config.break_glass.is_some() {
        State::create(claims, owner)?;
        // The phase in which PAM asked last: who typed it there types it here again, for what is known only now.
        let (caller, phase) = (caller(pid)?, Phase::Account);
        let question = Question::Sudo(&facts);
        let situation = Situation { config: &config, question, caller, phase, run: claims, owner };
        verdict = instead(verdict, situation, terminal);
    }
    if !matches!(verdict, Verdict::Granted(_) | Verdict::BrokenGlass) {
        return Ok(verdict);
    }
    if let Some(why) = Watch::default().signals().map_err(ApprovalError::Signals)?.interrupted() {
        return told(Verdict::Cancelled(why), terminal);
    }
    match look_again(&facts) {
        Ok(()) => Ok(verdict),
        Err(changed) => told(Verdict::Unsafe(changed), terminal),
    }
}

fn refused(error: &CallError) -> Verdict {
    if error.is_refusal() { Verdict::Unsafe(error.to_string()) } else { Verdict::Misconfigured(error.to_string()) }
}
