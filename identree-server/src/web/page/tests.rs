//! What people read, from records made by hand.

use askama::Template as _;
use identree_core::challenge::record::NotGranted;
use identree_core::challenge::{CastVote, ChallengeRecord, Detail, Flag, Label, Question, RunAs, Summary, UserCode};
use identree_core::id::{ChallengeId, ChallengeKind, HostName, Nonce, Target, UserName};
use identree_core::policy::{Requirement, Revision};
use identree_core::time::Timestamp;

use super::{Frame, QuestionPage, ResultPage};
use crate::web::text::Language;
use crate::web::view::Viewer;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn viewer(text: &str, admin: bool) -> Viewer {
    Viewer { name: name(text), admin, proven_at: Timestamp::from_secs(900) }
}

fn record(requirement: Requirement) -> ChallengeRecord {
    let detail = |label, value: &str| Detail { label, value: value.to_owned() };
    ChallengeRecord::pending(Question {
        id: ChallengeId::from_bytes([1; 16]),
        code: UserCode::parse("KWXPTA-482913").unwrap(),
        nonce: Nonce::from_bytes([2; 32]),
        kind: ChallengeKind::parse("sudo").unwrap(),
        requester: name("ann"),
        target: Target::Host(HostName::parse("web1").unwrap()),
        target_groups: vec![],
        run_as: Some(RunAs { user: name("root"), group: None }),
        command: None,
        command_is_exact: false,
        summary: Summary {
            action: "echo '<script>alert(1)</script>'\u{202e}".to_owned(),
            reason: Some("because \"<b>".to_owned()),
            details: vec![
                detail(Label::Caution, "writable by <ann>"),
                detail(Label::Other("<u>".to_owned()), "x\u{200b}y"),
            ],
        },
        payload_sha256: [3; 32],
        requirement: Some(requirement),
        policy_revision: Revision::default(),
        created_at: Timestamp::from_secs(990),
        expires_at: Timestamp::from_secs(1_110),
    })
}

fn page(requirement: Requirement, viewer: &Viewer) -> String {
    QuestionPage::new(Frame::of(viewer, "token", Language::English), &record(requirement), viewer, NOW, None)
        .render()
        .unwrap()
}

fn result(record: &ChallengeRecord) -> String {
    let viewer = viewer("ann", false);
    ResultPage::new(Frame::of(&viewer, "token", Language::English), record, &viewer, NOW, None).render().unwrap()
}

#[test]
fn what_came_from_outside_is_text_and_visible() {
    let html = page(Requirement::default(), &viewer("ann", false));
    for bad in ["<script>alert", "\"<b>", "<ann>", "<u>", "\u{202e}", "\u{200b}"] {
        assert!(!html.contains(bad), "{bad:?}");
    }
    for good in ["<mark>\\u{202e}</mark>", "x\\u{200b}y", "KWXPTA", "482913", "1 min 50 s left", "10 s ago"] {
        assert!(html.contains(good), "{good}\n{html}");
    }
}

#[test]
fn what_sudo_will_run_is_shown_whole_with_its_warnings_in_both_languages() {
    let environment = format!("'A={}'", "x".repeat(30_000));
    let details = [
        (Label::Flag(Flag::Writable), "/home/ann, /home/ann/<x>"),
        (Label::Flag(Flag::InlineCode), "/bin/sh"),
        (Label::Flag(Flag::Edit), "/etc/hosts"),
        (Label::Mode, "sudo (uid 1000)"),
        (Label::Folders, "/ 0:0 0755 (40755)"),
        (Label::Environment, &*environment),
        (Label::Setting, "noexec=true"),
    ];
    let details = details.map(|(label, value)| Detail { label, value: value.to_owned() }).to_vec();
    let viewer = viewer("ann", false);
    let page = |language| {
        let mut question = record(Requirement::default()).question().clone();
        question.summary.details = details.clone();
        let record = ChallengeRecord::pending(question);
        QuestionPage::new(Frame::of(&viewer, "token", language), &record, &viewer, NOW, None).render().unwrap()
    };
    for (language, words) in [
        (
            Language::English,
            [
                "Not only root can change what runs: /home/ann, /home/ann/&#60;x&#62;",
                "/bin/sh runs code from its own arguments.",
                "Files: /etc/hosts",
                "As sudo will run it.",
                "<dt>Setting</dt>",
                "<dt>Folders</dt>",
            ],
        ),
        (
            Language::German,
            [
                "Nicht nur root kann ändern, was läuft: /home/ann, /home/ann/&#60;x&#62;",
                "/bin/sh führt Code aus den eigenen Argumenten aus.",
                "Dateien: /etc/hosts",
                "So, wie sudo es ausführen wird.",
                "<dt>Einstellung</dt>",
                "<dt>Ordner</dt>",
            ],
        ),
    ] {
        let html = page(language);
        for words in words {
            assert!(html.contains(words), "{words}\n{html}");
        }
        assert!(html.contains(&"x".repeat(30_000)), "nothing is cut");
    }
}

#[test]
fn an_approver_of_somebody_elses_question_sees_letters_and_a_field() {
    let html = page(Requirement::default(), &viewer("ada", true));
    assert!(html.contains("KWXPTA") && html.contains("id=\"number\"") && html.contains("id=\"approve\""));
    assert!(!html.contains("482913") && !html.contains("482"));
    let off = page(Requirement { number_match: false, ..Requirement::default() }, &viewer("ada", true));
    assert!(off.contains("482913") && !off.contains("id=\"number\""));
}

#[test]
fn who_cannot_approve_is_told_why_and_can_still_deny() {
    let base = Requirement::default;
    let ann = viewer("ann", false);
    for (requirement, text) in [
        (Requirement { require_admin: true, ..base() }, "An administrator must approve this."),
        (Requirement { requester_may_approve: false, ..base() }, "Somebody else must approve your question."),
        (Requirement { fresh_within_secs: Some(60), ..base() }, "fresh=1"),
    ] {
        let html = page(requirement, &ann);
        assert!(html.contains(text), "{text}");
        assert!(!html.contains("id=\"approve\"") && html.contains("id=\"deny\""), "{text}");
    }
    let fresh_enough = page(Requirement { fresh_within_secs: Some(101), ..base() }, &ann);
    assert!(fresh_enough.contains("id=\"approve\""));
}

#[test]
fn every_end_is_said_in_words() {
    let pending = || record(Requirement::default());
    let vote = CastVote { by: name("ada"), at: NOW, reason: Some("go <on>".to_owned()) };
    let granted = result(&pending().approve(vote, 1).unwrap());
    assert!(granted.contains("Approved by ada.") && granted.contains("go &#60;on&#62;"), "{granted}");
    for (how, text) in [
        (NotGranted::Denied { by: name("ada"), reason: None }, "Denied by ada."),
        (NotGranted::Expired, "Nobody answered in time."),
        (NotGranted::Cancelled { by: name("ann") }, "Taken back by ann."),
        (NotGranted::Refused { rule: None, text: "not at night".to_owned() }, "not at night"),
    ] {
        let html = result(&pending().end(NOW, how).unwrap());
        assert!(html.contains(text) && html.contains("You may close this page."), "{text}");
    }
}
