//! Being asked why.

use identree_core::grant::Decision;

use crate::place::{config, stack};
use crate::sandbox::Sandbox;
use crate::screen::Screen;
use crate::server::{Server, ask_then};

fn machine(server: &Server, option: &str) -> Option<Sandbox> {
    Sandbox::with_pam(&stack(&format!("{} {option}", config(server))).join("\n"), "ALL")
}

fn stated(server: &Server) -> Option<String> {
    server.seen()[0].question.clone().unwrap().reason
}

#[test]
fn a_number_or_words_become_the_reason_and_both_phases_agree_on_it() {
    for (typed, reason) in [("2\n", Some("incident response")), ("ticket 7\n", Some("ticket 7")), ("\n", None)] {
        let server = Server::start(ask_then(Decision::Granted));
        let Some(sandbox) = machine(&server, "reason=ask") else { return };
        let mut screen = Screen::of_ann(&sandbox, "sudo whoami");
        screen.wait_for("Number or other words");
        screen.keys(typed);
        let (code, output) = screen.finish();
        assert!(code == 0 && output.contains("incident response"), "{output}");
        assert_eq!(server.lines(), ["POST", "GET"], "{output}");
        assert_eq!(stated(&server).as_deref(), reason, "{output}");
    }
}

#[test]
fn without_a_reason_nothing_is_asked_where_one_is_required() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sandbox) = machine(&server, "reason=required") else { return };
    let (code, output) = sandbox.sudo("setsid --wait sudo whoami </dev/null");
    assert!(code != 0 && output.contains("this host wants a reason"), "{output}");
    assert!(server.lines().is_empty(), "{output}");

    let (code, output) = sandbox.sudo("SUDO_REASON='ticket 7' setsid --wait sudo whoami </dev/null");
    assert_eq!((code, stated(&server).as_deref()), (0, Some("ticket 7")), "{output}");
}
