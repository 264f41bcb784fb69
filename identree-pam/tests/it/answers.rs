//! What each answer of the server means to the host.

use std::path::Path;

use ed25519_dalek::SigningKey;
use identree_core::challenge::{CommandSource, RunAs, SudoFacts};
use identree_core::grant::Decision;
use identree_core::id::{Nonce, ServiceName, UserName};
use identree_core::wire::v1::Status;
use identree_pam::transport::Watch;
use identree_pam::{Config, Terminal, Verdict, ask, clock};

use crate::server::{Act, Server, allow, ask_then, problem, public, sign_with};

#[derive(Default)]
pub(crate) struct Screen(pub(crate) Vec<String>);

impl Terminal for Screen {
    fn say(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

fn facts() -> SudoFacts {
    SudoFacts {
        service: ServiceName::parse("sudo").unwrap(),
        requester: UserName::parse("ann").unwrap(),
        run_as: RunAs { user: UserName::parse("root").unwrap(), group: None },
        source: CommandSource::CallerCommandLine,
        argv: vec![b"sudo".to_vec(), b"echo".to_vec(), b"\x1b[2J\xff".to_vec()],
        cwd: Some(b"/home/ann".to_vec()),
        tty: None,
        reason: None,
        run: None,
    }
}

/// Asks the server with its own client.conf and further lines.
pub(crate) fn asked(server: &Server, conf: &str) -> (Verdict, String) {
    let path = server.write_conf(conf);
    let config = Config::load(Path::new(&path), rustix::process::geteuid().as_raw()).unwrap();
    let mut screen = Screen::default();
    let verdict = ask(&config, &facts(), Nonce::from_bytes([9; 32]), clock::now(), &mut screen, Watch::default());
    (verdict, screen.0.join("\n"))
}

fn plainly(server: &Server) -> (Verdict, String) {
    asked(server, &server.conf())
}

#[test]
fn an_allow_rule_answers_in_one_request() {
    let server = Server::start(allow);
    let (verdict, screen) = plainly(&server);
    assert!(matches!(verdict, Verdict::Granted(_)), "{screen}");
    assert_eq!((server.lines().len(), &*screen), (1, "identree: approved by bob"));
}

#[test]
fn a_question_is_shown_and_then_approved_over_one_connection() {
    let server = Server::start(ask_then(Decision::Granted));
    let (verdict, screen) = plainly(&server);
    assert!(matches!(verdict, Verdict::Granted(_)), "{screen}");
    assert_eq!(server.lines(), ["POST", "GET"]);
    assert!(server.seen()[1].target.ends_with("?wait=25"), "{:?}", server.seen());
    for part in [
        "ann on web1 asks to run as root",
        r"echo $'\u{1b}[2J\xff'",
        "https://id.example/approve/AB",
        "approved by bob",
    ] {
        assert!(screen.contains(part), "{part} is missing in {screen}");
    }
}

#[test]
fn every_no_has_its_exit_code_and_words() {
    for (decision, code, words) in [
        (Decision::Denied, 1, "denied by bob"),
        (Decision::Refused, 1, "identree: refused"),
        (Decision::Expired, 2, "nobody answered in time"),
        (Decision::Cancelled, 5, "taken back by bob"),
    ] {
        let server = Server::start(ask_then(decision));
        let (verdict, screen) = plainly(&server);
        assert_eq!(verdict.exit_code(), code);
        assert!(screen.contains(words), "{screen}");
    }
}

#[test]
fn an_answer_that_proves_nothing_opens_nothing() {
    type Forge = fn(&crate::server::State) -> identree_core::grant::SignedAnswer;
    let forged: [(&str, Forge); 5] = [
        ("wrong key", |s| sign_with(&SigningKey::from_bytes(&[2; 32]), &s.answer(Decision::Granted))),
        ("of another nonce", |s| {
            s.sign(&identree_core::grant::Answer { nonce: Nonce::from_bytes([1; 32]), ..s.answer(Decision::Granted) })
        }),
        ("of another command", |s| {
            s.sign(&identree_core::grant::Answer { payload_sha256: [8; 32], ..s.answer(Decision::Granted) })
        }),
        ("cut off", |s| {
            let mut signed = s.sign(&s.answer(Decision::Granted));
            signed.bytes.pop();
            signed
        }),
        ("for another host", |s| {
            let target = identree_core::id::Target::Host(identree_core::id::HostName::parse("web2").unwrap());
            s.sign(&identree_core::grant::Answer { target, ..s.answer(Decision::Granted) })
        }),
    ];
    for (what, forge) in forged {
        let server = Server::start(move |state, _, _| state.reply(Status::Approved, Some(forge(state))));
        let (verdict, screen) = plainly(&server);
        assert_eq!(verdict.exit_code(), 4, "{what}: {screen}");
    }
}

#[test]
fn a_host_with_a_wrong_secret_or_clock_is_told_so() {
    let server = Server::start(allow);
    let right = server.conf();
    let secret = right.lines().find_map(|line| line.strip_prefix("IDENTREE_SHARED_SECRET=")).unwrap();
    let (verdict, screen) = asked(&server, &right.replace(secret, &"0".repeat(64)));
    assert_eq!(verdict.exit_code(), 4);
    assert!(screen.contains("unknown host or wrong secret"), "{screen}");

    for (ahead, opens) in [(85, true), (-85, true), (300, false)] {
        let server = Server::start_ahead(ahead, allow);
        let (verdict, screen) = plainly(&server);
        assert_eq!(matches!(verdict, Verdict::Granted(_)), opens, "{ahead}: {screen}");
        assert!(opens || screen.contains("clock of this host is off by"), "{screen}");
    }
}

#[test]
fn the_question_survives_a_server_that_goes_and_comes_back() {
    let server = Server::start(|state, _, nth| match nth {
        0 => state.pending(),
        1 | 2 => Act::Close,
        3 => problem(503, "starting"),
        _ => state.settled(Decision::Granted),
    });
    let (verdict, screen) = plainly(&server);
    assert!(matches!(verdict, Verdict::Granted(_)), "{screen}");
    assert_eq!(server.lines(), ["POST", "GET", "GET", "GET", "GET"]);
}

#[test]
fn who_is_over_a_limit_is_told_which() {
    for (kind, retry_after, words) in [
        ("too-many-for-user", 10, "not asked: too many of your questions wait already"),
        ("cool-down", 43, "not asked: your last questions here were denied; try again in 43 seconds"),
        ("rate-limited", 1, "not asked: this host asks too often; try again in 1 second"),
    ] {
        let server = Server::start(move |_, _, _| {
            let kind = format!("urn:identree:problem:{kind}");
            Act::Send(
                429,
                format!(r#"{{"type":"{kind}","title":"x","status":429,"retry_after":{retry_after}}}"#).into(),
            )
        });
        let (verdict, screen) = plainly(&server);
        assert_eq!((verdict.exit_code(), server.lines().len()), (6, 1));
        assert!(screen.contains(words), "{screen}");
    }
}

#[test]
fn another_key_of_the_list_counts_too() {
    let server = Server::start(allow);
    let spare = public(&SigningKey::from_bytes(&[5; 32]));
    let conf = server.conf().replace("IDENTREE_DECISION_KEYS=", &format!("IDENTREE_DECISION_KEYS={spare},"));
    assert!(matches!(asked(&server, &conf).0, Verdict::Granted(_)));
}
