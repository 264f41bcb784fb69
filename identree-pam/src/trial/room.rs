//! The inside of a trial: builds the room over this namespace's `/etc`, then starts the command as the one who tries.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::mount::{MountFlags, mount, mount_bind};

use super::{Order, READY};
use crate::setup::file::Snapshot;
use crate::{claims, state};

/// More than all files that setup changes.
const MAX_ORDER_BYTES: u64 = 32 * 1024 * 1024;

/// Runs in the namespace: reads the order from standard input, builds the room, runs the command, returns its exit code.
///
/// It refuses to build anything outside of a mount namespace of its own.
pub fn inside() -> ExitCode {
    let order = match order().and_then(|order| build(&order).map(|()| order)) {
        Ok(order) => order,
        Err(error) => {
            let _ = writeln!(io::stdout(), "{error}");
            return ExitCode::FAILURE;
        }
    };
    let _ = writeln!(io::stdout(), "{READY}");
    run(&order).unwrap_or_else(|error| {
        let _ = writeln!(io::stdout(), "{error}");
        ExitCode::FAILURE
    })
}

fn order() -> io::Result<Order> {
    let mut bytes = Vec::new();
    io::stdin().take(MAX_ORDER_BYTES).read_to_end(&mut bytes)?;
    // The first process of a process namespace: that is how `unshare` starts this, and nothing else does.
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        return Err(io::Error::other("this is for identree itself"));
    }
    Ok(serde_json::from_slice(&bytes)?)
}

fn build(order: &Order) -> io::Result<()> {
    let named = |what: &'static str| move |error: io::Error| io::Error::other(format!("{what}: {error}"));
    let room = &*order.room;
    tmpfs(room, c"mode=0755").map_err(named("mount of the room"))?;
    let copied = Command::new("/bin/cp").args(["-a", "/etc/."]).arg(room).env_clear().stdin(Stdio::null()).status()?;
    if !copied.success() {
        return Err(io::Error::other("cp could not copy /etc"));
    }
    let own = room.join("identree");
    match fs::remove_dir_all(&own) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::DirBuilder::new().mode(0o755).create(&own)?,
    }
    Snapshot::new(order.host_file.clone().into_bytes(), 0o600).put(&own.join("client.conf"))?;
    for (path, state) in &order.files {
        let inner = path.strip_prefix("/etc").map_err(|_| io::Error::other("a file outside of /etc"))?;
        if let Some(folder) = room.join(inner).parent() {
            fs::create_dir_all(folder)?;
        }
        Snapshot::restore(state.as_ref(), &room.join(inner))?;
    }
    mount_bind(room, "/etc").map_err(io::Error::from).map_err(named("mount on /etc"))?;
    // Nothing that is tried may leave a ticket, a record or a use behind.
    for (path, mode, data) in [
        ("/run/sudo", 0o711, c"mode=0711"),
        (claims::DIRECTORY, 0o700, c"mode=0700"),
        (state::DIRECTORY, 0o700, c"mode=0700"),
    ] {
        match fs::DirBuilder::new().mode(mode).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => tmpfs(Path::new(path), data).map_err(named("mount of what sudo and identree remember"))?,
        }
    }
    fs::set_permissions("/etc", fs::Permissions::from_mode(0o755))
}

fn tmpfs(path: &Path, data: &std::ffi::CStr) -> io::Result<()> {
    Ok(mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, data)?)
}

fn run(order: &Order) -> io::Result<ExitCode> {
    let (program, arguments) = order.command.split_first().ok_or_else(|| io::Error::other("no command"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).current_dir("/");
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    // No supplementary group: `uid` alone makes the standard library drop them.
    command.uid(order.account.uid).gid(order.account.gid);
    // Both streams in one order.
    command.stderr(io::stdout());
    let status = command.status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
