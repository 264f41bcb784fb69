//! The command line.

mod audit;
#[cfg(feature = "sqlite")]
mod backup;
mod config;
mod decision;
#[cfg(feature = "dev-idp")]
mod dev;
mod host;
mod log;
mod serve;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use self::audit::AuditVerb;
#[cfg(feature = "sqlite")]
use self::backup::BackupVerb;
use self::config::ConfigVerb;
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
    /// Try everything on this machine: a server, a development sign-in page, one real question
    #[cfg(feature = "dev-idp")]
    Dev(dev::DevArgs),
    /// Try everything on this machine (this build cannot: it has no development provider)
    #[cfg(not(feature = "dev-idp"))]
    Dev {
        /// Not looked at
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<String>,
    },
    /// Make a new key to sign answers with; the old one introduces it to the hosts.
    RotateDecisionKey(decision::RotateArgs),
    /// Look at and change what is kept in the database for all servers: policies, client settings, hosts, sudo rules.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// The audit log: verify, export, prove, watch it.
    #[command(subcommand)]
    Audit(AuditVerb),
    #[command(flatten)]
    Host(HostVerb),
    #[cfg(feature = "sqlite")]
    #[command(flatten)]
    Backup(BackupVerb),
}

/// How long the end of the process waits for calls that block.
const LINGER: Duration = Duration::from_secs(5);

/// Runs the command line. What goes wrong is told on standard error, with the remedy.
pub fn run() -> ExitCode {
    let command = Command::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = match command.verb {
        Verb::Serve => {
            let ended = runtime.block_on(serve::run()).unwrap_or_else(|error| failed(&*error));
            // A disk that hangs holds a thread: a server that has ended in order does not wait for it.
            runtime.shutdown_timeout(LINGER);
            return ended;
        }
        #[cfg(feature = "dev-idp")]
        Verb::Dev(arguments) => runtime.block_on(dev::run(&arguments)),
        #[cfg(not(feature = "dev-idp"))]
        Verb::Dev { .. } => Err(WITHOUT_DEV.into()),
        Verb::RotateDecisionKey(arguments) => runtime.block_on(decision::run(arguments)),
        Verb::Config(verb) => runtime.block_on(config::run(verb)),
        Verb::Audit(verb) => return runtime.block_on(audit::run(verb)),
        Verb::Host(verb) => runtime.block_on(host::run(verb)),
        #[cfg(feature = "sqlite")]
        Verb::Backup(verb) => runtime.block_on(backup::run(verb)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&*error),
    }
}

/// The development provider lets anyone be anyone; it is in no build that did not ask for it.
#[cfg(not(feature = "dev-idp"))]
const WITHOUT_DEV: &str = "this build has no development provider; build one that has, in a clone of the repository: \
                           cargo run --release -p identree-server --features dev-idp -- dev";

type Done = Result<(), Box<dyn std::error::Error>>;

#[expect(clippy::print_stderr, reason = "a command line tells its user what went wrong")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    eprintln!("identree: {text}");
    ExitCode::FAILURE
}
