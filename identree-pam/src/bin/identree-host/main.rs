//! `identree` on a host: puts the gate in and takes it out, keeps the way back, says how things stand.

mod arguments;
mod doctor;
mod enroll;
mod glass;
mod setup;
mod standing;
mod tty;

use std::path::Path;
use std::process::ExitCode;

use identree_pam::terminal::{Stdout, Terminal as _};
use identree_pam::{transport, trial};

use self::arguments::{Arguments, Verb};

const HELP: &str = "\
identree: the host side; run by root

    identree enroll             make a key for this host and have the server know it
    identree rotate-key         replace that key
    identree setup              put the gate into sudo's PAM stacks, tested before and after
    identree setup --remove     take it out again, byte for byte
    identree status             say how this host stands, and why
    identree heartbeat          tell the server; for a timer
    identree doctor             try every door to root, and say which ask
    identree rotate-breakglass  make a new break-glass password for this host
    identree verify-breakglass  try a break-glass password

Options of enroll (the token is asked for, or one line of standard input)
    --server URL         https://… of the server
    --ca FILE            the authority that signed its certificate, if the system does not know it

Options of setup
    --dry-run            print what would change and change nothing
    --service NAME       sudo, sudo-i, su or su-l; may be repeated; default: sudo and sudo-i
    --keep-password      ask for the person's password too
    --auditd             have auditd watch the gate's files
    --user NAME          who tries the doors in the test; default: nobody
    --break-glass-hash F take the argon2id hash of a break-glass password from the file F (- is standard input)
    --no-break-glass     do without: root can log in otherwise
    --without-server     go on though the server cannot be reached

Options of doctor and status
    --user NAME          who tries (doctor); default: nobody
    --json               for programs

    --version, --help

Exit codes: 0 done, 1 not done and nothing changed, 2 wrong arguments;
doctor: 0 every door asks, 1 one is unknown, 2 one is open; status: 0 green, 1 amber, 2 red";

fn main() -> ExitCode {
    let mut given = std::env::args_os().skip(1).peekable();
    if given.peek().is_some_and(|first| first == trial::INSIDE) {
        return trial::inside();
    }
    // Enrolling, replacing a key and telling the server look its name up in a child of this program that can be killed.
    if given.peek().is_some_and(|first| first == transport::RESOLVE) {
        let name = given.nth(1).and_then(|name| name.into_string().ok());
        let found = name.is_some_and(|name| transport::resolve_here(&name, &mut std::io::stdout()));
        return ExitCode::from(u8::from(!found));
    }
    let arguments = match Arguments::parse(given) {
        Ok(arguments) => arguments,
        Err(problem) => {
            Stdout.say(&format!("identree: {problem}; see identree --help"));
            return ExitCode::from(2);
        }
    };
    let done = match arguments.verb {
        Verb::Help => {
            Stdout.say(HELP);
            return ExitCode::SUCCESS;
        }
        Verb::Version => {
            Stdout.say(concat!("identree ", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS;
        }
        Verb::Setup => as_root().and_then(|()| setup::run(&arguments)),
        Verb::Enroll => as_root().and_then(|()| enroll::run(&arguments)),
        Verb::RotateKey => as_root().and_then(|()| enroll::rotate(&arguments.config)),
        Verb::Status => as_root().and_then(|()| standing::status(&arguments)),
        Verb::Heartbeat => as_root().and_then(|()| standing::heartbeat(&arguments)),
        Verb::Doctor => as_root().and_then(|()| doctor::run(&arguments)),
        Verb::RotateBreakglass => as_root().and_then(|()| glass::rotate(&arguments.config)),
        Verb::VerifyBreakglass => as_root().and_then(|()| glass::verify(&arguments.config)),
    };
    done.unwrap_or_else(|problem| {
        Stdout.warn(&format!("identree: {problem}"));
        ExitCode::FAILURE
    })
}

/// What a verb ends with: a code, or a sentence that says what to do.
type Done = Result<ExitCode, Box<dyn std::error::Error>>;

fn as_root() -> Result<(), Box<dyn std::error::Error>> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(identree_pam::setup::SetupError::NotRoot.into()) }
}

/// This program, for the trials that start it again.
fn own_program() -> std::io::Result<std::path::PathBuf> {
    std::fs::read_link(Path::new("/proc/self/exe"))
}
