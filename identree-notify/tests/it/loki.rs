//! Loki's push API as its manual describes it ("Loki HTTP API: ingest logs", "Troubleshoot log ingestion", with the texts of its
//! `pkg/validation`). No Loki can be had here.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use identree_core::audit::{AuditSink as _, EventKind, EventSeq};
use identree_core::retry::Retry;
use identree_core::secret::Secret;
use identree_core::sink_suite;
use identree_core::testkit::fakes;
use identree_core::testkit::suite::sink::{Arrived, Destination, Outage};
use identree_core::time::ManualClock;
use identree_notify::loki::{LokiSettings, LokiSink};
use serde_json::{Value, json};

use crate::events::{line, parsed, sealed, some};
use crate::faults::{TOKEN, client};
use crate::http::{Reply, Request, serve};

/// One entry as it is kept.
#[derive(Debug, Clone)]
struct Entry {
    labels: Value,
    at: i128,
    line: String,
    metadata: Value,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// The newest of each stream, and what it has.
    newest_of: HashMap<String, i128>,
    known: HashSet<(String, i128, String)>,
    pushes: usize,
    outage: Option<Outage>,
    /// `reject_old_samples_max_age`, from this time on, in nanoseconds.
    oldest: Option<i128>,
    /// The time that is the future.
    newest: Option<i128>,
    no_metadata: bool,
    most: Option<usize>,
}

#[derive(Clone, Default)]
struct Loki(Arc<Mutex<State>>);

impl Loki {
    fn answer(&self, request: &Request) -> Reply {
        let mut state = self.0.lock().unwrap();
        state.pushes += 1;
        match state.outage {
            Some(Outage::Gone) => return Reply::Answer(429, "Ingestion rate limit exceeded for user fake".to_owned()),
            Some(_) => return Reply::Answer(401, "no org id".to_owned()),
            None if request.header("x-scope-orgid") != "tenant-1" => return Reply::Answer(401, "no org id".to_owned()),
            None => {}
        }
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/loki/api/v1/push", "application/json"));
        assert_eq!(request.header("authorization"), format!("Bearer {TOKEN}"));
        if state.most.is_some_and(|most| request.body.len() > most) {
            return Reply::Answer(413, "request body too large: 1 bytes, limit: 0 bytes".to_owned());
        }
        let push: Value = serde_json::from_slice(&request.body).unwrap();
        let mut refused = None;
        for stream in push["streams"].as_array().unwrap() {
            for value in stream["values"].as_array().unwrap() {
                match state.take(&stream["stream"], value) {
                    Ok(()) => {}
                    Err(text) => refused = Some(text),
                }
            }
        }
        // What can be taken is taken, also where something else of the push is refused.
        refused.map_or(Reply::Answer(204, String::new()), |text| Reply::Answer(400, text))
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    async fn serve(&self) -> SocketAddr {
        let loki = self.clone();
        serve(move |request| loki.answer(&request)).await
    }
}

impl State {
    fn take(&mut self, labels: &Value, value: &Value) -> Result<(), String> {
        let at: i128 = value[0].as_str().expect("nanoseconds are a text").parse().unwrap();
        let line = value[1].as_str().unwrap().to_owned();
        let metadata = value.get(2).cloned().unwrap_or(Value::Null);
        assert!(metadata.as_object().is_none_or(|object| object.values().all(Value::is_string)), "{metadata}");
        if line.len() > 256 * 1024 {
            return Err(format!(
                "Max entry size '262144' bytes exceeded for stream '{labels}' while adding an entry with length '{}' bytes",
                line.len()
            ));
        }
        if !metadata.is_null() && self.no_metadata {
            return Err(format!(
                "stream '{labels}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata`"
            ));
        }
        if self.oldest.is_some_and(|oldest| at < oldest) {
            return Err(format!(
                "entry for stream '{labels}' has timestamp too old: {at}, oldest acceptable timestamp is: {:?}",
                self.oldest
            ));
        }
        if self.newest.is_some_and(|newest| at > newest) {
            return Err(format!("entry for stream '{labels}' has timestamp too new: {at}"));
        }
        // Out of order within an hour of the newest of the stream: half of `max_chunk_age`.
        let newest = self.newest_of.get(&labels.to_string()).copied();
        if newest.is_some_and(|newest| at < newest - 3_600_000_000_000) {
            return Err(format!(
                "entry with timestamp {at} ignored, reason: 'entry too far behind, entry timestamp is: {at}, oldest acceptable timestamp is: x'"
            ));
        }
        self.newest_of.insert(labels.to_string(), newest.unwrap_or(at).max(at));
        // The same text at the same time in the same stream is the same entry.
        if self.known.insert((labels.to_string(), at, line.clone())) {
            self.entries.push(Entry { labels: labels.clone(), at, line, metadata });
        }
        Ok(())
    }
}

#[async_trait]
impl Destination for Loki {
    async fn arrived(&self) -> Vec<Arrived> {
        let arrived = |entry: &Entry| Arrived {
            seq: EventSeq(parsed(&entry.line)["seq"].as_u64().unwrap()),
            text: entry.line.clone(),
        };
        self.state(|state| state.entries.iter().map(arrived).collect())
    }
    async fn fail(&self, outage: Outage) -> bool {
        self.state(|state| state.outage = Some(outage));
        true
    }
    async fn mend(&self) {
        self.state(|state| state.outage = None);
    }
}

async fn with(loki: &Loki, clock: &ManualClock) -> LokiSink {
    let settings = LokiSettings {
        url: format!("http://{}", loki.serve().await).parse().unwrap(),
        token: Some(Secret::new(TOKEN.to_owned())),
        tenant: Some("tenant-1".to_owned()),
    };
    LokiSink::new(settings, client(), Arc::new(clock.clone())).unwrap()
}

sink_suite!(suite, async {
    let loki = Loki::default();
    (with(&loki, &ManualClock::default()).await, loki)
});
sink_suite!(without_metadata_suite, async {
    let loki = Loki::default();
    loki.state(|state| state.no_metadata = true);
    (with(&loki, &ManualClock::default()).await, loki)
});

fn nanoseconds(at: identree_core::time::Timestamp) -> i128 {
    i128::from(at.as_millis()) * 1_000_000
}

#[tokio::test]
async fn an_entry_has_few_labels_its_own_time_and_the_line() {
    let loki = Loki::default();
    let events = some(7, 2);
    with(&loki, &ManualClock::default()).await.write(&events).await.unwrap();
    let entries = loki.state(|state| state.entries.clone());
    for (entry, event) in entries.iter().zip(&events) {
        assert_eq!(entry.labels, json!({ "app": "identree", "job": "identree-audit" }));
        assert_eq!((entry.at, &entry.line), (nanoseconds(event.event.at), &line(event)));
        let seq = event.seq.0.to_string();
        assert_eq!(
            entry.metadata,
            json!({ "seq": seq, "event": "challenge_created", "host": "web-1.example", "user": "ann" })
        );
    }
}

#[tokio::test]
async fn a_loki_without_structured_metadata_is_asked_once() {
    let loki = Loki::default();
    loki.state(|state| state.no_metadata = true);
    let sink = with(&loki, &ManualClock::default()).await;
    sink.write(&some(0, 2)).await.unwrap();
    sink.write(&some(2, 2)).await.unwrap();
    assert_eq!(loki.state(|state| (state.pushes, state.entries.len())), (3, 4));
    assert!(loki.state(|state| state.entries.iter().all(|entry| entry.metadata.is_null())));
}

#[tokio::test]
async fn what_is_too_old_goes_to_a_stream_of_its_own_and_none_is_missing() {
    let (loki, clock) = (Loki::default(), ManualClock::default());
    let events = some(0, 6);
    // Events 0 to 2 are too old.
    loki.state(|state| state.oldest = Some(nanoseconds(events[3].event.at)));
    clock.set(events[5].event.at);
    let sink = with(&loki, &clock).await;
    assert_eq!(sink.write(&events).await.unwrap(), EventSeq(5));
    let entries = loki.state(|state| state.entries.clone());
    let lines: HashSet<_> = entries.iter().map(|entry| entry.line.clone()).collect();
    assert_eq!(lines, events.iter().map(line).collect());
    let late: Vec<_> = entries.iter().filter(|entry| entry.labels["late"] == "true").collect();
    assert!(late.windows(2).all(|two| two[0].at < two[1].at), "in their order");
    assert_eq!(late[0].line, line(&events[0]));
    // What comes in time again goes where it belongs.
    sink.write(&some(6, 1)).await.unwrap();
    let by_labels: HashMap<_, usize> = loki.state(|state| {
        state.entries.iter().fold(HashMap::new(), |mut by, entry| {
            *by.entry(entry.labels.to_string()).or_default() += 1;
            by
        })
    });
    assert_eq!(by_labels[&json!({ "app": "identree", "job": "identree-audit" }).to_string()], 4);
}

#[tokio::test]
async fn what_is_far_behind_the_newest_is_kept_too() {
    let (loki, clock) = (Loki::default(), ManualClock::default());
    let sink = with(&loki, &clock).await;
    // A server whose clock was two hours ahead.
    let mut ahead = some(0, 1);
    ahead[0].event.at = ahead[0].event.at + std::time::Duration::from_secs(7200);
    sink.write(&ahead).await.unwrap();
    sink.write(&some(1, 3)).await.unwrap();
    sink.write(&some(4, 3)).await.unwrap();
    let seqs: Vec<_> = loki.arrived().await.iter().map(|one| one.seq.0).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn what_is_from_the_future_waits_until_its_time() {
    let (loki, clock) = (Loki::default(), ManualClock::default());
    let events = some(0, 1);
    loki.state(|state| state.newest = Some(nanoseconds(events[0].event.at) - 1));
    let sink = with(&loki, &clock).await;
    let error = sink.write(&events).await.unwrap_err();
    assert!(error.retry == Retry::Later && error.text.contains("too new"), "{error}");
    loki.state(|state| state.newest = None);
    sink.write(&events).await.unwrap();
}

#[tokio::test]
async fn a_line_longer_than_loki_takes_says_that_it_is_shortened() {
    let loki = Loki::default();
    let sink = with(&loki, &ManualClock::default()).await;
    let long = fakes::event(0, EventKind::SignInFailed).with("text", "\u{1}".repeat(60_000));
    sink.write(&[sealed(0, &long)]).await.unwrap();
    assert_eq!(parsed(&loki.state(|state| state.entries[0].line.clone()))["shortened"], true);
}

#[tokio::test]
async fn a_loki_that_takes_less_gets_less_at_once() {
    let loki = Loki::default();
    loki.state(|state| state.most = Some(30_000));
    let sink = with(&loki, &ManualClock::default()).await;
    let events = some(0, 100);
    let mut rest = &events[..];
    let mut halved = 0;
    while !rest.is_empty() {
        match sink.write(rest).await {
            Ok(safe) => rest = &rest[rest.iter().take_while(|event| event.seq <= safe).count()..],
            Err(error) => {
                assert!(error.retry == Retry::Later && error.text.contains("half"), "{error}");
                halved += 1;
            }
        }
    }
    assert!(halved > 0 && loki.arrived().await.len() == 100);
}
