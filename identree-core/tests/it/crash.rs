//! Nothing acknowledged is lost: a process that commits and seals as fast as it can is killed, again and again, on the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use identree_core::audit::EventKind;
use identree_core::rng::SeededEntropy;
use identree_core::store::{
    Batch, Challenges as _, Change, LeaseName, Leases as _, Page, ReplicaId, SqliteStore, Store as _,
};
use identree_core::testkit::sealing::PlainSealer;
use identree_core::testkit::{fakes, journal};

const WRITERS: u64 = 8;
/// Each round kills the writer after so many acknowledged lines.
const KILL_AFTER: [usize; 6] = [1, 40, 200, 333, 700, 1100];
/// How long the lease of a sealer that was killed keeps the next one waiting.
const LEASE: Duration = Duration::from_millis(100);

/// Runs as a process of its own, started by the test below: commits for ever, and prints what was acknowledged.
#[test]
#[ignore = "the child of the crash test: it reads a path and a first number from its input"]
fn child() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let Some((first, path)) = line.trim().split_once(' ') else { return };
    let (first, path) = (first.parse::<u64>().unwrap(), path.to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(path).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            tasks.spawn(async move {
                for n in (first + writer..).step_by(usize::try_from(WRITERS).unwrap()) {
                    let record = fakes::pending(n);
                    let created = fakes::event_about(n, EventKind::ChallengeCreated, &record);
                    store.commit(Batch::of(Change::Open(record.clone()), created)).await.unwrap();
                    acknowledge("opened", n);
                    let next = fakes::approved(&record, "ben", fakes::START);
                    let approved = fakes::event_about(n, EventKind::ChallengeApproved, &next);
                    store.commit(Batch::of(Change::Advance(next), approved)).await.unwrap();
                    acknowledge("approved", n);
                }
            });
        }
        tasks.spawn(seal(store, ReplicaId::random(&SeededEntropy::new(first))));
        tasks.join_next().await.unwrap().unwrap();
    });
}

/// Seals what the writers commit, a few events at a time, so that it is nearly always about to.
async fn seal(store: SqliteStore, replica: ReplicaId) {
    let hold = || async { store.hold(&LeaseName::SEAL, &replica, LEASE).await.expect("it can be asked for") };
    while hold().await.is_none() {
        tokio::task::yield_now().await; // the one who was killed had it
    }
    let mut sealer = PlainSealer::open(&store).await;
    loop {
        let fence = hold().await.expect("nobody else asks for it");
        if sealer.step(&store, &fence, 29).await.expect("nobody else seals") > 0 {
            acknowledge("sealed", sealer.head().size);
        }
        tokio::task::yield_now().await;
    }
}

/// One write per line, so that a line is there as a whole or not at all.
fn acknowledge(what: &str, n: u64) {
    std::io::stdout().lock().write_all(format!("\nack {what} {n} .\n").as_bytes()).expect("the test reads on");
}

/// Runs one writer and kills it; gives what it had acknowledged.
fn killed_after(lines: usize, path: &str, first: u64) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    child.stdin.take().expect("a pipe").write_all(format!("{first} {path}\n").as_bytes()).expect("the child reads");
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let line = line.expect("text");
        let words: Vec<_> = line.split(' ').collect();
        if let ["ack", what, n, "."] = words[..] {
            acknowledged.push((what.to_owned(), n.parse().expect("a number")));
            if acknowledged.len() == lines {
                child.kill().expect("it still runs"); // SIGKILL; what it had printed by then is read to the end
            }
        }
    }
    assert!(!child.wait().expect("it ends").success());
    assert!(acknowledged.len() >= lines, "it was killed and did not end on its own");
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("crash.sqlite3").to_str().unwrap().to_owned();
    let (mut opened, mut approved, mut sealed) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (round, lines) in (0..).zip(KILL_AFTER) {
        let to_child = path.clone();
        let acknowledged = tokio::task::spawn_blocking(move || killed_after(lines, &to_child, round * 1_000_000)).await;
        for (what, n) in acknowledged.unwrap() {
            match &*what {
                "opened" => assert!(opened.insert(n)),
                "approved" => assert!(approved.insert(n)),
                _ => sealed = sealed.max(n),
            }
        }

        let store = SqliteStore::open(&path).await.unwrap();
        for n in &opened {
            assert!(store.challenge(fakes::question(*n).id).await.unwrap().is_some(), "{n} was opened");
        }
        for n in &approved {
            let record = store.challenge(fakes::question(*n).id).await.unwrap().unwrap();
            assert!(!record.is_pending(), "{n} was approved");
        }
        // The log is one, over all that were killed, and nothing acknowledged of it is gone.
        let log = PlainSealer::open(&store).await.head();
        assert!(log.size >= sealed, "{} entries of {sealed}", log.size);
        // Log and journal tell the same story as the questions, acknowledged or not, and no event twice.
        let mut events = BTreeMap::new();
        for event in journal::sealed(&store).await.into_iter().chain(journal::waiting(&store).await) {
            *events.entry((event.challenge.unwrap(), event.kind)).or_insert(0) += 1;
        }
        assert!(events.values().all(|times| *times == 1), "no event twice");
        let (mut questions, mut settled, mut page) = (0, 0, Page::first(500));
        loop {
            let paged = store.challenges(&Default::default(), page).await.unwrap();
            for record in paged.items {
                let id = record.question().id;
                assert!(events.contains_key(&(id, EventKind::ChallengeCreated)), "{id} has its event");
                assert_eq!(events.contains_key(&(id, EventKind::ChallengeApproved)), !record.is_pending(), "{id}");
                questions += 1;
                settled += usize::from(!record.is_pending());
            }
            let Some(next) = paged.next else { break };
            page.after = Some(next);
        }
        assert_eq!(events.len(), questions + settled, "no event without its change");
    }
    assert!(sealed > 300, "{sealed} entries: it was killed while sealing");
}
