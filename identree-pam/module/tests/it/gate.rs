//! Each entry of the module by itself, called by pamtester.

use identree_core::grant::Decision;

use crate::place::{config, machine, pamtester, stack};
use crate::sandbox::Sandbox;
use crate::server::{Server, allow, ask_then};

#[test]
fn auth_and_account_ask_once_and_the_rest_has_nothing_to_do() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let phases = "authenticate acct_mgmt setcred open_session close_session";
    let Some((code, output)) = pamtester(&sandbox, &format!("su bob {phases}")) else { return };
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("root on web1 asks to run as bob") && output.contains("approved by bob"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET"], "one process is one question: {output}");
}

#[test]
fn account_alone_asks_too() {
    let server = Server::start(ask_then(Decision::Denied));
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let Some((code, output)) = pamtester(&sandbox, "su bob acct_mgmt") else { return };
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("denied by bob") && output.contains("Permission denied"), "{output}");
}

#[test]
fn each_end_has_its_code() {
    for (decision, words) in [
        (Decision::Denied, "Have exhausted maximum number of retries"),
        (Decision::Refused, "Have exhausted maximum number of retries"),
        (Decision::Granted, "successfully authenticated"),
    ] {
        let server = Server::start(ask_then(decision));
        let Some(sandbox) = machine(&server, "ALL") else { return };
        let Some((code, output)) = pamtester(&sandbox, "su bob authenticate") else { return };
        assert_eq!(code == 0, decision == Decision::Granted, "{output}");
        assert!(output.contains(words), "{decision:?}: {output}");
    }
}

#[test]
fn an_unknown_option_refuses() {
    let server = Server::start(allow);
    let stack = stack(&format!("{} nullok", config(&server))).join("\n");
    let Some(sandbox) = Sandbox::with_pam(&stack, "ALL") else { return };
    let Some((code, output)) = pamtester(&sandbox, "su bob authenticate") else { return };
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("unknown option 'nullok'") && server.lines().is_empty(), "{output}");
}

#[test]
fn who_wants_nothing_shown_is_refused_unasked() {
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let Some((code, output)) = pamtester(&sandbox, "su bob 'authenticate(PAM_SILENT)'") else { return };
    assert_ne!(code, 0, "{output}");
    assert!(server.lines().is_empty(), "{output}");
}

#[test]
fn a_host_file_of_others_refuses_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start(allow);
    let Some(sandbox) = machine(&server, "ALL") else { return };
    let conf = server.folder.path().join("client.conf");
    std::fs::set_permissions(&conf, std::fs::Permissions::from_mode(0o666)).unwrap();
    let Some((code, output)) = pamtester(&sandbox, "su bob authenticate") else { return };
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("run: chmod 0600") && output.contains("Error in service module"), "{output}");
    assert!(server.lines().is_empty(), "{output}");
}
