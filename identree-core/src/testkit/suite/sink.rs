//! What every [`AuditSink`] promises. Stamp the clauses with [`sink_suite!`](crate::sink_suite).

use std::future::poll_fn;
use std::task::Poll;

use async_trait::async_trait;

use crate::audit::{AuditEvent, AuditSink, Entry, EventKind, EventSeq, SealedEvent, SinkError};
use crate::retry::Retry;
use crate::testkit::fakes;

/// Stamps one test per clause: `sink_suite!(shelf, async { (sink, destination) });`
///
/// The first argument names the module; the second is an expression that is evaluated for each test and gives a future of a sink
/// whose destination is empty and works, and of that [`Destination`]. The calling crate needs `tokio` with `macros` and
/// `rt-multi-thread`.
#[macro_export]
macro_rules! sink_suite {
    ($module:ident, $factory:expr) => {
        $crate::sink_suite!(@stamp $module, $factory;
            events_arrive_in_order
            what_is_confirmed_is_there
            the_name_stays_the_same
            an_event_offered_again_is_no_error
            a_log_may_begin_anywhere
            an_outage_loses_nothing
            a_refusal_is_told_and_ends
            no_text_makes_two_of_one
            what_was_erased_is_no_error
            more_than_it_takes_at_once_arrives
            a_dropped_write_harms_nothing
        );
    };
    (@stamp $module:ident, $factory:expr; $($clause:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $clause() {
                    let (sink, destination) = $factory.await;
                    $crate::testkit::suite::sink::$clause(&sink, &destination).await;
                }
            )*
        }
    };
}

/// One event as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its place in the log, read from what arrived.
    pub seq: EventSeq,
    /// All that arrived of it.
    pub text: String,
}

/// How a destination fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It is gone for a while: refuses connections, answers that it is busy, has no room.
    Gone,
    /// It will not take anything until somebody mends it: it refuses the credential, or the right is missing.
    Refuses,
}

/// The far side of a sink, as a test sees it.
#[async_trait]
pub trait Destination: Send + Sync {
    /// What has arrived so far, in the order of arrival; what came twice is there twice. What was confirmed is there at once, or
    /// the destination waits for what is under way (a datagram).
    async fn arrived(&self) -> Vec<Arrived>;

    /// Fails this way from now on. False if this destination cannot: a datagram is never refused.
    async fn fail(&self, outage: Outage) -> bool;

    /// Works again, with what had arrived before.
    async fn mend(&self);
}

/// A sealed event as the log would give it.
fn sealed(seq: u64, event: &AuditEvent) -> SealedEvent {
    let entry = Entry::of(event, [seq.to_be_bytes()[7]; 16]).expect("an event of a test is short enough");
    entry.sealed(EventSeq(seq)).expect("an entry is an event")
}

fn some(from: u64, count: u64) -> Vec<SealedEvent> {
    let event = |seq| fakes::event_about(seq, EventKind::ChallengeCreated, &fakes::pending(seq));
    (from..from + count).map(|seq| sealed(seq, &event(seq))).collect()
}

/// Offers events until all are confirmed, as the engine does.
async fn taken(sink: &dyn AuditSink, events: &[SealedEvent]) {
    let mut rest = events;
    while let Some(first) = rest.first() {
        let safe = sink.write(rest).await.expect("a working destination takes the events");
        assert!(safe >= first.seq, "each call brings the log on: {safe:?} after {:?} was offered", first.seq);
        let done = rest.iter().take_while(|event| event.seq <= safe).count();
        rest = &rest[done..];
    }
}

/// Everything is there, in order, without what came twice.
async fn there(destination: &dyn Destination, events: &[SealedEvent]) -> Vec<Arrived> {
    let mut first: Vec<Arrived> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    first.extend(destination.arrived().await.into_iter().filter(|one| seen.insert(one.seq)));
    let seqs: Vec<_> = first.iter().map(|one| one.seq).collect();
    let wanted: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, wanted, "each event arrives, in the order of the log");
    first
}

/// Events arrive in the order of the log, each once, and each is its own.
///
/// # Panics
/// Where the promise is broken.
pub async fn events_arrive_in_order(sink: &dyn AuditSink, destination: &dyn Destination) {
    let events = some(0, 40);
    for part in events.chunks(7) {
        taken(sink, part).await;
    }
    let arrived = there(destination, &events).await;
    assert_eq!(destination.arrived().await.len(), arrived.len(), "what was offered once is there once");
    for (one, event) in arrived.iter().zip(&events) {
        assert!(one.text.contains("challenge_created"), "what happened: {}", one.text);
        assert!(one.text.contains("ann"), "about whom: {}", one.text);
        assert!(one.text.contains(&event.event.id.to_string()), "its identity: {}", one.text);
    }
}

/// What is confirmed is at the destination at once, not in a buffer of the sink, and only what was offered is confirmed.
///
/// # Panics
/// Where the promise is broken.
pub async fn what_is_confirmed_is_there(sink: &dyn AuditSink, destination: &dyn Destination) {
    for seq in 0..3 {
        let safe = sink.write(&some(seq, 1)).await.expect("a working destination takes the events");
        assert_eq!(safe, EventSeq(seq), "the event that was offered is confirmed, and no other");
        let arrived = destination.arrived().await;
        assert!(arrived.iter().any(|one| one.seq == safe), "{safe:?} was confirmed and is not there");
    }
}

/// The place in the log is kept under the name.
///
/// # Panics
/// Where the promise is broken.
pub async fn the_name_stays_the_same(sink: &dyn AuditSink, _: &dyn Destination) {
    let name = sink.name().clone();
    taken(sink, &some(0, 1)).await;
    assert_eq!(*sink.name(), name);
    assert!(!name.0.is_empty() && name.0.len() <= 64, "a short name: {name}");
}

/// After a crash the same events come again.
///
/// # Panics
/// Where the promise is broken.
pub async fn an_event_offered_again_is_no_error(sink: &dyn AuditSink, destination: &dyn Destination) {
    let events = some(0, 6);
    taken(sink, &events[..4]).await;
    taken(sink, &events[..4]).await;
    taken(sink, &events[2..]).await;
    there(destination, &events).await;
}

/// A new sink may be given an old log from a place in the midst of it.
///
/// # Panics
/// Where the promise is broken.
pub async fn a_log_may_begin_anywhere(sink: &dyn AuditSink, destination: &dyn Destination) {
    let events = some(5_000_000_000, 3);
    taken(sink, &events).await;
    there(destination, &events).await;
}

/// A destination that is gone for a while is told as [`Retry::Later`], and nothing is missing afterwards.
///
/// # Panics
/// Where the promise is broken.
pub async fn an_outage_loses_nothing(sink: &dyn AuditSink, destination: &dyn Destination) {
    let events = some(0, 30);
    taken(sink, &events[..10]).await;
    if !destination.fail(Outage::Gone).await {
        return;
    }
    for _ in 0..3 {
        let error = failed(sink, &events[10..20]).await;
        assert_eq!(error.retry, Retry::Later, "what comes back is worth waiting for: {error}");
    }
    destination.mend().await;
    taken(sink, &events[10..20]).await;
    taken(sink, &events[20..]).await;
    there(destination, &events).await;
}

/// A destination that refuses is told as [`Retry::Never`]; once it is mended the same sink goes on.
///
/// # Panics
/// Where the promise is broken.
pub async fn a_refusal_is_told_and_ends(sink: &dyn AuditSink, destination: &dyn Destination) {
    let events = some(0, 6);
    if !destination.fail(Outage::Refuses).await {
        return;
    }
    let error = failed(sink, &events).await;
    assert_eq!(error.retry, Retry::Never, "trying again does not help: {error}");
    destination.mend().await;
    taken(sink, &events).await;
    there(destination, &events).await;
}

async fn failed(sink: &dyn AuditSink, events: &[SealedEvent]) -> SinkError {
    sink.write(events).await.expect_err("a destination that fails confirms nothing")
}

/// Line breaks, quotes, markup, hidden and very many characters arrive as one event, and forge no other.
///
/// # Panics
/// Where the promise is broken.
pub async fn no_text_makes_two_of_one(sink: &dyn AuditSink, destination: &dyn Destination) {
    let odd = [
        "",
        "\n\n{\"seq\":99}\r\n",
        "\"]'`<86>1 - - - - - - ${x}<b>&amp;\\",
        "\u{202e}\u{0}\u{7}\u{1b}[2J\u{2028}\u{85}",
        &"ä\n".repeat(20_000),
    ];
    let event = |(seq, text): (u64, &str)| {
        let event = fakes::event(seq, EventKind::SignInFailed).with("reason", text).with("issuer", text);
        sealed(seq, &event.with("user", text))
    };
    let events: Vec<_> = (0..).zip(odd).map(event).collect();
    taken(sink, &events).await;
    let arrived = there(destination, &events).await;
    assert_eq!(destination.arrived().await.len(), arrived.len(), "each is one event");
}

/// Personal data that was erased is not there, and that is all.
///
/// # Panics
/// Where the promise is broken.
pub async fn what_was_erased_is_no_error(sink: &dyn AuditSink, destination: &dyn Destination) {
    let event = fakes::event_about(0, EventKind::ChallengeCreated, &fakes::pending(0));
    let mut entry = Entry::of(&event, [7; 16]).expect("an event of a test is short enough");
    entry.personal.clear();
    let erased = entry.sealed(EventSeq(0)).expect("an entry is an event");
    assert_eq!((erased.salt, &erased.event.subject), (None, &None));
    let erased = [erased];
    taken(sink, &erased).await;
    let arrived = there(destination, &erased).await;
    assert!(!arrived[0].text.contains("\"ann\""), "{}", arrived[0].text);
}

/// More events, and longer ones, than a destination takes in one piece.
///
/// # Panics
/// Where the promise is broken.
pub async fn more_than_it_takes_at_once_arrives(sink: &dyn AuditSink, destination: &dyn Destination) {
    let event = |seq| fakes::event(seq, EventKind::SignInFailed).with("reason", "x".repeat(1000));
    let events: Vec<_> = (0..3000).map(|seq| sealed(seq, &event(seq))).collect();
    for part in events.chunks(1024) {
        taken(sink, part).await;
    }
    there(destination, &events).await;
}

/// A deadline drops a write wherever it stands; the same events come again and arrive.
///
/// # Panics
/// Where the promise is broken.
pub async fn a_dropped_write_harms_nothing(sink: &dyn AuditSink, destination: &dyn Destination) {
    let events = some(0, 9);
    for polls in 1..=3 {
        let mut write = Box::pin(sink.write(&events[..6]));
        for _ in 0..polls {
            let done = poll_fn(|context| Poll::Ready(write.as_mut().poll(context).is_ready())).await;
            if done {
                break; // it may not be polled again
            }
            tokio::task::yield_now().await;
        }
    }
    taken(sink, &events[..6]).await;
    taken(sink, &events[6..]).await;
    there(destination, &events).await;
}
