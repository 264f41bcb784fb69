//! The helper that `pam_exec` starts. Its exit code is the answer; only 0 opens anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use identree_pam::facts::{PamItems, Phase, each_once};
use identree_pam::terminal::Stdout;
use identree_pam::{Canvas, Place, Reason, Terminal, claims, config, gate, hygiene, transport};

const HELP: &str = "\
identree-pam: asks a person before sudo or su runs; started by pam_exec, see pam_exec(8)

    auth     requisite  pam_exec.so seteuid stdout quiet /usr/libexec/identree/identree-pam
    auth     required   pam_permit.so
    account  required   pam_exec.so seteuid stdout quiet /usr/libexec/identree/identree-pam

Options
    --check         read the host file, reach the server, say whether everything is right
    --config PATH   the host file, instead of /etc/identree/client.conf
    --version       print the version
    --help          print this text

Exit codes: 0 approved, 1 refused, 2 expired, 3 unreachable, 4 misconfigured, 5 cancelled, 6 not asked";

enum Do {
    Gate(PathBuf),
    Check(PathBuf),
    Resolve(String),
    Say(String),
    Wrong(String),
}

fn main() -> ExitCode {
    match arguments(std::env::args_os().skip(1)) {
        Do::Gate(config) => at_the_gate(&config),
        Do::Check(config) => ExitCode::from(identree_pam::check(&place(&config), &mut Stdout)),
        Do::Resolve(name) => {
            let found = transport::resolve_here(&name, &mut std::io::stdout());
            ExitCode::from(u8::from(!found))
        }
        Do::Say(text) => {
            Stdout.say(&text);
            ExitCode::SUCCESS
        }
        Do::Wrong(text) => {
            Stdout.say(&format!("identree-pam: {text}; see --help"));
            ExitCode::from(4)
        }
    }
}

fn at_the_gate(config: &Path) -> ExitCode {
    // The parent first: after it has died another process takes its place.
    let Some(parent) = rustix::process::getppid() else {
        Stdout.say("identree: the calling process is not visible here");
        return ExitCode::from(4);
    };
    if let Err(error) = hygiene::settle_in() {
        Stdout.say(&format!("identree: the kernel refuses a safeguard: {error}"));
        return ExitCode::from(4);
    }
    if rustix::process::getppid() != Some(parent) {
        return ExitCode::from(5);
    }
    let phase = match each_once(names()).and_then(|()| Phase::from_variables(pam_variable)) {
        Ok(Some(phase)) => phase,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            Stdout.say(&format!("identree: {error}"));
            return ExitCode::from(4);
        }
    };
    let pid = parent.as_raw_nonzero().get().unsigned_abs();
    let items = PamItems::from_variables(pam_variable);
    let mut screen = Screen(items.as_ref().ok().and_then(|items| Canvas::of(items.tty.as_ref()?, pid)));
    let verdict = gate(phase, items, pid, place(config), &mut screen);
    ExitCode::from(verdict.exit_code())
}

/// Lines through `pam_exec`, seen on a terminal of that size.
struct Screen(Option<Canvas>);

impl Terminal for Screen {
    fn say(&mut self, line: &str) {
        Stdout.say(line);
    }

    fn canvas(&self) -> Option<Canvas> {
        self.0
    }
}

fn place(config: &Path) -> Place<'_> {
    Place {
        config,
        claims: Path::new(claims::DIRECTORY),
        owner: rustix::process::geteuid().as_raw(),
        reason: Reason::Stated,
        resolver: Path::new("/proc/self/exe"),
    }
}

#[expect(clippy::disallowed_methods, reason = "names alone, to see that PAM's stand there once")]
fn names() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

#[expect(clippy::disallowed_methods, reason = "PAM_* is how pam_exec speaks; nothing else of the environment is read")]
fn pam_variable(name: &str) -> Option<OsString> {
    name.starts_with("PAM_").then(|| std::env::var_os(name)).flatten()
}

fn arguments(mut given: impl Iterator<Item = OsString>) -> Do {
    let mut config = PathBuf::from(config::PATH);
    let mut check = false;
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--config") => match given.next() {
                Some(path) => config = path.into(),
                None => return Do::Wrong("--config needs a path".into()),
            },
            Some("--check") => check = true,
            Some("--help" | "-h") => return Do::Say(HELP.into()),
            Some("--version" | "-V") => return Do::Say(concat!("identree-pam ", env!("CARGO_PKG_VERSION")).into()),
            Some(transport::RESOLVE) => match given.next().map(OsString::into_string) {
                Some(Ok(name)) => return Do::Resolve(name),
                _ => return Do::Wrong("--resolve needs a name".into()),
            },
            _ => return Do::Wrong("unknown option".into()),
        }
    }
    if check { Do::Check(config) } else { Do::Gate(config) }
}
