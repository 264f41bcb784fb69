//! The log: each line says which request it is about, nothing in it is taken for another line, and a panic harms one request.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use identree_core::engine::Load;
use identree_server::layer::trace::{REQUEST_ID, Trace, TraceLayer};
use identree_server::telemetry::{HttpMeters, Standing, Telemetry};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::process::{exchange, identree};
use crate::{Answer, Rig, question};

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(filter: &str) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let format = tracing_subscriber::fmt().with_env_filter(filter).json().flatten_event(true);
        let guard = tracing::subscriber::set_default(format.with_writer(move || writer.clone()).finish());
        (log, guard)
    }

    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn each_line_names_its_request_and_who_made_it() {
    let rig = Rig::new().await;
    let (cookie, _) = rig.session("ann").await;
    let (log, _guard) = Log::listen("debug");
    let asked = rig.send_from("192.0.2.7", "", rig.host.post(&rig.clock, &question(1))).await;
    let page = rig.get("/", Some(&cookie)).await;
    let missing = rig.get("//approve/KWXPTA-482913/12345", None).await;
    let question = rig.get("/approve/KWXPTA-482913", Some(&cookie)).await;
    let lines = log.lines();
    let of = |answer: &Answer| {
        let id = answer.headers[REQUEST_ID].to_str().unwrap();
        let line = lines.iter().find(|line| line["span"]["id"] == id && line["message"] == "answered");
        line.unwrap_or_else(|| panic!("no {id} in {lines:#?}"))
    };
    let line = of(&asked);
    assert_eq!((&line["span"]["host"], &line["span"]["client"]), (&"web1".into(), &"192.0.2.7".into()));
    assert_eq!((&line["status"], &line["span"]["path"]), (&201.into(), &"/api/challenge".into()));
    assert_eq!(of(&page)["span"]["person"], "ann");
    assert_eq!(of(&missing)["span"]["path"], "//approve/KWXPTA-…/12345", "the number is no matter of the log");
    assert_eq!(of(&question)["span"]["path"], "/approve/{code}");
}

#[tokio::test]
async fn a_panic_is_logged_under_its_request_and_the_next_one_is_served() {
    let rig = Rig::new().await;
    let telemetry = Telemetry::new();
    let http = Some(Arc::new(HttpMeters::new(telemetry.clone())));
    let boom = || async {
        if true {
            panic!("out of order")
        }
    };
    let router = Router::new()
        .route("/api/challenge/{id}", get(boom))
        .route("/page", get(boom))
        .route("/fine", get(|| async { "fine" }))
        .layer(TraceLayer::new(Trace { parts: rig.parts.clone(), http, refusals: rig.refusals.clone() }));
    let (log, _guard) = Log::listen("error");
    let send = async |path: &str| {
        let request = Request::get(path).header(REQUEST_ID, "id-of-this-request").body(Body::empty()).unwrap();
        Answer::of(router.clone().oneshot(request).await.unwrap()).await
    };
    let answer = send("/api/challenge/1").await;
    assert_eq!((answer.status, &*answer.problem()), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    let answer = send("/page").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.header(header::CONTENT_TYPE).starts_with("text/plain"));
    assert!(answer.text().contains("id-of-this-request") && !answer.text().contains("out of order"));
    assert_eq!(send("/fine").await.text(), "fine");
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines.iter().all(|line| line["span"]["id"] == "id-of-this-request"), "{lines:#?}");
    let load = Load { questions: 0, waiters: 0, followers: 0 };
    let text =
        telemetry.render(Standing { load, connections: 0, streams: 0, hosts: 0, clock_off: std::time::Duration::ZERO });
    assert!(text.contains("identree_http_panics_total 2\n"), "{text}");
}

/// Everything that a server logs while it is asked things.
fn logged(data: &Path, variables: &[(&str, &str)], ask: impl FnOnce(&str)) -> String {
    let mut command = identree(data);
    command.env_remove("IDENTREE_LOG_LEVEL").envs(variables.iter().copied());
    let mut child = command.arg("serve").stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(identree_evidence::tee("serve", child.stderr.take().unwrap()));
    let (mut log, mut address) = (String::new(), None);
    while address.is_none() {
        let mut line = String::new();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended: {log}");
        let rest = line.split_once("plain=http://").map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned());
        address = rest;
        log.push_str(&line);
    }
    // Else the server could block on a full pipe.
    let reading = std::thread::spawn(move || {
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        rest
    });
    ask(&address.unwrap());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    log + &reading.join().unwrap()
}

/// What tries to be a line of its own, everywhere where somebody may write.
fn forge(address: &str) {
    let forged = "%0a2026-01-01T00:00:00Z%20%20INFO%20approved%1b[2K%e2%80%ae";
    let raw = "2026-01-01T00:00:00Z  INFO approved\\u001b[2K\\n\\u202e";
    for head in [
        format!("GET /{forged} HTTP/1.1"),
        format!("GET /approve/{forged} HTTP/1.1"),
        format!("GET /callback?state={forged}&error={forged} HTTP/1.1\r\nCookie: identree_signin={}", "0".repeat(64)),
        format!("GET / HTTP/1.1\r\nX-Request-Id: {forged}\r\nX-Forwarded-For: {forged}"),
        format!("GET /api/challenge/1 HTTP/1.1\r\nAuthorization: Identree-HMAC-SHA256 v=1, host=\"{forged}\""),
    ] {
        let (status, body) = exchange(address, &head, "");
        assert!((200..500).contains(&status), "{head}: {status} {body}");
    }
    let body = format!("{{\"v\":1,\"username\":\"{raw}\"}}");
    assert_eq!(exchange(address, "POST /api/challenge HTTP/1.1\r\nContent-Type: application/json", &body).0, 401);
}

#[test]
fn nothing_from_outside_is_taken_for_a_line_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = logged(dir.path(), &[("RUST_LOG", "debug")], forge);
    assert!(log.contains("answered"), "RUST_LOG counts: {log}");
    for line in log.lines() {
        let (year, rest) = line.split_once('-').unwrap();
        assert!(year.parse::<u16>().is_ok() && rest.contains("Z "), "not begun by the log: {line}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{line}");
    }
}

#[test]
fn as_json_each_line_is_one_object_with_fields_to_query() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [
        ("IDENTREE_LOG_FORMAT", "json"),
        ("RUST_LOG", "error"),
        ("IDENTREE_LOG_LEVEL", "info,identree_server::layer=debug"),
    ];
    let log = logged(dir.path(), &variables, forge);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<_> = lines.iter().filter(|line| line["message"] == "answered").collect();
    assert_eq!(answered.len(), 6, "{log}");
    for line in answered {
        assert_eq!((&line["level"], &line["target"]), (&"DEBUG".into(), &"identree_server::layer::trace".into()));
        assert!(line["span"]["id"].is_string() && line["status"].is_u64() && line["duration_ms"].is_f64(), "{line}");
        assert_eq!(line["span"]["client"], "127.0.0.1");
    }
}

#[test]
fn a_level_or_format_that_is_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [("IDENTREE_LOG_FORMAT", "xml"), ("IDENTREE_LOG_LEVEL", "a=b=c")] {
        let output = identree(dir.path()).env(name, value).arg("serve").output().unwrap();
        identree_evidence::output("serve", &output);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(name), "{text}");
    }
}
