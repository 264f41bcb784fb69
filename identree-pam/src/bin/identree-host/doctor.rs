//! `identree doctor`.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;

use identree_pam::doctor::{Walk, exit_code, show, walk};
use identree_pam::setup::journal::DIRECTORY;
use identree_pam::setup::plan::Places;
use identree_pam::state::State;
use identree_pam::terminal::{Stdout, Terminal as _};

use crate::arguments::Arguments;
use crate::setup::account;
use crate::{Done, own_program};

pub(crate) fn run(arguments: &Arguments) -> Done {
    let (program, account) = (own_program()?, account(&arguments.user)?);
    State::create(Path::new(DIRECTORY), 0)?;
    // Not setup's room: both may run at once.
    let room = Path::new(DIRECTORY).join(format!("doctor-{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&room).map_err(|e| format!("{}: {e}", room.display()))?;
    let found = walk(&Walk { places: &Places::default(), program: &program, room: &room, account: &account });
    let _ = fs::remove_dir(&room);
    if arguments.json {
        Stdout.say(&serde_json::json!({ "user": account.name, "doors": found }).to_string());
    } else {
        show(&found, &mut Stdout);
    }
    Ok(ExitCode::from(exit_code(&found)))
}
