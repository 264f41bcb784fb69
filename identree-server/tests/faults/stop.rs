//! Told to stop in the middle of work; started twice.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use identree_core::rng::{OsEntropy, bytes};
use identree_core::wire::v1::Status;
use rustix::process::Signal;

use crate::crash::signed;
use crate::load::{Asked, by_question, compare, work};
use crate::place::Place;

#[test]
#[expect(clippy::disallowed_methods, reason = "how long the stop takes is what is measured")]
fn a_stop_in_the_middle_of_work_loses_nothing_and_tells_everybody() {
    let place = Place::new();
    let mut server = place.serve();
    server.until("the identity provider");
    let host = place.host("web1");
    let people = ["ann", "ada", "grace"].map(|name| signed(&place, &host, name));
    let (records, before) = place.stored();
    assert_eq!(records.len(), people.len());

    // Ten who surely wait: the server has seen them before it answers the one who came last.
    let held: Vec<_> = (0..10)
        .map(|_| {
            let id = host.ask("ann", &bytes(&OsEntropy)).unwrap().reply().challenge_id;
            let host = host.clone();
            std::thread::spawn(move || host.wait(id, 25).unwrap().reply().status)
        })
        .collect();
    host.wait(records[0].question().id, 1).unwrap();

    let (progress, answers) = channel();
    let workers: Vec<_> = (0..6)
        .map(|n| {
            let (host, who, progress) = (host.clone(), people[n % 3].clone(), progress.clone());
            std::thread::spawn(move || work(&host, who, n as u64, usize::MAX, &progress))
        })
        .collect();
    drop(progress);
    assert_eq!(answers.iter().take(60).count(), 60);
    server.signal(Signal::TERM);
    let start = Instant::now();
    let (status, said) = server.ended();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(status.success() && said.contains("stopped"), "{status}: {said}");
    for waiter in held {
        assert_eq!(waiter.join().unwrap(), Status::Pending);
    }
    let mut asked: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    let ids: Vec<_> = asked.iter().map(Asked::id).collect();
    let (records, events) = place.stored_of(&ids, before.len() as u64);
    let kinds = by_question(&events);
    for (asked, record) in asked.iter_mut().zip(&records) {
        compare(asked, record.as_ref(), &kinds);
    }
    place.assert_whole();
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_disturbs_nothing() {
    let place = Place::new();
    let _first = place.serve();
    let host = place.host("web1");
    let mut second = place.start_beside();
    second.until("data directory");
    let (status, said) = second.ended();
    assert!(!status.success() && said.contains("another identree"), "{said}");
    // The verbs of the command line work beside a running server.
    let id = loop {
        let answer = host.ask("ann", &[1; 32]).unwrap();
        if answer.status == 201 {
            break answer.reply().challenge_id;
        }
        assert_eq!(answer.status, 401, "{answer:?}");
    };
    assert_eq!(host.cancel(id).unwrap().reply().status, Status::Cancelled);
}
