//! Three servers over one PostgreSQL, and everything that breaks between them. The choices are drawn from a seed, which is
//! printed: `FAULTS_SEED` repeats them, `FAULTS` says how many (30).
//!
//! Every call is written down with what it was told; at the end an order must explain it (`testkit::history`), the log must have
//! each event once, and a copy of it must verify.

mod fault;
mod load;
mod relay;
mod site;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::ChallengeId;
use identree_core::rng::{Entropy, SeededEntropy, bytes};
use identree_core::testkit::history::{Recorded, Rules, Told, check};
use identree_core::time::{Clock as _, SystemClock};
use identree_core::wire::v1::Status;

use self::fault::{Fault, Span, draw, inject, wait_until};
use self::load::Load;
use self::relay::Line;
use self::site::{SERVERS, Site};
use crate::crash::seed;
use crate::load::{Signed, by_question, consistent};
use crate::person::Person;

/// How many ask at a time.
const WORKERS: u64 = 4;

/// How many faults.
#[expect(clippy::disallowed_methods, reason = "a test is told by its environment how long to go on")]
fn faults() -> usize {
    std::env::var("FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

#[test]
fn whatever_breaks_nothing_is_lost_and_nothing_is_decided_twice() {
    let random = SeededEntropy::new(seed());
    let drawn: Vec<_> = (0..faults()).map(|_| draw(&random)).collect();
    run(&random, &drawn);
}

#[test]
fn a_database_that_is_gone_for_half_a_minute_costs_no_answer() {
    let random = SeededEntropy::new(seed());
    run(&random, &[(Fault::Line(None, Line::Stalled), Span(30_000))]);
}

fn run(random: &dyn Entropy, drawn: &[(Fault, Span)]) {
    let Some(mut site) = Site::start(drawn.len()) else { return };
    let host = site.host("web1");
    for server in &site.servers {
        wait_until("the host is known", || host_is_known(&server.listen, &host));
    }
    let load = Load {
        person: signed(&site, &host),
        host,
        listen: site.servers.iter().map(|server| server.listen.clone()).collect(),
        start: began(),
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        histories: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let (load, seed) = (&load, u64::from_be_bytes(bytes(random)));
            scope.spawn(move || load.work(seed));
        }
        for (number, (fault, span)) in drawn.iter().enumerate() {
            // Between two of them something is asked and answered.
            let before = load.answered.load(Ordering::Relaxed);
            wait_until("calls are answered", || load.answered.load(Ordering::Relaxed) >= before + 20);
            eprintln!("{number}: {fault:?} for {} ms", span.0);
            inject(&mut site, *fault, *span);
        }
        load.stop.store(true, Ordering::Relaxed);
    });
    settle(&site, &load);
}

#[expect(clippy::disallowed_methods, reason = "what happened first is told by one clock that nobody sets")]
fn began() -> Instant {
    Instant::now()
}

/// Whether a server knows the host: then only its question is unknown.
fn host_is_known(listen: &str, host: &crate::host::Host) -> bool {
    let target = format!("/api/challenge/{}?wait=0", "0".repeat(32));
    let text = host.request(SystemClock.now(), ("GET", &target), "");
    site::send(listen, &text).is_ok_and(|answer| answer.status == 404)
}

fn signed(site: &Site, host: &crate::host::Host) -> Signed {
    let mut person = site.person("ann");
    let answer = host.ask("ann", &[1; 32]).unwrap();
    let page = person.read(&format!("/approve/{}", answer.reply().user_code.unwrap()));
    let token = Person::token(&page);
    Signed { name: "ann", person, token }
}

/// All is whole again: what was told must fit together, and what is stored must be what was told.
fn settle(site: &Site, load: &Load) {
    let asked: Vec<ChallengeId> = load.histories.lock().unwrap().keys().copied().collect();
    for (number, id) in asked.iter().enumerate() {
        assert_ne!(load.look(*id, number % SERVERS, 0), Told::Nothing, "{id}: everything is whole again");
    }
    let histories = load.histories.lock().unwrap();
    for (id, calls) in &*histories {
        let explained = check(Rules { need: 1, expires: u64::MAX }, calls);
        assert!(explained.is_ok(), "{id}: {}", explained.unwrap_err());
    }
    let (records, events) = site.stored();
    // A vote that came too late is an event too.
    let mut told = events.clone();
    told.retain(|event| event.kind != EventKind::VoteRefused);
    let kinds = by_question(&told);
    let stored: HashMap<_, _> = records.iter().map(|record| (record.question().id, record)).collect();
    for (id, calls) in &*histories {
        let last = last_told(calls);
        match stored.get(id) {
            None => assert_eq!(last, Told::Unknown, "{id} was answered and is lost"),
            Some(record) => {
                let status = consistent(record, kinds.get(id).map_or(&[], Vec::as_slice));
                assert_eq!(told_of(status), last, "{id}");
            }
        }
    }
    assert_eq!(records.len(), kinds.len(), "no event without its question");
    verify(site, &events);
    let calls: usize = histories.values().map(Vec::len).sum();
    let nothing = histories.values().flatten().filter(|one| one.told == Told::Nothing).count();
    eprintln!(
        "{} questions, {calls} calls, {} answered, {nothing} not; {} events in one log; 0 lost",
        histories.len(),
        load.answered.load(Ordering::Relaxed),
        events.len()
    );
}

/// What the last look was told: it came after everything else had ended.
fn last_told(calls: &[Recorded]) -> Told {
    calls.iter().max_by_key(|call| call.began).unwrap().told
}

const fn told_of(status: Status) -> Told {
    match status {
        Status::Pending => Told::Waits(0),
        Status::Approved => Told::Granted,
        Status::Denied => Told::Denied,
        Status::Expired => Told::Expired,
        Status::Cancelled => Told::Cancelled,
        Status::Refused => Told::Nothing,
    }
}

/// The log is one, has each event once, verifies from a copy alone, and was shipped as a whole.
fn verify(site: &Site, events: &[AuditEvent]) {
    let mut seen = BTreeMap::new();
    for event in events {
        *seen.entry(event.id).or_insert(0) += 1;
    }
    assert!(seen.values().all(|times| *times == 1), "an event is in the log twice");
    let copy = site.path("copy");
    let key = site.run(&["audit", "key"]);
    site.run(&["audit", "export", copy.to_str().unwrap()]);
    eprintln!("{}", site.verify(&copy, key.trim()).trim());

    // One server at a time ships: the files together have everything, in order but for what was told again after a fail-over.
    let count = events.len() as u64;
    wait_until("everything is shipped", || {
        let mut shipped: Vec<u64> = site.shipped().iter().flat_map(|text| text.lines().filter_map(seq)).collect();
        shipped.sort_unstable();
        shipped.dedup();
        shipped.len() as u64 >= count
    });
}

/// The number in a line that is whole.
fn seq(line: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get("seq")?.as_u64()
}
