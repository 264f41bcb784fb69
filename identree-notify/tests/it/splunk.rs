//! Splunk's collector as its manual describes it ("Set up and use HTTP Event Collector", "Format events for HTTP Event Collector",
//! "About HTTP Event Collector Indexer Acknowledgment", "Troubleshoot HTTP Event Collector"). No Splunk can be had here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use identree_core::audit::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
use identree_core::retry::Retry;
use identree_core::rng::SeededEntropy;
use identree_core::secret::Secret;
use identree_core::sink_suite;
use identree_core::testkit::suite::sink::{Arrived, Destination, Outage};
use identree_core::time::{Clock, ManualClock, SystemClock};
use identree_notify::splunk::{SplunkSettings, SplunkSink};
use serde_json::{Value, json};

use crate::events::{line, some};
use crate::faults::{TOKEN, client};
use crate::http::{Reply, Request, serve};

#[derive(Default)]
struct State {
    events: Vec<Value>,
    posts: usize,
    asked: usize,
    outage: Option<Outage>,
    /// How long the longest body is.
    most: Option<usize>,
    acks: Option<Acks>,
}

/// Indexer acknowledgement is on.
#[derive(Default)]
struct Acks {
    next: u64,
    /// Whether each batch is indexed.
    indexed: BTreeMap<u64, bool>,
    /// How often a batch is asked for before it is; `None` for ever.
    after: Option<usize>,
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<State>>);

impl Collector {
    async fn serve(&self) -> SocketAddr {
        let collector = self.clone();
        serve(move |request| collector.answer(&request)).await
    }

    fn answer(&self, request: &Request) -> Reply {
        let mut state = self.0.lock().unwrap();
        let reply =
            |status, code: u32, text: &str| Reply::Answer(status, json!({ "text": text, "code": code }).to_string());
        if state.outage == Some(Outage::Gone) {
            return reply(503, 9, "Server is busy");
        }
        match request.header("authorization").split_once(' ') {
            None => return reply(401, 2, "Token is required"),
            Some((scheme, _)) if scheme != "Splunk" => return reply(401, 3, "Invalid authorization"),
            Some((_, token)) if token != TOKEN || state.outage.is_some() => return reply(403, 4, "Invalid token"),
            Some(_) => {}
        }
        let channel = request.header("x-splunk-request-channel");
        if state.acks.is_some() && (channel.len(), channel.matches('-').count()) != (36, 4) {
            return reply(400, 10, "Data channel is missing");
        }
        if request.path == "/services/collector/ack" {
            state.asked += 1;
            let asked = state.asked;
            assert_eq!(request.query, format!("channel={channel}"));
            let Some(acks) = &mut state.acks else { return reply(400, 14, "ACK is disabled") };
            let wanted: Value = serde_json::from_slice(&request.body).unwrap();
            let wanted = wanted["acks"].as_array().unwrap().iter().map(|ack| ack.as_u64().unwrap());
            let all = acks.after.is_some_and(|after| asked > after);
            let found: BTreeMap<_, _> = wanted
                .map(|ack| (ack.to_string(), acks.indexed.get_mut(&ack).is_some_and(|done| *done || all)))
                .collect();
            return Reply::Answer(200, json!({ "acks": found }).to_string());
        }
        if request.path != "/services/collector/event" {
            return Reply::Answer(
                404,
                json!({ "text": "The requested URL was not found on this server.", "code": 404 }).to_string(),
            );
        }
        if state.most.is_some_and(|most| request.body.len() > most) {
            return Reply::Answer(413, "<title>413 Content-Length too large</title>".to_owned());
        }
        let Ok(events) =
            serde_json::Deserializer::from_slice(&request.body).into_iter().collect::<Result<Vec<Value>, _>>()
        else {
            return reply(400, 6, "Invalid data format");
        };
        if events.is_empty() {
            return reply(400, 5, "No data");
        }
        for event in &events {
            if event.get("event").is_none() {
                return reply(400, 12, "Event field is required");
            }
            let fields = event["fields"].as_object().unwrap();
            if !event["time"].is_f64() || !fields.values().all(Value::is_string) {
                return reply(400, 15, "Error in handling indexed fields");
            }
        }
        state.posts += 1;
        state.events.extend(events);
        match &mut state.acks {
            None => reply(200, 0, "Success"),
            Some(acks) => {
                let ack = acks.next;
                acks.next += 1;
                acks.indexed.insert(ack, false);
                Reply::Answer(200, json!({ "text": "Success", "code": 0, "ackId": ack }).to_string())
            }
        }
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Destination for Collector {
    async fn arrived(&self) -> Vec<Arrived> {
        let arrived = |event: &Value| Arrived {
            seq: EventSeq(event["event"]["seq"].as_u64().unwrap()),
            text: event["event"].to_string(),
        };
        self.state(|state| state.events.iter().map(arrived).collect())
    }
    async fn fail(&self, outage: Outage) -> bool {
        self.state(|state| state.outage = Some(outage));
        true
    }
    async fn mend(&self) {
        self.state(|state| state.outage = None);
    }
}

async fn with(collector: &Collector, clock: Arc<dyn Clock>) -> SplunkSink {
    let url = format!("http://{}", collector.serve().await).parse().unwrap();
    let settings = SplunkSettings { url, token: Secret::new(TOKEN.to_owned()), host: "approve.example".to_owned() };
    SplunkSink::new(settings, client(), clock, &SeededEntropy::new(1)).unwrap()
}

fn acking(after: Option<usize>) -> Collector {
    let collector = Collector::default();
    collector.state(|state| state.acks = Some(Acks { after, ..Acks::default() }));
    collector
}

sink_suite!(plain_suite, async {
    let collector = Collector::default();
    (with(&collector, Arc::new(SystemClock)).await, collector)
});
sink_suite!(acknowledged_suite, async {
    let collector = acking(Some(0));
    (with(&collector, Arc::new(SystemClock)).await, collector)
});
/// Offers again what was too much at once, as the engine does.
struct Patient(SplunkSink);

#[async_trait]
impl AuditSink for Patient {
    fn name(&self) -> &SinkName {
        self.0.name()
    }
    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        loop {
            match self.0.write(events).await {
                Err(error) if error.text.contains("half is sent") => {}
                other => return other,
            }
        }
    }
}

#[tokio::test]
async fn an_envelope_has_the_events_own_time() {
    let collector = Collector::default();
    let sink = with(&collector, Arc::new(SystemClock)).await;
    let events = some(7, 2);
    assert_eq!(sink.write(&events).await.unwrap(), EventSeq(8));
    let arrived = collector.state(|state| state.events.clone());
    for (envelope, event) in arrived.iter().zip(&events) {
        let expected: Value = serde_json::from_str(&line(event)).unwrap();
        assert_eq!(envelope["event"], expected);
        let millis = format!("{:.0}", envelope["time"].as_f64().unwrap() * 1000.0);
        assert_eq!(millis, event.event.at.as_millis().to_string());
        assert_eq!((&envelope["host"], &envelope["source"]), (&"approve.example".into(), &"identree".into()));
        assert_eq!(envelope["sourcetype"], "identree:audit");
        assert_eq!(
            envelope["fields"],
            json!({ "identree_seq": event.seq.0.to_string(), "identree_event": "challenge_created" })
        );
    }
    assert_eq!(
        collector.state(|state| (state.posts, state.asked)),
        (1, 0),
        "nothing is asked where nothing will be confirmed"
    );
}

#[tokio::test]
async fn a_collector_that_takes_less_gets_less_at_once() {
    let collector = Collector::default();
    collector.state(|state| state.most = Some(20_000));
    let sink = Patient(with(&collector, Arc::new(SystemClock)).await);
    let events = some(0, 200);
    let mut rest = &events[..];
    while !rest.is_empty() {
        let safe = sink.write(rest).await.unwrap();
        rest = &rest[rest.iter().take_while(|event| event.seq <= safe).count()..];
    }
    let seqs: Vec<_> = collector.arrived().await.iter().map(|one| one.seq.0).collect();
    assert_eq!(seqs, (0..200).collect::<Vec<_>>());
    // One event that is too long by itself will never be taken.
    collector.state(|state| state.most = Some(10));
    let error = sink.write(&some(200, 1)).await.unwrap_err();
    assert!(error.retry == Retry::Never && error.text.contains("413"), "{error}");
}

/// Lets the clock follow whoever sleeps, so that minutes pass at once.
fn hurrying(clock: &ManualClock) -> tokio::task::JoinHandle<()> {
    let clock = clock.clone();
    tokio::spawn(async move {
        loop {
            clock.advance(Duration::from_millis(50));
            tokio::task::yield_now().await;
        }
    })
}

#[tokio::test]
async fn an_acknowledgement_that_is_late_is_waited_for_and_nothing_is_sent_again() {
    let (collector, clock) = (acking(Some(30)), ManualClock::default());
    let sink = with(&collector, Arc::new(clock.clone())).await;
    let hurry = hurrying(&clock);
    let events = some(0, 5);
    let mut waits = 0;
    let safe = loop {
        match sink.write(&events).await {
            Ok(safe) => break safe,
            Err(error) => assert!(error.retry == Retry::Later && error.text.contains("not confirmed"), "{error}"),
        }
        waits += 1;
    };
    hurry.abort();
    assert!(waits > 0, "one call does not wait that long");
    assert_eq!((safe, collector.state(|state| (state.posts, state.events.len()))), (EventSeq(4), (1, 5)));
}

#[tokio::test]
async fn an_acknowledgement_that_never_comes_confirms_nothing_and_is_sent_again_after_minutes() {
    let (collector, clock) = (acking(None), ManualClock::default());
    let sink = with(&collector, Arc::new(clock.clone())).await;
    let hurry = hurrying(&clock);
    let started = clock.now();
    while collector.state(|state| state.posts) < 2 {
        assert_eq!(sink.write(&some(0, 2)).await.unwrap_err().retry, Retry::Later);
    }
    hurry.abort();
    assert!(clock.now().since(started) >= Duration::from_secs(300));
}

#[tokio::test]
async fn a_collector_whose_acknowledgements_are_switched_off_in_between_is_believed() {
    let (collector, clock) = (acking(None), ManualClock::default());
    let sink = Arc::new(with(&collector, Arc::new(clock.clone())).await);
    let writing = tokio::spawn({
        let sink = Arc::clone(&sink);
        async move { sink.write(&some(0, 2)).await }
    });
    while collector.state(|state| state.asked) == 0 {
        tokio::task::yield_now().await;
    }
    collector.state(|state| state.acks = None);
    let hurry = hurrying(&clock);
    assert_eq!(writing.await.unwrap().unwrap(), EventSeq(1));
    hurry.abort();
}

#[tokio::test]
async fn a_token_of_another_is_refused_by_name() {
    let collector = Collector::default();
    collector.state(|state| state.outage = Some(Outage::Refuses));
    let error = with(&collector, Arc::new(SystemClock)).await.write(&some(0, 1)).await.unwrap_err();
    assert!(error.retry == Retry::Never && error.text.contains("Invalid token"), "{error}");
}
