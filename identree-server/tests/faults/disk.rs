//! No space left: nothing is answered that was not written, and with space everything goes on.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use identree_core::challenge::{CommandSource, RunAs, SudoFacts};
use identree_core::id::{Nonce, ServiceName, UserName};
use identree_core::rng::{OsEntropy, bytes};
use identree_core::wire::v1::Status;
use identree_pam::transport::Watch;
use identree_pam::{Config, Terminal, Verdict};
use rustix::process::Signal;

use crate::crash::signed;
use crate::host::Host;
use crate::place::Place;
use crate::require;
use crate::serving::Serving;

/// Far more than fits.
const MANY: usize = 5000;

/// Puts the data directory on a file system of its own, in a mount namespace of its own.
fn small_disk<'a>(options: &'a str, data: &'a str) -> Vec<&'a str> {
    let script = "mount -t tmpfs -o \"$1\" tmpfs \"$0\" && shift && exec \"$@\"";
    vec!["unshare", "--mount", "--propagation", "private", "sh", "-c", script, data, options]
}

fn can_mount() -> bool {
    require("root", rustix::process::geteuid().is_root()) && require("unshare", Path::new("/usr/bin/unshare").exists())
}

/// The data directory as the server sees it.
fn seen(server: &Serving, place: &Place) -> PathBuf {
    let data = place.data();
    Path::new(&format!("/proc/{}/root", server.pid())).join(data.strip_prefix("/").unwrap())
}

/// Takes all space that is left.
fn fill(data: &Path) {
    let mut filler = OpenOptions::new().append(true).create(true).open(data.join("filler")).unwrap();
    loop {
        match filler.write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a person sees who runs sudo there.
fn on_the_terminal(place: &Place, host: &Host) -> (Verdict, String) {
    struct Lines(String);
    impl Terminal for Lines {
        fn say(&mut self, line: &str) {
            self.0.push_str(line);
            self.0.push('\n');
        }
    }
    let mut config = Config::parse(&host.conf, &place.path("client.conf")).unwrap();
    config.timeout = std::time::Duration::from_secs(5);
    let facts = SudoFacts {
        service: ServiceName::parse("sudo").unwrap(),
        requester: UserName::parse("ann").unwrap(),
        run_as: RunAs { user: UserName::parse("root").unwrap(), group: None },
        source: CommandSource::CallerCommandLine,
        argv: vec![b"sudo".to_vec(), b"whoami".to_vec()],
        cwd: None,
        tty: None,
        reason: None,
        run: None,
    };
    let (nonce, mut lines) = (Nonce::from_bytes(bytes(&OsEntropy)), Lines(String::new()));
    let verdict = identree_pam::ask(&config, &facts, nonce, identree_pam::clock::now(), &mut lines, Watch::default());
    (verdict, lines.0)
}

#[test]
fn a_full_disk_never_says_yes_and_passes_without_a_restart() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let data = place.data();
    let mut server = place.serve_in(&small_disk("size=3m,mode=700", data.to_str().unwrap()));
    server.until("the identity provider");
    let data = seen(&server, &place);
    let host = place.host_in(&["nsenter", "--target", &server.pid().to_string(), "--mount"], "web1");
    let mut ann = signed(&place, &host, "ann");
    let ask = |nonce: &[u8; 32]| host.ask("ann", nonce).unwrap();
    let vote = |ann: &mut crate::load::Signed, id: &str| {
        let fields = [("csrf_token", &*ann.token.clone()), ("challenge_id", id)];
        ann.person.try_post("/api/challenges/approve", &fields).unwrap()
    };
    let [settled, held] = [[1; 32], [2; 32]];
    let (settled_id, held_id) = (ask(&settled).reply().challenge_id, ask(&held).reply().challenge_id);
    assert_eq!(vote(&mut ann, &settled_id.to_string()), 303);
    let voted_on: Vec<_> = (10..30).map(|n| [n; 32]).collect();
    voted_on.iter().for_each(|nonce| assert_eq!(ask(nonce).status, 201));
    let waiting = std::thread::spawn({
        let host = host.clone();
        move || host.wait(held_id, 25).unwrap().reply()
    });
    host.wait(host.id(&held), 1).unwrap(); // the other wait has begun by then

    fill(&data);
    let (mut acknowledged, mut refused) = ([&[settled, held], &voted_on[..]].concat(), Vec::new());
    for _ in 0..MANY {
        let nonce = bytes::<32>(&OsEntropy);
        let answer = ask(&nonce);
        match answer.status {
            201 => acknowledged.push(nonce),
            503 => {
                assert_eq!(answer.problem(), "unavailable");
                refused.push(nonce);
                fill(&data); // what the failed attempt gave back
                if refused.len() == 20 {
                    break;
                }
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert_eq!(refused.len(), 20, "the disk was full after {} questions", acknowledged.len());
    assert!(!host.ready(), "/readyz says that nothing can be written");
    let (verdict, lines) = on_the_terminal(&place, &host);
    assert!(matches!(verdict, Verdict::Unreachable(_)), "{verdict:?}");
    assert!(lines.contains("nothing was allowed") && lines.contains("cannot decide right now"), "{lines}");
    // What is settled is answered on, and a vote that cannot be written counts for nothing and says so. It takes less than a question, so
    // that some may find room in what the write-ahead log has already: those count.
    let reply = host.wait(settled_id, 0).unwrap().reply();
    assert!(reply.status == Status::Approved && host.proves_yes("ann", &settled, &reply));
    let unwritten = voted_on.iter().map(|nonce| host.id(nonce)).find(|id| {
        let answered = vote(&mut ann, &id.to_string());
        let status = host.wait(*id, 0).unwrap().reply().status;
        assert!(
            [(303, Status::Approved), (503, Status::Pending)].contains(&(answered, status)),
            "{answered} {status:?}"
        );
        answered == 503
    });
    let unwritten = unwritten.expect("a full disk takes votes without end");

    std::fs::remove_file(data.join("filler")).unwrap();
    let after = [3; 32];
    assert_eq!(ask(&after).status, 201);
    acknowledged.push(after);
    assert!(host.ready());
    for id in [held_id, unwritten] {
        assert_eq!(vote(&mut ann, &id.to_string()), 303);
    }
    let mut reply = waiting.join().unwrap();
    if reply.status == Status::Pending {
        reply = host.wait(held_id, 25).unwrap().reply(); // all of this took longer than one wait
    }
    assert!(reply.status == Status::Approved && host.proves_yes("ann", &held, &reply));

    for nonce in &acknowledged {
        assert_eq!(host.wait(host.id(nonce), 0).unwrap().status, 200, "a question that was answered is there");
    }
    for nonce in &refused {
        assert_eq!(host.wait(host.id(nonce), 0).unwrap().status, 404, "one that was refused is not");
    }
    server.signal(Signal::TERM);
    assert!(server.ended().0.success());
}

#[test]
fn a_first_start_that_cannot_write_says_where_and_leaves_nothing_by_halves() {
    if !can_mount() {
        return;
    }
    for (options, what) in [("size=1m,mode=700,ro", "read-only"), ("nr_inodes=2,mode=700", "no room for a second file")]
    {
        let place = Place::new();
        let data = place.data();
        let (status, said) = place.start(&small_disk(options, data.to_str().unwrap())).ended();
        assert_eq!(status.code(), Some(1), "{what}: {said}");
        assert!(said.contains(data.to_str().unwrap()), "{what}: {said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
    }
}

#[test]
fn a_key_that_cannot_be_written_is_not_half_there() {
    let place = Place::new();
    // A directory in its place: neither readable as a key nor replaceable.
    std::fs::create_dir(place.data().join("decision.key")).unwrap();
    let (status, said) = place.start(&[]).ended();
    assert!(!status.success() && said.contains("decision.key"), "{said}");
    std::fs::remove_dir(place.data().join("decision.key")).unwrap();
    let names: Vec<_> = std::fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("decision.key")), "{names:?}");
    place.serve();
}
