//! `/metrics`: closed unless opened, right in form, and the same numbers as the journal.

use identree_core::testkit::journal::recorded;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use identree_core::audit::EventKind;
use identree_core::id::ChallengeId;
use identree_core::rng::OsEntropy;
use identree_core::store::{Batch, SqliteStore, Store as _};
use identree_core::time::{Clock as _, SystemClock};
use identree_core::wire::v1::{CHALLENGES, Reply};
use identree_evidence::{Kind, secret as note};
use identree_server::parts::Parts;
use identree_server::session::Sessions;
use identree_server::telemetry::catalogue::CATALOGUE;

use crate::process::{Running, added, exchange, identree, send, started};
use crate::{ORIGIN, name, question};

const TOKEN: &str = "metrics-token-of-these-tests-77aa01";

/// What a scraper that shows this gets.
fn scrape(server: &Running, target: &str, authorization: &str) -> (u16, String) {
    exchange(&server.address, &format!("GET {target} HTTP/1.1{authorization}"), "")
}

fn counted(data: &Path) -> Running {
    note(Kind::Metrics, TOKEN);
    let mut command = identree(data);
    command.env("IDENTREE_METRICS_TOKEN", TOKEN);
    started(command, data)
}

fn metrics(server: &Running) -> BTreeMap<String, f64> {
    let (status, text) = scrape(server, "/metrics", &format!("\r\nAuthorization: Bearer {TOKEN}"));
    assert_eq!(status, 200, "{text}");
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sample = |line: &str| line.rsplit_once(' ').map(|(series, value)| (series.to_owned(), value.parse().unwrap()));
    samples.map(|line| sample(line).unwrap()).collect()
}

/// The database of a running server, from beside it.
pub(crate) fn beside<T>(data: &Path, work: impl AsyncFnOnce(Arc<SqliteStore>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(Arc::new(SqliteStore::open_in(data).await.unwrap())).await })
}

/// Somebody who has signed in; posts the form of one of both buttons.
fn press(server: &Running, data: &Path, user: &str, path: &str, id: ChallengeId) -> u16 {
    let (cookie, csrf) = beside(data, async |store| {
        let parts = Parts { store: store.clone(), clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) };
        let sessions = Sessions::new(parts);
        let (token, change) = sessions.begin(name(user), SystemClock.now()).unwrap();
        store.commit(Batch::unrecorded(vec![change])).await.unwrap();
        let session = sessions.find(token.reveal()).await.unwrap().unwrap();
        (token.reveal().to_owned(), session.csrf.as_str().to_owned())
    });
    note(Kind::Session, &cookie);
    note(Kind::Csrf, &csrf);
    let head = format!(
        "POST {path} HTTP/1.1\r\nCookie: identree_session={cookie}\r\nOrigin: {ORIGIN}\r\n\
         Content-Type: application/x-www-form-urlencoded"
    );
    exchange(&server.address, &head, &format!("csrf_token={csrf}&challenge_id={id}")).0
}

#[test]
fn without_a_token_there_is_no_such_page_and_without_the_right_one_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let closed = started(identree(dir.path()), dir.path());
    assert_eq!(scrape(&closed, "/metrics", "").0, 404);
    drop(closed);
    let open = counted(dir.path());
    let right = format!("Authorization: Bearer {TOKEN}");
    for (target, lines) in [
        ("/metrics", String::new()),
        (&*format!("/metrics?token={TOKEN}"), String::new()),
        ("/metrics", format!("\r\nAuthorization: Bearer {TOKEN}x")),
        ("/metrics", format!("\r\nAuthorization: Bearer {}", &TOKEN[1..])),
        ("/metrics", format!("\r\nAuthorization: Basic {TOKEN}")),
        ("/metrics", "\r\nAuthorization: Bearer ".to_owned()),
        ("/metrics", format!("\r\n{right}\r\n{right}")),
    ] {
        assert_eq!(scrape(&open, target, &lines).0, 401, "{target} {lines}");
    }
    assert_eq!(scrape(&open, "/metrics", &format!("\r\n{right}")).0, 200);
}

#[test]
fn after_real_traffic_the_numbers_are_those_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let secret = added(data, "web1");
    let server = counted(data);
    let ask = |nonce| {
        let (status, body) = send(&server.address, &secret, "POST", CHALLENGES, &question(nonce));
        assert_eq!(status, 201, "{body}");
        serde_json::from_str::<Reply>(&body).unwrap().challenge_id
    };
    let [approved, denied, cancelled, _waiting] = [1, 2, 3, 4].map(ask);
    send(&server.address, &secret, "POST", CHALLENGES, &question(4)); // the same question once more
    assert_eq!(press(&server, data, "ann", "/api/challenges/approve", approved), 303);
    assert_eq!(press(&server, data, "ann", "/api/challenges/approve", approved), 409, "already settled");
    assert_eq!(press(&server, data, "ann", "/api/challenges/reject", denied), 303);
    assert_eq!(press(&server, data, "eve", "/api/challenges/approve", approved), 404, "not hers to see");
    assert_eq!(send(&server.address, &secret, "DELETE", &format!("{CHALLENGES}/{cancelled}"), "").0, 200);
    send(&server.address, &secret, "GET", &format!("{CHALLENGES}/{approved}?wait=1"), "");
    let wrong = identree_core::credential::HostSecret::parse(&"0".repeat(64)).unwrap();
    assert_eq!(send(&server.address, &wrong, "POST", CHALLENGES, &question(5)).0, 401);
    assert_eq!(exchange(&server.address, "GET /approve/KWXPTA-482913/invented HTTP/1.1", "").0, 404);

    // The connections of before are closed; the server may take a moment to see it.
    let failed = "identree_journal_events_total{kind=\"authentication_failed\"}";
    let alone = |seen: &BTreeMap<String, f64>| {
        seen.get("identree_open_connections") == Some(&1.0) && seen.get(failed) == Some(&1.0)
    };
    let seen = std::iter::repeat_with(|| metrics(&server)).take(1000).find(alone).unwrap();
    let value = |series: &str| *seen.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", seen.keys()));
    let journal = beside(data, async |store| recorded(&store).await);
    for kind in EventKind::ALL.iter().filter(|kind| **kind != EventKind::HostAdded) {
        let events = journal.iter().filter(|event| event.kind == *kind).count();
        let counted = value(&format!("identree_journal_events_total{{kind=\"{}\"}}", kind.as_str()));
        assert_eq!(counted, f64::from(u32::try_from(events).unwrap()), "{kind:?}");
    }
    for (series, expected) in [
        ("identree_challenges_created_total", 4.0),
        ("identree_challenges_approved_total", 1.0),
        ("identree_challenges_auto_approved_total", 0.0),
        ("identree_challenges_denied_total{reason=\"user_rejected\"}", 1.0),
        ("identree_challenges_denied_total{reason=\"policy\"}", 0.0),
        ("identree_challenges_cancelled_total", 1.0),
        ("identree_challenges_expired_total", 0.0),
        ("identree_challenge_duration_seconds_count", 3.0),
        ("identree_votes_refused_total{reason=\"already_settled\"}", 1.0),
        ("identree_votes_refused_total{reason=\"not_found\"}", 1.0),
        ("identree_active_challenges", 1.0),
        ("identree_held_waiters", 0.0),
        ("identree_open_connections", 1.0), // this one
        ("identree_registered_hosts", 1.0),
        ("identree_auth_failures_total{reason=\"credential\"}", 1.0),
        ("identree_auth_failures_total{reason=\"clock\"}", 0.0),
        ("identree_http_requests_total{route=\"/api/challenge\",method=\"POST\",status=\"2xx\"}", 5.0),
        ("identree_http_requests_total{route=\"/api/challenge\",method=\"POST\",status=\"4xx\"}", 1.0),
        ("identree_http_requests_total{route=\"none\",method=\"GET\",status=\"4xx\"}", 1.0),
        ("identree_http_held_seconds_count", 1.0),
        ("identree_http_panics_total", 0.0),
    ] {
        assert_eq!(value(series), expected, "{series}");
    }
    assert!(value("identree_store_commits_total") >= 9.0);
    assert!(value("identree_store_commit_batches_count") >= 1.0 && value("identree_store_commit_batches_sum") >= 9.0);
    assert_eq!(value("identree_store_commit_duration_seconds_count"), value("identree_store_commits_total"));
    for series in seen.keys() {
        let family = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end)).unwrap_or(family);
        assert!(CATALOGUE.iter().any(|metric| metric.name == family), "{series} is not in the catalogue");
    }
    for secret in ["invented", "KWXPTA", "ann", "web1", TOKEN] {
        assert!(!seen.keys().any(|series| series.contains(secret)), "{secret} is in a label");
    }
    promtool(&["check", "metrics"], &scrape(&server, "/metrics", &format!("\r\nAuthorization: Bearer {TOKEN}")).1);
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "in CI nothing may be missing, elsewhere it is told"
)]
pub(crate) fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing");
    eprintln!("not checked: {what} is missing");
}

/// Nothing to say, or the test ends.
fn promtool(arguments: &[&str], input: &str) {
    let child = Command::new("promtool").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        return missing("promtool");
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}
