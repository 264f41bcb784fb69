//! `identree setup`: a host file that works, a way back, and only then the gate.

use std::path::Path;
use std::process::ExitCode;

use identree_pam::setup::journal::{self, Direction};
use identree_pam::setup::plan::{Places, Wish};
use identree_pam::setup::{Done as Outcome, Password, Setup};
use identree_pam::terminal::{Stdout, Terminal as _};
use identree_pam::trial::Account;
use identree_pam::{Config, Place, Reason, claims};
use nix::unistd::User;
use rustix::process::{Signal, getpid, kill_process};

use crate::arguments::Arguments;
use crate::{Done, glass, own_program};

pub(crate) fn run(arguments: &Arguments) -> Done {
    let (program, account) = (own_program()?, account(&arguments.user)?);
    let setup = Setup {
        places: Places::default(),
        records: journal::DIRECTORY.into(),
        program: &program,
        account: &account,
        wish: Wish {
            services: arguments.services.clone(),
            password: if arguments.keep_password { Password::Kept } else { Password::Replaced },
            audit: arguments.auditd,
        },
    };
    let mut step = 0;
    let mut steps = || {
        if arguments.abort_at == Some(step) {
            let _ = kill_process(getpid(), Signal::KILL);
        }
        step += 1;
    };
    let direction = if arguments.remove { Direction::Remove } else { Direction::Install };
    if arguments.dry_run {
        if let (Direction::Install, Err(error)) = (direction, Config::load(&arguments.config, 0)) {
            Stdout.say(&format!("note: setup would stop and change nothing: {error}"));
        }
        setup.dry_run(direction, &mut Stdout)?;
        return Ok(ExitCode::SUCCESS);
    }
    let state = setup.recover(&mut Stdout)?;
    let outcome = match direction {
        Direction::Install => {
            ready(arguments, &setup)?;
            setup.install(&state, &mut steps, &mut Stdout)?
        }
        Direction::Remove => setup.remove(&state, &mut steps, &mut Stdout)?,
    };
    Stdout.say(match (direction, outcome) {
        (Direction::Install, Outcome::Changed) => "the gate is in; `identree doctor` tries every door",
        (Direction::Install, Outcome::Nothing) => "everything was in place already; nothing was changed",
        (Direction::Remove, Outcome::Changed) => "the gate is out; the break-glass file and the host file stay",
        (Direction::Remove, Outcome::Nothing) => "there was nothing to take out",
    });
    Ok(ExitCode::SUCCESS)
}

/// What must be right before the gate closes: the host file, the server, and a way back.
fn ready(arguments: &Arguments, setup: &Setup<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let resolver = setup.places.libexec.join("identree-pam");
    let place = Place {
        config: &arguments.config,
        claims: Path::new(claims::DIRECTORY),
        owner: 0,
        reason: Reason::Stated,
        resolver: &resolver,
    };
    match identree_pam::check(&place, &mut Stdout) {
        0 => {}
        3 if arguments.without_server => Stdout.say("going on without the server, as asked"),
        3 => {
            return Err(
                "the server cannot be reached, so everybody would be locked out; --without-server goes on".into()
            );
        }
        _ => return Err("the host file or the server is not right (see above); nothing was changed".into()),
    }
    if arguments.no_break_glass {
        Stdout.say("break-glass: none, as asked");
        return Ok(());
    }
    if !setup.places.libexec.join("pam_identree.so").exists() {
        return Err(
            "pam_identree.so is not installed, and pam_exec cannot ask for a break-glass password; install it, \
                    or say --no-break-glass if root can log in without sudo"
                .into(),
        );
    }
    match Config::load(&arguments.config, 0)?.break_glass {
        Some(file) => glass::ensure(&file, arguments.break_glass_hash.as_deref()),
        None => Err("IDENTREE_BREAKGLASS_ENABLED=false leaves no way back when the server is gone; \
                     say --no-break-glass if that is meant"
            .into()),
    }
}

/// Who tries the doors.
pub(crate) fn account(name: &str) -> Result<Account, Box<dyn std::error::Error>> {
    let user =
        User::from_name(name)?.ok_or_else(|| format!("there is no user '{name}' to try the doors; see --user"))?;
    if user.uid.is_root() {
        return Err("root passes every door; name somebody else with --user".into());
    }
    Ok(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}
