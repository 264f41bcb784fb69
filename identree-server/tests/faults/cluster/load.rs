//! Hosts that ask and people who answer, each time through whichever server, while things break; and what each was told.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use identree_core::id::ChallengeId;
use identree_core::rng::{SeededEntropy, bytes};
use identree_core::testkit::history::{Call, Recorded, Told};
use identree_core::time::{Clock as _, SystemClock};
use identree_core::wire::v1::{CHALLENGES, Reply, Status};

use super::site::send;
use crate::host::{Answer, Host};
use crate::load::Signed;

/// How often a host asks again for what it got no answer to.
const TRIES: usize = 40;

/// What was told of each question.
pub(crate) type Histories = BTreeMap<ChallengeId, Vec<Recorded>>;

/// The callers.
pub(crate) struct Load {
    pub(crate) host: Host,
    pub(crate) person: Signed,
    pub(crate) listen: Vec<String>,
    /// Since when times are counted.
    pub(crate) start: Instant,
    pub(crate) stop: AtomicBool,
    /// Calls that were answered.
    pub(crate) answered: AtomicU64,
    pub(crate) histories: Mutex<Histories>,
}

impl Load {
    #[expect(clippy::cast_possible_truncation, reason = "a run of the test does not last for centuries")]
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Asks one question after the other.
    pub(crate) fn work(&self, seed: u64) {
        let random = SeededEntropy::new(seed);
        while !self.stop.load(Ordering::Relaxed) {
            let nonce = bytes::<32>(&random);
            let [act, a, b, c, again] = bytes::<5>(&random).map(usize::from);
            let id = self.host.id(&nonce);
            let Some(_) = (0..TRIES).find(|n| self.open(&nonce, a + n)) else { continue };
            std::thread::scope(|scope| {
                // A host that waits, through another server.
                if act % 2 == 0 {
                    scope.spawn(|| self.look(id, b, 5));
                }
                if again % 5 == 0 {
                    scope.spawn(|| self.open(&nonce, c));
                }
                match act % 9 {
                    0..=2 => self.vote(id, Call::Approve(0), b),
                    3 => self.vote(id, Call::Deny(0), b),
                    4 => self.cancel(id, c),
                    5 | 6 => {
                        scope.spawn(|| self.vote(id, Call::Deny(0), c));
                        self.vote(id, Call::Approve(0), b);
                    }
                    7 => {
                        scope.spawn(|| self.cancel(id, a));
                        self.vote(id, Call::Approve(0), c);
                    }
                    _ => {}
                }
            });
            self.look(id, c, 0);
        }
    }

    fn record(&self, id: ChallengeId, call: Call, began: u64, told: Told) {
        let recorded = Recorded { call, told, began, ended: self.now() };
        self.answered.fetch_add(u64::from(told != Told::Nothing), Ordering::Relaxed);
        self.histories.lock().unwrap().entry(id).or_default().push(recorded);
    }

    /// Whether it was opened.
    fn open(&self, nonce: &[u8; 32], server: usize) -> bool {
        let began = self.now();
        let body = Host::question(self.person.name, nonce);
        let answer = self.host_sends(("POST", CHALLENGES), &body, server);
        let told = answer.as_ref().map_or(Told::Nothing, told);
        self.record(self.host.id(nonce), Call::Open, began, told);
        told != Told::Nothing
    }

    pub(crate) fn look(&self, id: ChallengeId, server: usize, secs: u32) -> Told {
        let began = self.now();
        let answer = self.host_sends(("GET", &format!("{CHALLENGES}/{id}?wait={secs}")), "", server);
        let told = match answer {
            Ok(answer) if answer.status == 404 => Told::Unknown,
            Ok(answer) => told(&answer),
            Err(_) => Told::Nothing,
        };
        self.record(id, Call::Look, began, told);
        told
    }

    fn cancel(&self, id: ChallengeId, server: usize) {
        let began = self.now();
        let answer = self.host_sends(("DELETE", &format!("{CHALLENGES}/{id}")), "", server);
        let told = match answer.as_ref().map(|answer| (answer.status, told(answer))) {
            Ok((200, Told::Cancelled)) => Told::Cancelled,
            Ok((200 | 409, _)) => Told::NotCounted,
            _ => Told::Nothing,
        };
        self.record(id, Call::Cancel, began, told);
    }

    fn vote(&self, id: ChallengeId, call: Call, server: usize) {
        let began = self.now();
        let (path, won) = match call {
            Call::Approve(_) => ("/api/challenges/approve", Told::Granted),
            _ => ("/api/challenges/reject", Told::Denied),
        };
        let id_text = id.to_string();
        let fields = [("csrf_token", &*self.person.token), ("challenge_id", &*id_text)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = format!("http://{}{path}", self.host.authority);
        let text = self.person.person.text("POST", &url, &body);
        let told = match send(self.at(server), &text) {
            Ok(answer) => match answer.status {
                303 => won,
                409 => Told::NotCounted,
                404 => Told::Unknown,
                // By a clock that is an hour ahead the person was idle for too long: nothing was done.
                401 => return,
                500.. => Told::Nothing,
                status => panic!("{call:?} was answered {status}: {}", answer.body),
            },
            Err(_) => Told::Nothing,
        };
        self.record(id, call, began, told);
    }

    fn at(&self, server: usize) -> &str {
        &self.listen[server % self.listen.len()]
    }

    fn host_sends(&self, (method, target): (&str, &str), body: &str, server: usize) -> std::io::Result<Answer> {
        send(self.at(server), &self.host.request(SystemClock.now(), (method, target), body))
    }
}

/// What a host was told; a problem is nothing.
fn told(answer: &Answer) -> Told {
    let Ok(reply) = serde_json::from_str::<Reply>(&answer.body) else { return Told::Nothing };
    match reply.status {
        Status::Pending => Told::Waits(0),
        // No question here ends by itself: what is over is a grant that was not claimed in time.
        Status::Approved | Status::Expired => Told::Granted,
        Status::Denied => Told::Denied,
        Status::Cancelled => Told::Cancelled,
        Status::Refused => Told::Nothing,
    }
}
