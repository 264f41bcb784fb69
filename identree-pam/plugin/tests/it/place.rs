//! Where the shared object is, and a machine whose sudo loads it.

use std::path::PathBuf;

use identree_core::challenge::SudoRun;
use identree_core::wire::v1::OpenRequest;

use crate::sandbox::{Running, Sandbox};
use crate::server::Server;

/// Debian's own defaults.
pub(crate) const DEFAULTS: &str = "Defaults !lecture, env_reset, use_pty\n\
    Defaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n";

/// No identree in PAM at all: the plugin is the only gate.
pub(crate) const OPEN: &str =
    "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n";

/// The shared object of this build, beside the test's own program.
pub(crate) fn plugin() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let plugin = deps.join("libsudo_identree.so");
    assert!(plugin.exists(), "{} is built with this test", plugin.display());
    plugin
}

/// Like [`machine_with`], with Debian's defaults and everything allowed without a password.
pub(crate) fn machine(server: &Server) -> Option<Sandbox> {
    machine_with(server, &format!("{DEFAULTS}ann ALL=(ALL:ALL) NOPASSWD: ALL\n"))
}

/// A machine whose sudo asks this server through the plugin. `None` where this machine cannot do it.
pub(crate) fn machine_with(server: &Server, sudoers: &str) -> Option<Sandbox> {
    let conf = server.write_conf(&format!("{}IDENTREE_TIMEOUT=20s\n", server.conf()));
    let sandbox = Sandbox::with_pam(OPEN, "ALL")?;
    sandbox.put("sudoers", sudoers, 0o440);
    let line = format!("Plugin identree_approval {} config={}\n", plugin().display(), conf.display());
    sandbox.put("sudo.conf", &line, 0o644);
    Some(sandbox)
}

/// Starts a command line as ann, without a terminal.
pub(crate) fn spawn(sandbox: &Sandbox, line: &str) -> Running {
    // A session of its own has no terminal that the plugin's lines could go to instead.
    sandbox.spawn(&format!("exec setsid --wait sh -c '{}'", line.replace('\'', "'\\''")))
}

/// Runs a command line as ann, and returns its exit code with what it printed.
pub(crate) fn run(sandbox: &Sandbox, line: &str) -> (i32, String) {
    spawn(sandbox, line).finish()
}

/// The question that was asked first.
pub(crate) fn question(server: &Server) -> OpenRequest {
    server.seen().iter().find_map(|seen| seen.question.clone()).expect("a question was asked")
}

/// What it says would run.
pub(crate) fn asked(server: &Server) -> SudoRun {
    *question(server).run.expect("the plugin asks with what runs")
}
