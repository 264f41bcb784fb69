//! Module and approval plugin together: the plugin asks where it is proven to be there, and the module where it is not.

use identree_core::grant::Decision;

use crate::place::{AS_ANN, LIBEXEC, beside, config, stack};
use crate::sandbox::Sandbox;
use crate::server::Server;

const HOME: &str = "/usr/libexec/identree/sudo_identree.so";

/// Runs sudo as ann on a machine where the plugin is at its place with this mode, and sudo.conf loads `loaded`.
fn sudo(server: &Server, loaded: &str, mode: &str, line: &str) -> Option<(i32, String)> {
    let options = config(server);
    let sandbox = Sandbox::with_pam(&stack(&options).join("\n"), "NOPASSWD: ALL")?;
    sandbox.put("sudo.conf", loaded.replace("OPTIONS", &options), 0o644);
    let plugin = beside("libsudo_identree.so");
    let last =
        format!("{LIBEXEC}; cp {} {HOME}; chmod {mode} {HOME}; cp {HOME} /run/copy.so; {AS_ANN}", plugin.display());
    Some(sandbox.start(&last, &format!("exec 2>&1; {line}")).finish())
}

/// Which of the two asked, in order: the plugin's questions say what runs.
fn askers(server: &Server) -> Vec<&'static str> {
    let asked = server.seen().into_iter().filter_map(|seen| seen.question);
    asked.map(|question| if question.run.is_some() { "plugin" } else { "module" }).collect()
}

#[test]
fn one_of_them_asks_whichever_piece_is_missing() {
    let at_home = format!("Plugin identree_approval {HOME} OPTIONS\n");
    for (loaded, mode, who) in [
        (&*at_home, "755", &["plugin"][..]),
        // Not loaded: there, but not mapped.
        ("", "755", &["module"]),
        // Loaded from elsewhere, or from a file that others could have changed: both ask, rather than neither.
        ("Plugin identree_approval /run/copy.so OPTIONS\n", "755", &["module", "plugin"]),
        (&at_home, "775", &["module", "plugin"]),
    ] {
        for decision in [Decision::Granted, Decision::Denied] {
            let server = Server::start(move |state, _, _| state.settled_last(decision));
            let Some((code, output)) = sudo(&server, loaded, mode, "sudo whoami") else { return };
            let granted = decision == Decision::Granted;
            assert_eq!(code == 0, granted, "{loaded} {mode}: {output}");
            let expected = if granted { who } else { &who[..1] };
            assert_eq!(askers(&server), expected, "{loaded} {mode}: {output}");
        }
    }
}

#[test]
fn su_is_the_modules_whatever_sudo_loads() {
    let server = Server::start(|state, _, _| state.settled_last(Decision::Denied));
    let loaded = format!("Plugin identree_approval {HOME} OPTIONS\n");
    let Some((code, output)) = sudo(&server, &loaded, "755", "su -c 'id -un' bob") else { return };
    assert_ne!(code, 0, "{output}");
    assert_eq!(askers(&server), ["module"], "{output}");
}
