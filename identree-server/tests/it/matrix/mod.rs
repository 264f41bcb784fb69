//! Every way in against every reason to refuse: made from two lists, not picked by hand. Each pair that means something is
//! tried on a server of its own, and what is kept is the same afterwards.

mod attempt;
mod reason;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::http::{StatusCode, header};
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::engine::{EngineError, Refusal, Verdict};
use identree_core::store::{ChallengeFilter, Collection, Page};
use identree_core::time::Clock as _;
use identree_server::routes::{Door, ROUTES, Route};

use self::attempt::{Attempt, Came, attempt};
use self::reason::{Call, Reason, Refused, Way, expected};
use crate::Rig;

/// Users whose questions want something special; everybody else's are their own to approve.
const RULES: &str = r#"
[[policies]]
name = "admins-decide"
match_users = ["adam"]
require_admin = true

[[policies]]
name = "others-decide"
match_users = ["owen"]
requester_may_approve = false

[[policies]]
name = "freshly"
match_users = ["fred"]
require_fresh_oidc = "5m"

[[policies]]
name = "two"
match_users = ["tess"]
min_approvals = 2

[[policies]]
name = "default"
"#;

fn ways() -> Vec<Way> {
    ROUTES.iter().copied().map(Way::Route).chain(Call::ALL.map(Way::Engine)).collect()
}

#[tokio::test]
async fn every_reason_refuses_at_every_way_in_and_changes_nothing() {
    let (mut tried, mut skipped, mut failed) = (0, 0, Vec::new());
    let (mut reasons, mut per_way) = (BTreeSet::new(), BTreeMap::new());
    for way in ways() {
        for reason in Reason::ALL.iter().copied() {
            match expected(way, reason) {
                Ok(refused) => {
                    // A task of its own: one run tells of every pair that fails.
                    if tokio::spawn(async move { refuse(way, reason, &refused).await }).await.is_err() {
                        failed.push((way, reason));
                    }
                    tried += 1;
                    reasons.insert(reason);
                    *per_way.entry(format!("{way:?}")).or_insert(0) += 1;
                }
                Err(why) => {
                    assert!(why.len() > 10, "{way:?} {reason:?}: say why it does not apply");
                    skipped += 1;
                }
            }
        }
    }
    println!("{} ways, {} reasons: {tried} pairs tried, {skipped} mean nothing", ways().len(), Reason::ALL.len());
    assert!(failed.is_empty(), "{failed:#?}");
    let unused: Vec<_> = Reason::ALL.iter().filter(|reason| !reasons.contains(reason)).collect();
    assert!(unused.is_empty(), "never tried: {unused:?}");
    assert_eq!(per_way.len(), ways().len(), "a way in that nothing refuses: {per_way:?}");
    assert!(tried > 250, "{tried}");
}

#[expect(clippy::panic, reason = "a pair that is answered otherwise than it must be")]
async fn refuse(way: Way, reason: Reason, refused: &Refused) {
    let Attempt { rig, call, .. } = attempt(way, reason).await;
    let before = kept(&rig).await;
    let came = call.make(&rig).await;
    let pair = format!("{way:?} {reason:?}");
    match (&came, refused) {
        (Came::Answer(answer), Refused::Problem(status, name)) => {
            assert_eq!(answer.status, *status, "{pair}: {}", answer.text());
            if !answer.body.is_empty() || *name != "method-not-allowed" {
                assert_eq!(answer.problem(), *name, "{pair}");
            }
        }
        (Came::Answer(answer), Refused::Status(status)) => {
            assert_eq!(answer.status, *status, "{pair}: {}", answer.text());
            // Whose vote does not count sees the question; everybody else is told nothing of it.
            let may_see = [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT].contains(status);
            assert!(may_see || !answer.text().contains("whoami"), "{pair}: the command is told");
        }
        (Came::Answer(answer), Refused::ToSignIn) => {
            assert!(answer.status.is_redirection(), "{pair}: {}", answer.status);
            assert!(answer.header(header::LOCATION).starts_with("/sessions/login?"), "{pair}");
            assert!(answer.body.is_empty(), "{pair}");
        }
        (Came::Verdict(Ok(Verdict::Refused(Refusal::Vote(came)))), Refused::Vote(refusal)) => {
            assert_eq!(came, refusal, "{pair}");
        }
        (Came::Verdict(Ok(Verdict::Refused(Refusal::Rule { rule: None, .. }))), Refused::AtOnce)
        | (Came::Verdict(Err(EngineError::NonceReused)), Refused::Nonce) => {}
        (came, refused) => panic!("{pair}: {came:?} instead of {refused:?}"),
    }
    if let Came::Answer(answer) = &came {
        assert!(!answer.headers.contains_key(header::SET_COOKIE), "{pair}: a cookie is set");
    }
    let refusals = unchanged(&before, &kept(&rig).await, reason, refused, &pair);
    assert_eq!(refusals, Vec::from_iter(recorded_as(way, reason, refused)), "{pair}");
}

/// Everything that is kept: questions, documents, the journal.
#[derive(Debug, PartialEq)]
struct Kept {
    questions: Vec<String>,
    documents: Vec<String>,
    journal: Vec<AuditEvent>,
}

async fn kept(rig: &Rig) -> Kept {
    let store = rig.engine.store();
    let filter = ChallengeFilter { pending: None, requester: None };
    let questions = store.challenges(&filter, Page::first(100)).await.unwrap().items;
    let mut documents = Vec::new();
    for name in ["hosts", "heartbeats", "people", "sign-ins", "web-sessions"] {
        for document in store.documents(Collection(name), rig.clock.now(), Page::first(100)).await.unwrap().items {
            // That somebody was there is written down with their session, refused or not.
            let bytes = if name == "web-sessions" { Vec::new() } else { document.bytes };
            documents.push(format!("{name} {} {}", document.key, String::from_utf8_lossy(&bytes)));
        }
    }
    let questions = questions.iter().map(|question| format!("{question:?}")).collect();
    Kept { questions, documents, journal: rig.journal().await }
}

/// What of this is recorded with those alike.
fn recorded_as(way: Way, reason: Reason, refused: &Refused) -> Option<EventKind> {
    let Way::Route(route) = way else { return None };
    match (route.door, refused) {
        (Door::Host, Refused::Problem(StatusCode::UNAUTHORIZED, _)) => Some(EventKind::AuthenticationFailed),
        (Door::Host, Refused::Problem(_, "user-not-allowed" | "nonce-reused")) => Some(EventKind::AskRefused),
        (Door::Host, Refused::Problem(StatusCode::NOT_FOUND, _)) if reason == Reason::AnotherHostsQuestion => {
            Some(EventKind::AskRefused)
        }
        (Door::Host, Refused::Problem(_, "no-possession" | "no-key"))
        | (Door::Token, Refused::Problem(StatusCode::FORBIDDEN, _)) => Some(EventKind::EnrolmentRefused),
        (Door::Form, Refused::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
        | (Door::OwnPage, Refused::Status(StatusCode::FORBIDDEN)) => Some(EventKind::FormRefused),
        (Door::SignIn, Refused::Status(StatusCode::BAD_REQUEST | StatusCode::SERVICE_UNAVAILABLE)) => {
            Some(EventKind::SignInFailed)
        }
        _ => None,
    }
}

/// A vote that does not count leaves its event and nothing else; two kinds leave their mark on the question too. Gives the kinds
/// of refusals that are recorded with those alike.
fn unchanged(before: &Kept, after: &Kept, reason: Reason, refused: &Refused, pair: &str) -> Vec<EventKind> {
    assert_eq!(before.documents, after.documents, "{pair}");
    let new = &after.journal[before.journal.len()..];
    assert_eq!(before.journal, after.journal[..before.journal.len()], "{pair}: what is written stays");
    let (refusals, kinds): (Vec<_>, Vec<_>) =
        new.iter().map(|event| event.kind).partition(|kind| kind.tells().details.contains(&"since"));
    assert!(!kinds.contains(&EventKind::ChallengeApproved), "{pair}");
    match (reason, refused) {
        (_, Refused::AtOnce) => assert_eq!(kinds, [EventKind::ChallengeRefused], "{pair}"),
        (Reason::Expired, _) => assert_eq!(kinds, [EventKind::ChallengeExpired], "{pair}"),
        (Reason::WrongNumber, _) => assert_eq!(kinds, [EventKind::VoteRefused], "{pair}: counted with the question"),
        _ => {
            assert_eq!(before.questions, after.questions, "{pair}");
            assert!(kinds.is_empty() || kinds == [EventKind::VoteRefused], "{pair}: {kinds:?}");
        }
    }
    refusals
}

/// The list of routes is the one that the source registers.
#[test]
fn every_route_is_in_the_list() {
    let mut registered = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in ["", "web", "login", "api", "layer"] {
        for file in std::fs::read_dir(source.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let Some((_, after)) = line.split_once(".route(") else { continue };
                let at = after.split('"').nth(1).unwrap_or("?").to_owned();
                for (method, word) in
                    [("GET", "get("), ("POST", "post("), ("DELETE", "delete("), ("PUT", "put("), ("PATCH", "patch(")]
                {
                    if after.contains(&format!(" {word}")) || after.contains(&format!(".{word}")) {
                        registered.insert((at.clone(), method));
                    }
                }
                assert!(!after.contains("any("), "{line}: a route names its methods");
            }
        }
    }
    let listed: BTreeSet<_> = ROUTES.iter().map(|Route { path, method, .. }| ((*path).to_owned(), *method)).collect();
    assert_eq!(registered, listed);
}

/// Nothing beside the list answers, whatever the path is made of.
#[tokio::test]
async fn odd_paths_lead_nowhere() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    let code = rig.ask(1).await.user_code.unwrap();
    let code = code.as_str();
    for path in [
        format!("//approve/{code}"),
        format!("/approve//{code}"),
        format!("/approve/{code}/"),
        format!("/approve/{code}%2f"),
        format!("/approve/{code};x=1"),
        format!("/approve/%2e%2e/approve/{code}"),
        format!("/./approve/{code}"),
        format!("/x/../approve/{code}"),
        format!("/approve%2f{code}"),
        format!("/APPROVE/{code}"),
        format!("/approve/{code}%00"),
        format!("/assets/../approve/{code}"),
        "/assets/..%2f..%2fidentree.db".to_owned(),
        "/%2e%2e/etc/passwd".to_owned(),
        "/api/challenge/".to_owned(),
        "/api//challenge".to_owned(),
    ] {
        let answer = rig.get(&path, Some(&cookie)).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        assert!(!answer.text().contains("whoami"), "{path}");
    }
}
