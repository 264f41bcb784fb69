//! Where the shared object is, and the PAM lines that load it.

use std::path::{Path, PathBuf};

use crate::sandbox::{Running, Sandbox, require};
use crate::server::Server;

/// The shared object of this build, beside the test's own program.
pub(crate) fn module() -> PathBuf {
    beside("libpam_identree.so")
}

/// A file that was built with the test.
pub(crate) fn beside(name: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let file = deps.join(name);
    assert!(file.exists(), "{} is built with this test", file.display());
    file
}

/// Shell: an empty `/usr/libexec/identree` of root's, beside what sudo has there.
pub(crate) const LIBEXEC: &str = "mkdir /run/libexec; mount --bind /usr/libexec /run/libexec; \
    mount -t tmpfs -o mode=0755 tmpfs /usr/libexec; cp -a /run/libexec/sudo /usr/libexec/; mkdir -m 755 /usr/libexec/identree";

/// Shell: `$1` as ann, in a session of its own.
pub(crate) const AS_ANN: &str = "exec setpriv --reuid=64001 --regid=64001 --clear-groups setsid --wait sh -c \"$1\"";

/// The lines of `protocol.md` section 4 with the module, each of them droppable.
pub(crate) fn stack(options: &str) -> Vec<String> {
    let module = module();
    let module = module.display();
    vec![
        format!("auth requisite {module} {options}"),
        "auth required pam_permit.so".into(),
        format!("account required {module} {options}"),
        "account required pam_permit.so".into(),
        format!("session optional {module} {options}"),
        "session required pam_permit.so".into(),
    ]
}

/// `config=` for this server's host.
pub(crate) fn config(server: &Server) -> String {
    let conf = server.write_conf(&format!("{}IDENTREE_TIMEOUT=20s\n", server.conf()));
    format!("config={}", conf.display())
}

/// A machine whose sudo and su ask this server through the module. `None` where this machine cannot do it.
pub(crate) fn machine(server: &Server, rule: &str) -> Option<Sandbox> {
    Sandbox::with_pam(&stack(&config(server)).join("\n"), rule)
}

/// Runs pamtester as root in the sandbox: `words` are its arguments.
pub(crate) fn pamtester(sandbox: &Sandbox, words: &str) -> Option<(i32, String)> {
    let there = require("pamtester", Path::new("/usr/bin/pamtester").exists());
    there.then(|| as_root(sandbox, &format!("pamtester {words}")).finish())
}

/// Starts a command line as root in the sandbox.
pub(crate) fn as_root(sandbox: &Sandbox, line: &str) -> Running {
    sandbox.start("exec sh -c \"$1\"", &format!("exec 2>&1; {line}"))
}
