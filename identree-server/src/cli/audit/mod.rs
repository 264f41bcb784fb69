//! `identree audit …`: the sealed log, for operators and auditors. `verify` needs neither server nor settings; the others read the database, beside a
//! running server or without one.

mod erase;
mod export;
mod prove;
mod tail;
mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use identree_core::audit::{LogKey, Proven};
use identree_core::store::Store;
use identree_core::text::visible;

use super::{Done, failed};
use crate::config::{self, Database};
use crate::{database, log_key};

#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// Verify an exported copy, or a proof, offline: 0 as signed, 1 broken, 2 cannot be read, 3 as signed but odd.
    Verify(verify::VerifyArgs),
    /// Copy the log into a directory; what is there already is only added to.
    Export(export::ExportArgs),
    /// Print a proof that something is in the log: a question, an event, or the entry at a place.
    Prove(prove::ProveArgs),
    /// Show the newest entries.
    Tail(tail::TailArgs),
    /// Print the public key of the log, which auditors need to verify it.
    Key,
    /// Erase what the log knows of a person; entries, hashes and proofs stay as they are.
    Erase(erase::EraseArgs),
}

pub(super) async fn run(verb: AuditVerb) -> ExitCode {
    let done = match verb {
        AuditVerb::Verify(arguments) => return verify::run(&arguments),
        AuditVerb::Export(arguments) => export::run(arguments).await,
        AuditVerb::Prove(arguments) => prove::run(arguments).await,
        AuditVerb::Tail(arguments) => tail::run(arguments).await,
        AuditVerb::Key => key().await,
        AuditVerb::Erase(arguments) => erase::run(arguments).await,
    };
    done.map_or_else(|error| failed(&*error), |()| ExitCode::SUCCESS)
}

async fn key() -> Done {
    let store = open().await?;
    say(&key_of(&*store).await?.to_string());
    Ok(())
}

/// The store that the settings name.
async fn open() -> Result<Arc<dyn Store>, Box<dyn std::error::Error>> {
    Ok(database::open(&Database::from_found(&config::read())?).await?)
}

/// The key that the log of this database is signed with.
async fn key_of(store: &dyn Store) -> Result<LogKey, Box<dyn std::error::Error>> {
    let key = log_key::recorded(store).await?;
    Ok(key.ok_or("this database has no log yet: the server makes its key when it starts for the first time")?)
}

/// What a reader of a proof has to know of personal data that is not in it; none where nothing is missing.
fn without_personal(proven: &Proven) -> Option<String> {
    let places: Vec<_> = proven.without_personal.iter().map(|seq| seq.0.to_string()).collect();
    (!places.is_empty()).then(|| {
        format!(
            "note: the personal data of entry {} is not in this proof, which cannot tell whether it was erased or is withheld",
            places.join(", ")
        )
    })
}

/// A file that somebody named.
fn read(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", shown(path)).into())
}

/// A checkpoint in a file that somebody kept.
fn note(path: &Option<PathBuf>) -> Result<Option<String>, Box<dyn std::error::Error>> {
    path.as_deref().map(read).transpose()
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

/// Prints a line. That nobody reads any more (`| head`) is no failure of the verb.
fn say(line: &str) {
    let _ = print(line);
}

fn print(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

#[expect(clippy::print_stderr, reason = "what a verb did is told beside what it prints")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    const MANUAL: &str = include_str!("../../../../docs/man/identree-audit.8");

    #[test]
    fn the_manual_page_has_every_verb_and_every_option() {
        // Dashes and fonts are written out in it.
        let manual = MANUAL.replace("\\-", "-");
        let mut command = crate::cli::Command::command();
        command.build();
        let audit = command.find_subcommand("audit").unwrap();
        for verb in audit.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let name = verb.get_name();
            assert!(manual.contains(&format!("identree audit {name}")), "no synopsis of {name}");
            for option in verb.get_arguments().filter_map(|argument| argument.get_long()).filter(|long| *long != "help")
            {
                assert!(manual.contains(&format!("--{option}")), "no --{option} of {name}");
            }
        }
        // And no others.
        for line in manual.lines().filter_map(|line| line.strip_prefix(".B identree audit ")) {
            assert!(audit.find_subcommand(line.split(' ').next().unwrap()).is_some(), "there is no {line}");
        }
    }
}
