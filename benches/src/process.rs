//! Starting programs: how long one runs, how many instructions, how much memory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Result;
use crate::figures::now;

/// A new directory that only its owner may enter; removed on drop.
///
/// # Errors
/// If it cannot be made.
pub fn private_directory() -> Result<tempfile::TempDir> {
    let permissions = std::fs::Permissions::from_mode(0o700);
    Ok(tempfile::Builder::new().prefix("identree-bench-").permissions(permissions).tempdir()?)
}

/// A program that stands beside this one, as cargo builds them.
///
/// # Errors
/// If it is not there; the text says how to build it.
pub fn sibling(name: &str, how: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().unwrap_or(Path::new(".")).join(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is not there; build it: {how}", path.display()).into()) }
}

/// A program of another profile, in the same target directory.
///
/// # Errors
/// If it is not there; the text says how to build it.
pub fn built(profile: &str, name: &str, how: &str) -> Result<PathBuf> {
    sibling(&format!("../{profile}/{name}"), how)
}

/// Runs it once, unmeasured.
///
/// # Errors
/// If it does not end with one of these exit codes; what it said is in the text.
pub fn rehearsed(command: &mut Command, codes: &[i32]) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.code().is_some_and(|code| codes.contains(&code)) {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let program = command.get_program().to_string_lossy();
    Err(format!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&said)).into())
}

/// From start to exit.
///
/// # Errors
/// If it cannot be started or does not end with one of these exit codes.
pub fn timed(command: &mut Command, codes: &[i32]) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = now();
    let status = command.status()?;
    let took = started.elapsed();
    match status.code() {
        Some(code) if codes.contains(&code) => Ok(took),
        _ => Err(format!("{} ended with {status}", command.get_program().to_string_lossy()).into()),
    }
}

/// Instructions in user space by callgrind; `None` where valgrind is not installed.
///
/// # Errors
/// If callgrind says no count.
pub fn instructions(command: &Command) -> Result<Option<u64>> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"]);
    let Ok(output) = within(valgrind, command).output() else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim().parse());
    match count {
        Some(count) => Ok(Some(count?)),
        None => Err(format!("callgrind counts nothing: {text}").into()),
    }
}

/// The largest resident set in KiB, measured by the small program `peak-rss`: a process starts with the peak of the one that
/// forked it, so the parent must be smaller than what is measured.
///
/// # Errors
/// If the program is not there or prints no number.
pub fn peak_rss_kib(command: &Command) -> Result<u64> {
    let tool = sibling("peak-rss", "cargo build -p identree-benches --profile host --bins")?;
    let output = within(Command::new(tool), command).output()?;
    // The command itself may have said something before.
    let said = String::from_utf8(output.stderr)?;
    Ok(said.lines().last().unwrap_or_default().trim().parse()?)
}

/// The command as an argument of another.
fn within(mut outer: Command, command: &Command) -> Command {
    outer.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
