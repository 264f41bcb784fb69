//! Every route with its methods and who may come: the one list that the attack matrix is made from.
//!
//! `tests/it/matrix` compares it with what the source registers, so a route that is missing here fails a test; `tests/it/acts.rs`
//! tries each that changes something, and looks for its event.

use identree_core::audit::EventKind::{self, *};

/// Who a route lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Anybody: nothing private is told and nothing is decided.
    Open,
    /// Anybody on the way to a session: signing in.
    SignIn,
    /// Anybody, from one of our own pages: what is posted changes a cookie of the sender and nothing else.
    OwnPage,
    /// A host with its credential.
    Host,
    /// Whoever knows an enrolment token.
    Token,
    /// A scraper or an auditor with its token; without one in the configuration there is no such route.
    Scraper,
    /// A signed-in person reading what is theirs.
    Person,
    /// A signed-in person posting a form of ours.
    Form,
}

/// One route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// As the router has it.
    pub path: &'static str,
    /// The method; `HEAD` goes with each `GET`.
    pub method: &'static str,
    /// Who may come.
    pub door: Door,
    /// What is recorded when it does what it is for, the first of all in the plainest case. Refusals apart: each door has its own.
    pub records: &'static [EventKind],
}

const fn route(method: &'static str, path: &'static str, door: Door) -> Route {
    Route { path, method, door, records: &[] }
}

impl Route {
    const fn records(self, records: &'static [EventKind]) -> Self {
        Self { records, ..self }
    }
}

/// All of them.
pub const ROUTES: &[Route] = &[
    route("POST", "/api/challenge", Door::Host).records(&[ChallengeCreated, ChallengeAllowed, ChallengeRefused]),
    route("GET", "/api/challenge/{id}", Door::Host),
    route("DELETE", "/api/challenge/{id}", Door::Host).records(&[ChallengeCancelled]),
    route("POST", "/api/host/key", Door::Host).records(&[HostKeyReplaced]),
    route("GET", "/api/host/keys", Door::Host),
    route("POST", "/api/agent/heartbeat", Door::Host).records(&[HostStatusChanged]),
    route("POST", "/api/enroll", Door::Token).records(&[HostEnrolled]),
    route("GET", "/", Door::Open),
    route("GET", "/state", Door::Person),
    route("GET", "/api/events", Door::Person),
    route("GET", "/hosts", Door::Person),
    route("GET", "/approve/{code}", Door::Person),
    route("GET", "/approve/{code}/state", Door::Person),
    route("POST", "/api/challenges/approve", Door::Form).records(&[
        ChallengeApproved,
        ChallengePartiallyApproved,
        ChallengeRefused,
        ChallengeExpired,
        VoteRefused,
    ]),
    route("POST", "/api/challenges/reject", Door::Form).records(&[ChallengeDenied, ChallengeExpired, VoteRefused]),
    route("POST", "/signout", Door::Form).records(&[SignedOut]),
    route("POST", "/language", Door::OwnPage),
    route("GET", "/sessions/login", Door::SignIn),
    route("GET", "/callback", Door::SignIn).records(&[SignedIn, PersonLinked, SessionEnded]),
    route("GET", "/assets/{name}", Door::Open),
    route("GET", "/metrics", Door::Scraper),
    route("GET", "/log/checkpoint", Door::Scraper),
    route("GET", "/log/key", Door::Scraper),
    route("GET", "/log/tile/{*path}", Door::Scraper),
    route("GET", "/livez", Door::Open),
    route("GET", "/readyz", Door::Open),
    route("GET", "/healthz", Door::Open),
];
