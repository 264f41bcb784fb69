//! The machine's clock is set by an hour while a question waits (decision 13).

use std::path::Path;
use std::time::{Duration, Instant};

use identree_core::rng::{OsEntropy, bytes};
use identree_core::time::{Clock as _, SystemClock, Timestamp};
use identree_core::wire::v1::{CHALLENGES, Status};
use rustix::process::Signal;

use crate::crash::signed;
use crate::host::Host;
use crate::place::Place;
use crate::require;
use crate::serving::Serving;

const HOUR: i64 = 3600;
/// The shortest life that the server takes.
const LIFE: Duration = Duration::from_secs(30);

struct Stepped {
    place: Place,
    server: Serving,
    host: Host,
}

pub(crate) fn now_and(offset: i64) -> Timestamp {
    Timestamp::from_millis(SystemClock.now().as_millis() + offset * 1000)
}

impl Stepped {
    fn start() -> Option<Self> {
        let library =
            ["x86_64", "aarch64"].map(|arch| format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1"));
        let library = library.into_iter().find(|path| Path::new(path).exists());
        if !require("libfaketime", library.is_some()) {
            return None;
        }
        let mut place = Place::new();
        place.settings.retain(|(name, _)| *name != "IDENTREE_CHALLENGE_TTL");
        place.settings.extend([("IDENTREE_CHALLENGE_TTL", "30s".to_owned())]);
        let server = place.serve();
        let host = place.host("web1"); // with the clock as it is
        server.signal(Signal::TERM);
        assert!(server.ended().0.success());
        let file = place.path("offset");
        std::fs::write(&file, "+0\n").unwrap();
        let file = file.to_str().unwrap().to_owned();
        place.settings.extend([
            ("LD_PRELOAD", library?),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]);
        let mut server = place.serve();
        server.until("the identity provider");
        Some(Self { place, server, host })
    }

    /// Sets the server's clock to this many seconds from the right time.
    fn step(&self, offset: i64) {
        let aside = self.place.path("offset.new");
        std::fs::write(&aside, format!("{offset:+}\n")).unwrap();
        std::fs::rename(aside, self.place.path("offset")).unwrap();
    }

    fn ask_at(&self, offset: i64) -> crate::host::Answer {
        let body = Host::question("ann", &bytes(&OsEntropy));
        self.host.send_at(now_and(offset), ("POST", CHALLENGES), &body).unwrap()
    }

    /// A host that waits for a question that it has just asked, and when it asked.
    #[expect(clippy::disallowed_methods, reason = "how long a question lives is what is measured")]
    fn waiter(&self, offset: i64) -> (std::thread::JoinHandle<Status>, Instant) {
        let asked = Instant::now();
        let id = self.ask_at(offset).reply().challenge_id;
        let host = self.host.clone();
        let wait = move || {
            let target = format!("{CHALLENGES}/{id}?wait=25");
            let mut status = Status::Pending;
            while status == Status::Pending {
                // By whichever clock the server goes now.
                let answers =
                    [0, HOUR, -HOUR].map(|offset| host.send_at(now_and(offset), ("GET", &target), "").unwrap());
                status = answers.iter().find(|answer| answer.status == 200).unwrap().reply().status;
            }
            status
        };
        (std::thread::spawn(wait), asked)
    }

    fn end(self, secs: f64) {
        let used = self.server.cpu_secs();
        assert!(used < secs, "{used} s of CPU: something turns in circles");
        self.server.signal(Signal::TERM);
        let (status, said) = self.server.ended();
        assert!(status.success() && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_clock_set_back_by_an_hour_prolongs_no_question() {
    let Some(mut stepped) = Stepped::start() else { return };
    let mut ann = signed(&stepped.place, &stepped.host, "ann");
    let (waiting, asked) = stepped.waiter(0);
    stepped.step(-HOUR);
    stepped.server.until("went back by");
    assert_eq!(stepped.ask_at(-HOUR).status, 201, "a host with the clock as it is now is served at once");
    let late = stepped.ask_at(0);
    assert!(late.status == 401 && late.body.contains("3600 s ahead of") || late.body.contains("3599 s"), "{late:?}");
    assert_eq!(waiting.join().unwrap(), Status::Expired);
    let lived = asked.elapsed();
    assert!(lived >= LIFE - Duration::from_secs(1) && lived < LIFE + Duration::from_secs(4), "{lived:?}");

    // Signed in before the step, ann still is; a host added now is known within a second.
    let id = stepped.ask_at(-HOUR).reply().challenge_id.to_string();
    let fields = [("csrf_token", &*ann.token), ("challenge_id", &*id)];
    assert_eq!(ann.person.try_post("/api/challenges/approve", &fields).unwrap(), 303);
    stepped.end(15.0);
}

#[test]
fn a_clock_set_forward_by_an_hour_ends_what_waits_and_grants_nothing() {
    let Some(mut stepped) = Stepped::start() else { return };
    let (waiting, asked) = stepped.waiter(0);
    stepped.step(HOUR);
    stepped.server.until("went forward by");
    assert_eq!(stepped.ask_at(HOUR).status, 201, "a host with the clock as it is now is served at once");
    assert_eq!(stepped.ask_at(0).status, 401);
    assert_eq!(waiting.join().unwrap(), Status::Expired);
    assert!(asked.elapsed() < LIFE, "told at once: {:?}", asked.elapsed());
    stepped.end(15.0);
}
