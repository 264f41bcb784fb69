//! `identree audit verify`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use identree_core::audit::verify::{Grade, Known, Report, verify};
use identree_core::audit::{LogKey, Statement, StatementError};

use super::{read, say, shown};
use crate::cli::failed;

/// What was to be verified could not be read.
const UNREADABLE: u8 = 2;
/// As it was signed, and something in it wants an explanation.
const ODD: u8 = 3;

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// The directory of an exported copy.
    #[arg(required_unless_present = "proof", conflicts_with = "proof")]
    directory: Option<PathBuf>,
    /// The log's public key as `identree audit key` prints it, or a file with it. Take it from where the log's operators publish it, not
    /// from the copy.
    #[arg(long, value_name = "KEY|FILE")]
    key: String,
    /// A proof that `identree audit prove` has printed, in place of a copy.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// The log had this many entries at least.
    #[arg(long, value_name = "ENTRIES")]
    size: Option<u64>,
    /// A checkpoint that was kept; may be given several times.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// How far clocks may be apart.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    tolerance: Duration,
}

pub(super) fn run(arguments: &VerifyArgs) -> ExitCode {
    let verified = match (&arguments.proof, &arguments.directory) {
        (Some(proof), _) => verify_proof(arguments, proof),
        (None, Some(directory)) => verify_copy(arguments, directory),
        (None, None) => Err("give the directory of a copy, or --proof FILE".into()),
    };
    verified.unwrap_or_else(|error| {
        failed(&*error);
        ExitCode::from(UNREADABLE)
    })
}

type Verified = Result<ExitCode, Box<dyn std::error::Error>>;

fn key(text: &str) -> Result<LogKey, Box<dyn std::error::Error>> {
    match LogKey::parse(text) {
        Ok(key) => Ok(key),
        Err(_) if std::path::Path::new(text).is_file() => Ok(LogKey::parse(&read(text.as_ref())?)?),
        Err(error) => Err(format!("--key: {error}").into()),
    }
}

fn verify_copy(arguments: &VerifyArgs, directory: &std::path::Path) -> Verified {
    let kept = |path: &PathBuf| Ok((shown(path), read(path)?));
    let checkpoints = arguments.checkpoint.iter().map(kept).collect::<Result<_, Box<dyn std::error::Error>>>()?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let known = Known { size: arguments.size, checkpoints, tolerance: arguments.tolerance, threads };
    let report = verify(directory, &key(&arguments.key)?, &known)?;
    tell_report(&report);
    Ok(match report.worst() {
        Some(Grade::Broken) => ExitCode::FAILURE,
        Some(_) => ExitCode::from(ODD),
        None => ExitCode::SUCCESS,
    })
}

fn tell_report(report: &Report) {
    for finding in &report.findings {
        let grade = match finding.grade() {
            Grade::Broken => "BROKEN",
            Grade::Odd => "odd",
            Grade::Remark => "note",
        };
        say(&format!("{grade}: {finding}"));
    }
    for (grade, text) in [(Grade::Broken, "BROKEN"), (Grade::Odd, "odd"), (Grade::Remark, "note")] {
        let more = report.findings.more(grade);
        if more > 0 {
            say(&format!("{text}: and {more} more of these"));
        }
    }
    if let Some(newest) = &report.newest {
        let signed = newest.signed_at.map_or_else(String::new, |at| format!(", signed at {at}"));
        say(&format!("the log {}: {} entries under its newest checkpoint{signed}", newest.origin, newest.size));
        if report.first > 0 {
            say(&format!(
                "this copy begins at entry {}: what was before it is proven by its tiles alone",
                report.first
            ));
        }
        let unchecked = match report.unchecked {
            0 => String::new(),
            more => format!(", {more} could not be compared"),
        };
        say(&format!("checkpoints compared: {}{unchecked}", report.checkpoints));
        if report.personal + report.erased > 0 {
            say(&format!(
                "personal data: {} as committed to, {} erased or withheld, which a copy cannot tell apart",
                report.personal, report.erased
            ));
        }
    }
    say(match report.worst() {
        Some(Grade::Broken) => "BROKEN: this is not what was signed, or not all of it",
        Some(_) => "as it was signed; see what is odd",
        None => "as it was signed",
    });
}

fn verify_proof(arguments: &VerifyArgs, path: &std::path::Path) -> Verified {
    let (key, statement) = (key(&arguments.key)?, Statement::parse(&read(path)?)?);
    let proven = match statement.verify(&key) {
        Ok(proven) => proven,
        Err(error @ StatementError::Form(_)) => return Err(error.into()),
        Err(error) => {
            say(&format!("BROKEN: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    for sealed in &proven.events {
        say(&super::tail::line(sealed));
    }
    if let Some(note) = super::without_personal(&proven) {
        say(&note);
    }
    let signed = proven.checkpoint.signed_at.map_or_else(String::new, |at| format!(" at {at}"));
    say(&format!(
        "proven: in the log {} of {} entries, signed{signed}",
        proven.checkpoint.origin, proven.checkpoint.size
    ));
    if let Some(since) = &proven.since {
        say(&format!("proven: that log begins with the one of {} entries, of the earlier checkpoint", since.size));
    }
    Ok(ExitCode::SUCCESS)
}
