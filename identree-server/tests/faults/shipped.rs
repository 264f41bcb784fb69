//! The audit log as lines of JSON, whatever happens to the server that writes them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc::channel;

use identree_core::rng::{SeededEntropy, bytes};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::Signal;
use serde_json::Value;

use crate::PATIENCE;
use crate::crash::{seed, signed};
use crate::load::work;
use crate::place::Place;

const ROUNDS: u64 = 8;

/// The lines of the file, each whole. Read as somebody else would: by no code of ours.
fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn every_event_is_in_the_file_once_and_in_order_however_often_the_server_is_killed() {
    let random = SeededEntropy::new(seed());
    let mut place = Place::new();
    let file = place.path("audit.jsonl");
    place.settings.push(("IDENTREE_AUDIT_LOG", format!("file:{}", file.display())));
    place.settings.push(("IDENTREE_AUDIT_LOG_MAX_SIZE", "0".to_owned()));
    let mut server = place.serve();
    server.until("the identity provider");
    let host = place.host("web1");
    let who = signed(&place, &host, "ann");
    for _ in 0..ROUNDS {
        let after = 1 + usize::from(bytes::<1>(&random)[0] % 60);
        let (progress, answers) = channel();
        let working = std::thread::spawn({
            let (host, who, seed) = (host.clone(), who.clone(), u64::from_be_bytes(bytes(&random)));
            move || work(&host, who, seed, usize::MAX, &progress)
        });
        answers.iter().take(after).for_each(drop);
        server.signal(Signal::KILL);
        drop(server);
        working.join().unwrap();
        server = place.serve();
    }
    server.signal(Signal::KILL);
    drop(server);
    let committed: HashSet<_> = place.stored().1.iter().map(|event| event.id.to_string()).collect();

    let notices = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&notices, file.parent().unwrap(), inotify::WatchFlags::MODIFY).unwrap();
    let server = place.serve();
    let missing = || {
        let there: HashSet<_> = lines(&file).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
        committed.difference(&there).count()
    };
    while missing() > 0 {
        let patience = Timespec { tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap(), tv_nsec: 0 };
        let told = poll(&mut [PollFd::new(&notices, PollFlags::IN)], Some(&patience)).unwrap();
        assert!(told > 0, "{} of {} events are not in the file", missing(), committed.len());
        rustix::io::read(&notices, &mut [0; 65_536]).unwrap();
    }
    server.signal(Signal::KILL);
    drop(server);

    let lines = lines(&file);
    let places: Vec<_> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..lines.len() as u64).collect::<Vec<_>>(), "in order, without gaps, none twice");
    let ids: HashSet<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), lines.len(), "each is its own");
    assert!(lines.iter().all(|line| line["source"] == "identree" && line["hash"].as_str().unwrap().len() == 64));
    eprintln!("{} events in the file, {} committed before the last start", lines.len(), committed.len());
}
