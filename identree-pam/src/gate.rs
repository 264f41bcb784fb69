//! What stands in the PAM line: from the calling process to yes or no, claims included.

use std::path::Path;

use identree_core::challenge::{LoginFacts, SudoFacts};

use crate::ask::{ask, show};
use crate::claims::{Claims, ClaimsError, End, Record, Standing, Step};
use crate::config::{Config, ConfigError};
use crate::facts::{
    Caller, FactsError, PLUGIN, PamError, PamItems, Phase, Program, caller, collect, login, plugin_is_loaded,
};
use crate::flow::{Asked, USABLE_AFTER};
use crate::glass::{Situation, instead};
use crate::question::Question;
use crate::terminal::Terminal;
use crate::text::{Language, Notice};
use crate::transport::Watch;
use crate::verdict::{NotAsked, Verdict};
use crate::why;

/// Where things are and whose they must be.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The host file.
    pub config: &'a Path,
    /// The claims' directory.
    pub claims: &'a Path,
    /// Who must own both.
    pub owner: u32,
    /// Whether the person is asked why.
    pub reason: Reason,
    /// The helper's program, which resolves names in a process of its own ([`crate::transport::RESOLVE`]).
    pub resolver: &'a Path,
}

/// Whether the person is asked why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// Only what the caller's `SUDO_REASON` says is passed on.
    #[default]
    Stated,
    /// They may say why.
    Ask,
    /// They must.
    Required,
}

#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Pam(#[from] PamError),
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    #[error("signals cannot be watched: {0}")]
    Signals(nix::errno::Errno),
}

enum Facts {
    Sudo(SudoFacts),
    Login(LoginFacts),
}

impl Facts {
    fn of(pam: &PamItems, caller: Caller) -> Result<Self, FactsError> {
        Ok(match pam.program {
            Program::Sudo | Program::Su => Self::Sudo(collect(pam, caller)?),
            Program::Login(kind) => Self::Login(login(pam, kind)?),
        })
    }

    /// With what the person typed; what they stated before they were asked counts first.
    fn because(mut self, typed: Option<&String>) -> Self {
        let reason = match &mut self {
            Self::Sudo(facts) => &mut facts.reason,
            Self::Login(facts) => &mut facts.reason,
        };
        if reason.is_none() {
            *reason = typed.cloned();
        }
        self
    }

    fn is_explained(&self) -> bool {
        match self {
            Self::Sudo(facts) => facts.reason.is_some(),
            Self::Login(facts) => facts.reason.is_some(),
        }
    }

    const fn question(&self) -> Question<'_> {
        match self {
            Self::Sudo(facts) => Question::Sudo(facts),
            Self::Login(facts) => Question::Login(facts),
        }
    }
}

/// Decides about one call of PAM: shows what there is to show and returns the verdict.
pub fn gate(
    phase: Phase,
    pam: Result<PamItems, PamError>,
    pid: u32,
    place: Place<'_>,
    terminal: &mut dyn Terminal,
) -> Verdict {
    match try_gate(phase, pam, pid, place, terminal) {
        Ok(verdict) => verdict,
        Err(error) => {
            let verdict = Verdict::Misconfigured(error.to_string());
            // Where it went wrong there may be no host file to say a language.
            show(terminal, Language::default(), Notice::Verdict(&verdict));
            verdict
        }
    }
}

fn try_gate(
    phase: Phase,
    pam: Result<PamItems, PamError>,
    pid: u32,
    place: Place<'_>,
    terminal: &mut dyn Terminal,
) -> Result<Verdict, GateError> {
    let pam = pam?;
    let caller = caller(pid)?;
    if pam.program == Program::Sudo && plugin_is_loaded(caller.pid, Path::new(PLUGIN)) {
        return Ok(Verdict::LeftToPlugin);
    }
    let config = Config { resolver: place.resolver.to_owned(), ..Config::load(place.config, place.owner)? };
    let facts = Facts::of(&pam, caller)?;
    let claims = Claims::open(place.claims, place.owner)?;
    let claimed = match claims.begin(caller, phase, config.timeout + USABLE_AFTER)? {
        Step::Refuse(code) => {
            let verdict = Verdict::RefusedBefore(code);
            show(terminal, config.language, Notice::Verdict(&verdict));
            return Ok(verdict);
        }
        Step::Claim(record) => {
            let facts = facts.because(record.reason.as_ref());
            (prove_again(&config, facts.question(), &claims, caller, &record, terminal), record)
        }
        Step::Ask(mut record) => {
            if place.reason != Reason::Stated && !facts.is_explained() && record.reason.is_none() {
                record.reason = why::ask(config.language, terminal);
                if record.reason.is_some() {
                    claims.state(caller, &record)?;
                } else if place.reason == Reason::Required {
                    let verdict = Verdict::NotAsked(NotAsked::NoReason);
                    show(terminal, config.language, Notice::Verdict(&verdict));
                    return Ok(verdict);
                }
            }
            let facts = facts.because(record.reason.as_ref());
            let question = facts.question();
            let mut watch = Watch::default().caller(caller.pid).signals().map_err(GateError::Signals)?;
            if let Some(tty) = &pam.tty {
                watch = watch.terminal(tty);
            }
            let nonce = claims.nonce(question.service(), caller, record.counter);
            let verdict = ask(&config, question, nonce, record.asked, terminal, watch);
            let (run, owner) = (place.claims, place.owner);
            let situation = Situation { config: &config, question, caller, phase, run, owner };
            (instead(verdict, situation, terminal), record)
        }
    };
    settle(&claims, caller, phase, claimed, (terminal, config.language))
}

/// The other phase's approval, proven once more against what this phase is about.
fn prove_again(
    config: &Config,
    question: Question<'_>,
    claims: &Claims,
    caller: Caller,
    record: &Record,
    terminal: &mut dyn Terminal,
) -> Verdict {
    let nonce = claims.nonce(question.service(), caller, record.counter);
    let verdict = match (&record.standing, Asked::new(config, question, nonce)) {
        (Standing::Approved { answer, .. }, Ok(asked)) => asked.prove(answer),
        (_, Err(error)) => Verdict::Misconfigured(error.to_string()),
        (_, Ok(_)) => Verdict::Misconfigured("there is no approval to use".into()),
    };
    if !matches!(verdict, Verdict::Granted(_)) {
        show(terminal, config.language, Notice::Verdict(&verdict));
    }
    verdict
}

/// Keeps how it ended. What settles nothing (unreachable, break-glass, not asked, misconfigured) leaves the question as it was.
fn settle(
    claims: &Claims,
    caller: Caller,
    phase: Phase,
    (verdict, record): (Verdict, Record),
    (terminal, language): (&mut dyn Terminal, Language),
) -> Result<Verdict, GateError> {
    let end = match &verdict {
        Verdict::Granted(grant) => End::Approved(grant.signed().clone()),
        Verdict::Refused(_) | Verdict::TimedOut | Verdict::Cancelled(_) => End::Refused(verdict.exit_code()),
        Verdict::BrokenGlass
        | Verdict::LeftToPlugin
        | Verdict::RefusedBefore(_)
        | Verdict::Unreachable(_)
        | Verdict::NotAsked(_)
        | Verdict::Unsafe(_)
        | Verdict::Misconfigured(_) => return Ok(verdict),
    };
    let counts = claims.finish(caller, &record, phase, end)?;
    if counts || !matches!(verdict, Verdict::Granted(_)) {
        return Ok(verdict);
    }
    let used = Verdict::Misconfigured("the approval was already used by this process".into());
    show(terminal, language, Notice::Verdict(&used));
    Ok(used)
}
