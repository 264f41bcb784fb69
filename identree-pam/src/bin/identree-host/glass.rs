//! Making and trying the break-glass password of this host.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use identree_core::secret::Secret;
use identree_pam::clock::calendar_secs;
use identree_pam::glass::{self, Checked, DIRECTORY, HashFile, Place, generate};
use identree_pam::state::State;
use identree_pam::terminal::{Echo, Stdout, Terminal as _};
use identree_pam::{Config, config};
use zeroize::Zeroizing;

use crate::Done;
use crate::tty::Tty;

/// Two lines are far less.
const MAX_HASH_BYTES: u64 = 4096;
/// A password is one line.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// Where this host has its break-glass file; the default where there is no host file yet.
fn file(path: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    match Config::load(path, 0) {
        Ok(config) => config.break_glass.ok_or_else(|| "IDENTREE_BREAKGLASS_ENABLED=false: this host has none".into()),
        Err(config::ConfigError::File(error)) if error.is_missing() => Ok(glass::PATH.into()),
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that there is a password: the one that is there, the one whose hash is given, or a new one.
pub(crate) fn ensure(file: &Path, given: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    State::create(Path::new(DIRECTORY), 0)?;
    if let Some(given) = given {
        let text = read_hash(given)?;
        let hash = HashFile { created: calendar_secs(), ..HashFile::parse(&text).map_err(|e| e.to_string())? };
        hash.save(file).map_err(|e| format!("{}: {e}", file.display()))?;
        Stdout.say(&format!("break-glass: the hash is in {}", file.display()));
        return Ok(());
    }
    if HashFile::load(file, 0)?.is_some() {
        Stdout.say(&format!("break-glass: {} is there", file.display()));
        return Ok(());
    }
    make(file)
}

/// A new password, shown on the terminal once and kept as its hash only.
fn make(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let Some(mut tty) = Tty::open() else {
        return Err("a new break-glass password is shown on a terminal and there is none; run this on one, or give \
                    the hash of a password with setup --break-glass-hash"
            .into());
    };
    let password = generate()?;
    let hash = HashFile::of(&password, calendar_secs())?;
    tty.show(&format!(
        "\nThe break-glass password of this host. It opens sudo when the server cannot be reached.\n\
         Write it down now: it is shown this once, and only its hash is kept.\n\n    {}\n\n",
        password.expose()
    ))?;
    let typed = tty.ask("Type it once to go on: ", Echo::Off)?;
    if !password.matches(typed.expose().trim().as_bytes()) {
        return Err("that was another text; no password was set, run this again".into());
    }
    hash.save(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Stdout.say(&format!("break-glass: its hash is in {}", file.display()));
    Ok(())
}

/// `rotate-breakglass`.
pub(crate) fn rotate(config: &Path) -> Done {
    let file = file(config)?;
    State::create(Path::new(DIRECTORY), 0)?;
    make(&file)?;
    Ok(ExitCode::SUCCESS)
}

/// `verify-breakglass`: from the terminal, or one line of standard input where that is none. Counted like any try.
pub(crate) fn verify(config: &Path) -> Done {
    let file = file(config)?;
    State::create(Path::new(DIRECTORY), 0)?;
    let password = if io::stdin().is_terminal() {
        let mut tty = Tty::open().ok_or("there is no terminal to ask on")?;
        tty.ask("Break-glass password: ", Echo::Off)?
    } else {
        let mut text = Zeroizing::new(String::new());
        io::stdin().take(MAX_PASSWORD_BYTES).read_to_string(&mut text)?;
        Secret::new(text.lines().next().unwrap_or_default().to_owned())
    };
    let place = Place { file, folder: DIRECTORY.into(), owner: 0 };
    let (code, line) = match glass::verify(&place, &password, 0, None)? {
        Checked::Right => (ExitCode::SUCCESS, "that is the break-glass password of this host".to_owned()),
        Checked::Wrong => (ExitCode::FAILURE, "that is not the break-glass password of this host".to_owned()),
        Checked::TooOften(wait) => {
            (ExitCode::FAILURE, format!("too many attempts; try again in {} seconds", wait.as_secs()))
        }
        Checked::None => {
            (ExitCode::FAILURE, format!("{}: this host has none; run identree setup", place.file.display()))
        }
    };
    Stdout.say(&line);
    Ok(code)
}

fn read_hash(given: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    if given == Path::new("-") {
        io::stdin().take(MAX_HASH_BYTES).read_to_string(&mut text)?;
    } else {
        let file = fs::File::open(given).map_err(|e| format!("{}: {e}", given.display()))?;
        file.take(MAX_HASH_BYTES).read_to_string(&mut text).map_err(|e| format!("{}: {e}", given.display()))?;
    }
    Ok(text)
}
