//! Runs one question to its verdict.

use identree_core::id::Nonce;

use crate::clock::{Moment, now};
use crate::config::Config;
use crate::flow::{Flow, Input, Next};
use crate::question::Question;
use crate::terminal::{Echo, Terminal};
use crate::text::{Language, Notice};
use crate::transport::{Direct, Transport, Watch};
use crate::verdict::Verdict;

/// Asks the configured server and waits for the verdict, showing question and verdict on the terminal. `since` is when the
/// question was asked first; [`now`] for a new nonce.
pub fn ask<'a>(
    config: &Config,
    question: impl Into<Question<'a>>,
    nonce: Nonce,
    since: Moment,
    terminal: &mut dyn Terminal,
    watch: Watch,
) -> Verdict {
    let question = question.into();
    if config.is_insecure() {
        show(terminal, config.language, Notice::Insecure);
    }
    let verdict = match Flow::new(config, question, nonce, since) {
        Ok(flow) => drive(flow, config, question, terminal, &mut Direct::new(config, watch)),
        Err(error) => Verdict::Misconfigured(error.to_string()),
    };
    show(terminal, config.language, Notice::Verdict(&verdict));
    verdict
}

/// Drives the machine over a transport until it is done.
pub fn drive<'a>(
    mut flow: Flow,
    config: &Config,
    question: impl Into<Question<'a>>,
    terminal: &mut dyn Terminal,
    transport: &mut dyn Transport,
) -> Verdict {
    let (question, mut input) = (question.into(), Input::Start);
    loop {
        let mut output = flow.step(now(), input);
        if let Some(ticket) = &output.show {
            let canvas = terminal.canvas().filter(|_| config.qr);
            show(terminal, config.language, Notice::Question(&config.hostname, question, ticket, canvas));
            if terminal.holds_back() {
                // The prompt carries what was said. Who cannot be prompted (ssh with a key) has others to tell them.
                let _ = terminal.ask(config.language.press_enter(), Echo::On);
                output.next = flow.resume(now()).next;
            }
        }
        input = match output.next {
            Next::Done(verdict) => {
                config.remember(flow.trust(), Some(&verdict));
                return verdict;
            }
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
