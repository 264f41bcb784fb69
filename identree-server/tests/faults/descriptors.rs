//! No descriptors left: who waits is answered, new work is refused at once, and with descriptors everything goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use identree_core::rng::{OsEntropy, bytes};
use identree_core::wire::v1::{CHALLENGES, Status};
use rustix::process::Signal;

use crate::PATIENCE;
use crate::crash::signed;
use crate::host::Answer;
use crate::place::Place;

/// The server's limit; half of it is for connections, the rest for its database and itself.
const LIMIT: &str = "128";
const HELD: usize = 24;
const IDLE: usize = 300;
/// How soon somebody who is turned away must know, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// Sends on a connection that was opened earlier.
fn send(mut stream: TcpStream, request: &str) -> Answer {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    Answer::parse(&text).unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how soon somebody is turned away is what is measured")]
fn without_descriptors_who_waits_is_answered_and_others_know_at_once() {
    let place = Place::new();
    let mut server = place.serve_in(&["sh", "-c", "ulimit -n \"$0\" && exec \"$@\"", LIMIT]);
    server.until("the identity provider");
    let host = place.host("web1");
    signed(&place, &host, "ann"); // the host is known from here on
    let open = || TcpStream::connect(host.authority.as_str()).unwrap();

    let asked: Vec<_> = (0..=HELD).map(|_| host.ask("ann", &bytes(&OsEntropy)).unwrap().reply().challenge_id).collect();
    let (last, asked) = asked.split_last().unwrap();
    let held: Vec<_> = asked
        .iter()
        .map(|id| {
            let (host, id) = (host.clone(), *id);
            std::thread::spawn(move || host.wait(id, 25).unwrap().reply().status)
        })
        .collect();
    host.wait(*last, 1).unwrap(); // by then all of them wait

    // What will settle the questions has its connections already, as a browser's open page has.
    let ready: Vec<_> = asked.iter().map(|_| open()).collect();
    let resting = open();
    let idle: Vec<_> = (0..IDLE).map(|_| open()).collect();
    for _ in 0..5 {
        let start = Instant::now();
        let answer = host.ask("ann", &bytes(&OsEntropy));
        assert!(answer.as_ref().map_or(true, |answer| answer.status == 503), "{answer:?}");
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
    for (id, stream) in asked.iter().zip(ready) {
        let request = host.request(crate::clock::now_and(0), ("DELETE", &format!("{CHALLENGES}/{id}")), "");
        assert_eq!(send(stream, &request).reply().status, Status::Cancelled, "the database works on");
    }
    for waiter in held {
        assert_eq!(waiter.join().unwrap(), Status::Cancelled);
    }
    // Three seconds at rest cost next to nothing.
    let used = server.cpu_secs();
    let request = host.request(crate::clock::now_and(0), ("GET", &format!("{CHALLENGES}/{last}?wait=3")), "");
    assert_eq!(send(resting, &request).reply().status, Status::Pending);
    let used = server.cpu_secs() - used;
    assert!(used < 1.5, "{used} s of CPU: the door turns in circles");

    drop(idle);
    let deadline = Instant::now() + PATIENCE;
    while !host.ask("ann", &bytes(&OsEntropy)).is_ok_and(|answer| answer.status == 201) {
        assert!(Instant::now() < deadline, "new work is not served although there is room");
    }
    server.signal(Signal::TERM);
    assert!(server.ended().0.success());
}
