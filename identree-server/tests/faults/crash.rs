//! Killed in the middle of work, again and again, on one data directory.

use std::sync::mpsc::channel;

use identree_core::rng::{Entropy, OsEntropy, SeededEntropy, bytes};
use rustix::process::Signal;

use crate::load::{Asked, Signed, by_question, compare, consistent, work};
use crate::person::Person;
use crate::place::Place;

const ROUNDS: u64 = 50;
const WORKERS: u64 = 6;

/// The seed of this run: given, to see a failure again, or new.
#[expect(clippy::disallowed_methods, reason = "a test is told by its environment what to repeat")]
pub(crate) fn seed() -> u64 {
    let given = std::env::var("FAULTS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from_be_bytes(bytes(&OsEntropy)));
    eprintln!("FAULTS_SEED={seed} repeats the choices of this run");
    seed
}

#[test]
fn nothing_answered_is_lost_however_often_the_server_is_killed() {
    let random = SeededEntropy::new(seed());
    let place = Place::new();
    let mut server = place.serve();
    server.until("the identity provider");
    let hosts = ["web1", "web2", "web3"].map(|name| place.host(name));
    let people = ["ann", "ada", "grace"].map(|name| signed(&place, &hosts[0], name));

    let (mut known_events, mut questions, mut answered) = (0, 0, 0);
    let mut last: Vec<Asked> = Vec::new();
    for round in 0..ROUNDS {
        // The same nonce is the same question, before the crash and after it.
        for asked in last.iter().rev().take(4) {
            let again = asked.host.ask(asked.user, &asked.nonce).unwrap();
            assert_eq!(again.reply().challenge_id, asked.id(), "round {round}");
        }
        let after = 1 + usize::from(u16::from_be_bytes(bytes(&random)) % 120);
        let (progress, answers) = channel();
        let workers: Vec<_> = (0..WORKERS)
            .map(|n| {
                let at = usize::try_from(n).unwrap() % 3;
                let (host, who, progress) = (hosts[at].clone(), people[at].clone(), progress.clone());
                let seed = seed_of(&random);
                std::thread::spawn(move || work(&host, who, seed, usize::MAX, &progress))
            })
            .collect();
        drop(progress);
        answered += answers.iter().take(after).count();
        server.signal(Signal::KILL);
        drop(server);
        let mut asked: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();

        let ids: Vec<_> = asked.iter().map(Asked::id).collect();
        let (records, events) = place.stored_of(&ids, known_events);
        known_events += events.len() as u64;
        let kinds = by_question(&events);
        for (asked, record) in asked.iter_mut().zip(&records) {
            compare(asked, record.as_ref(), &kinds);
        }
        questions += records.iter().flatten().count();
        last = asked;
        server = place.serve();
    }
    drop(server);

    // And all of it once more, as it stands after the last start.
    let (records, events) = place.stored();
    let kinds = by_question(&events);
    assert_eq!(
        events.iter().filter(|event| event.challenge.is_some()).count(),
        kinds.values().map(Vec::len).sum::<usize>()
    );
    for record in &records {
        consistent(record, kinds.get(&record.question().id).map_or(&[], Vec::as_slice));
    }
    assert_eq!(records.len(), kinds.len(), "no event without its question");
    assert!(records.len() >= questions && answered >= 50, "{questions} questions, {answered} answers");
    place.assert_whole();
    eprintln!("{} questions, {} events, {answered} answers awaited before a kill", records.len(), events.len());
}

fn seed_of(random: &dyn Entropy) -> u64 {
    u64::from_be_bytes(bytes(random))
}

/// A person who signs in, and the token of their forms, from the page of a question of their own.
pub(crate) fn signed(place: &Place, host: &crate::host::Host, name: &'static str) -> Signed {
    let mut person = place.person(name);
    let nonce = bytes::<32>(&OsEntropy);
    let code = loop {
        let answer = host.ask(name, &nonce).unwrap();
        if answer.status == 201 {
            break answer.reply().user_code.unwrap();
        }
        assert_eq!(answer.status, 401, "a host just added is known within a second: {answer:?}");
    };
    let token = Person::token(&person.read(&format!("/approve/{}", code.as_str())));
    Signed { name, person, token }
}
