//! The command line.

mod host;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::host::HostVerb;

/// Approve sudo on your phone: the identree server.
#[derive(Debug, Parser)]
#[command(name = "identree", version, about, arg_required_else_help = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server; configuration comes from the environment and /etc/identree.
    Serve,
    #[command(flatten)]
    Host(HostVerb),
}

/// Runs the command line. What goes wrong is told on standard error, with the remedy.
pub fn run() -> ExitCode {
    let command = Command::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = match command.verb {
        Verb::Serve => runtime.block_on(serve::run()),
        Verb::Host(verb) => runtime.block_on(host::run(verb)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&*error),
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

#[expect(clippy::print_stderr, reason = "a command line tells its user what went wrong")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    eprintln!("identree: {text}");
    ExitCode::FAILURE
}
