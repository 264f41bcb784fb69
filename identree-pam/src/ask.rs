//! Runs one question to its verdict.

use identree_core::challenge::SudoFacts;
use identree_core::id::Nonce;

use crate::clock::{Moment, now};
use crate::config::Config;
use crate::flow::{Flow, Input, Next};
use crate::terminal::Terminal;
use crate::text::{Language, Notice};
use crate::transport::{Direct, Transport, Watch};
use crate::verdict::Verdict;

/// Asks the configured server and waits for the verdict, showing question and verdict on the terminal. `since` is when the
/// question was asked first; [`now`] for a new nonce.
pub fn ask(
    config: &Config,
    facts: &SudoFacts,
    nonce: Nonce,
    since: Moment,
    terminal: &mut dyn Terminal,
    watch: Watch,
) -> Verdict {
    if config.is_insecure() {
        show(terminal, config.language, Notice::Insecure);
    }
    let verdict = match Flow::new(config, facts, nonce, since) {
        Ok(flow) => drive(flow, config, facts, terminal, &mut Direct::new(config, watch)),
        Err(error) => Verdict::Misconfigured(error.to_string()),
    };
    show(terminal, config.language, Notice::Verdict(&verdict));
    verdict
}

/// Drives the machine over a transport until it is done.
pub fn drive(
    mut flow: Flow,
    config: &Config,
    facts: &SudoFacts,
    terminal: &mut dyn Terminal,
    transport: &mut dyn Transport,
) -> Verdict {
    let mut input = Input::Start;
    loop {
        let output = flow.step(now(), input);
        if let Some(ticket) = &output.show {
            show(terminal, config.language, Notice::Question(&config.hostname, facts, ticket));
        }
        input = match output.next {
            Next::Done(verdict) => return verdict,
            Next::Call(call, within) => transport.call(&call, within).map_or_else(Input::Failed, Input::Reply),
            Next::Pause(time) => transport.pause(time).map_or_else(Input::Failed, |()| Input::Rested),
        };
    }
}

/// Shows a notice line by line.
pub(crate) fn show(terminal: &mut dyn Terminal, language: Language, notice: Notice<'_>) {
    let wrong = notice.tells_of_something_wrong();
    for line in notice.lines(language) {
        if wrong { terminal.warn(&line) } else { terminal.say(&line) }
    }
}
