//! One attempt: the server it is made on, and the request or call that must be refused.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use identree_core::Ask;
use identree_core::actor::{Actor, Strength};
use identree_core::challenge::FreeChallenge;
use identree_core::credential::{Credential, HostKey, HostSecret};
use identree_core::directory::Person;
use identree_core::engine::{EngineError, Verdict, Vote};
use identree_core::enrol::KeyRequest;
use identree_core::id::{ChallengeId, ChallengeKind, GroupName, HostName, Nonce, Target};
use identree_core::store::{Batch, Store as _};
use identree_core::time::{Clock as _, Timestamp};
use identree_core::wire::{heartbeat, v1};
use identree_server::hosts::Revoke;
use identree_server::routes::{Door, Route};

use super::reason::{Call, Reason, Way};
use crate::{AUTHORITY, Answer, Host, ORIGIN, Rig, name, question};

/// A server ready for the attempt, and the attempt.
pub(super) struct Attempt {
    pub(super) rig: Rig,
    pub(super) call: Made,
}

/// What will be done.
pub(super) enum Made {
    Request(Request<Body>),
    Engine(Call, ChallengeId, Actor, Option<Vote>),
    /// Opens a question of this user under this nonce.
    Open(&'static str, u8),
}

/// What came of it.
pub(super) enum Came {
    Answer(Answer),
    Verdict(Result<Verdict, EngineError>),
}

impl std::fmt::Debug for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(answer) => write!(f, "{} {}", answer.status, answer.text()),
            Self::Verdict(verdict) => write!(f, "{verdict:?}"),
        }
    }
}

impl Made {
    pub(super) async fn make(self, rig: &Rig) -> Came {
        match self {
            Self::Request(request) => Came::Answer(rig.send(request).await),
            Self::Engine(Call::Cancel, id, by, _) => Came::Verdict(rig.engine.cancel(id, &by).await),
            Self::Engine(_, id, by, vote) => Came::Verdict(rig.engine.vote(id, &by, vote.unwrap()).await),
            Self::Open(user, nonce) => {
                let target = Target::Host(HostName::parse("web1").unwrap());
                let asked = FreeChallenge::new(ChallengeKind::parse("deploy").unwrap(), name(user), target, "another");
                let ask = Ask { nonce: Some(Nonce::from_bytes([nonce; 32])), ..Ask::new(&asked) };
                Came::Verdict(rig.engine.open(ask).await.map(|opened| opened.verdict))
            }
        }
    }
}

/// The question that is waiting, and who is there to answer it.
struct Scene {
    id: ChallengeId,
    code: String,
    /// The six digits.
    number: String,
    voter: &'static str,
}

/// Whose question a reason is about, and who comes to answer it.
fn cast(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::NotAdmin => ("adam", "adam"),
        Reason::OwnForbidden => ("owen", "owen"),
        Reason::StaleSignIn => ("fred", "fred"),
        Reason::AlreadyVoted => ("tess", "tess"),
        Reason::Stranger => ("ann", "eve"),
        Reason::AgedOutAdmin => ("ann", "old"),
        Reason::WrongNumber | Reason::NoNumber => ("ann", "ada"),
        _ => ("ann", "ann"),
    }
}

pub(super) async fn attempt(way: Way, reason: Reason) -> Attempt {
    let rig = Rig::ruled(super::RULES).await;
    let now = rig.clock.now();
    let (asker, voter) = cast(reason);
    for (user, until) in [("ada", Timestamp::MAX), ("old", now)] {
        know(&rig, user, vec![GroupName::parse("admins").unwrap()], until, false);
    }
    let opened = rig.send(rig.host.post(&rig.clock, &question(1).replace("ann", asker))).await;
    let opened: v1::Reply = opened.json();
    let code = opened.user_code.unwrap();
    let scene =
        Scene { id: opened.challenge_id, code: code.as_str().to_owned(), number: code.number().to_owned(), voter };
    match reason {
        Reason::AlreadyVoted => {
            let by = Actor::vouched("test", name(voter), now, Strength::SignedIn);
            rig.engine.vote(scene.id, &by, approval(None)).await.unwrap();
        }
        Reason::Settled => {
            let by = Actor::vouched("test", name(asker), now, Strength::SignedIn);
            rig.engine.vote(scene.id, &by, Vote::Deny { reason: None }).await.unwrap();
        }
        Reason::Disabled => know(&rig, asker, Vec::new(), Timestamp::MAX, true),
        _ => {}
    }
    let call = match way {
        Way::Engine(call) => engine(&rig, call, reason, &scene),
        Way::Route(route) => Made::Request(match route.door {
            Door::Host => host(&rig, route, reason, &scene).await,
            Door::Token => super::token::request(&rig, reason, scene.id).await,
            _ => browser(&rig, route, reason, &scene).await,
        }),
    };
    if matches!(reason, Reason::Expired) {
        rig.clock.advance(Duration::from_secs(120)); // the sweep has not run yet: the attempt comes first
    }
    Attempt { rig, call }
}

fn know(rig: &Rig, user: &str, groups: Vec<GroupName>, groups_until: Timestamp, disabled: bool) {
    rig.people.committed(Person { name: name(user), groups, groups_until, disabled });
}

fn approval(number: Option<String>) -> Vote {
    Vote::Approve { reason: None, number }
}

/// A number that is not the question's.
fn wrong(number: &str) -> &'static str {
    if number == "000000" { "000001" } else { "000000" }
}

fn engine(rig: &Rig, call: Call, reason: Reason, scene: &Scene) -> Made {
    if call == Call::Open {
        return Made::Open("ann", if reason == Reason::NonceReused { 1 } else { 2 });
    }
    let ago = if reason == Reason::StaleSignIn { Duration::from_secs(300) } else { Duration::ZERO };
    let strength = if reason == Reason::StatedOnly { Strength::Stated } else { Strength::SignedIn };
    let by = Actor::vouched("test", name(scene.voter), rig.clock.now() - ago, strength);
    let id = if reason == Reason::NoSuchQuestion { ChallengeId::from_bytes([0; 16]) } else { scene.id };
    let why = (reason == Reason::TooLongWords).then(|| "x".repeat(501));
    let number = (reason == Reason::WrongNumber).then(|| wrong(&scene.number).to_owned());
    let vote = match call {
        Call::Deny => Vote::Deny { reason: why },
        _ => Vote::Approve { reason: why, number },
    };
    Made::Engine(call, id, by, Some(vote))
}

async fn host(rig: &Rig, route: Route, reason: Reason, scene: &Scene) -> Request<Body> {
    use Reason as R;
    let own = rig.host.clone();
    let named = |text: &str| HostName::parse(text).unwrap();
    let mut target = route.path.replace("{id}", &scene.id.to_string());
    let posted = match (route.method, route.path) {
        ("POST", v1::CHALLENGES) => question(2),
        ("POST", heartbeat::PATH) => a_heartbeat(),
        ("POST", _) => new_key(&own.name),
        _ => String::new(),
    };
    let mut body = posted.clone().into_bytes();
    let mut method = route.method;
    let mut secs = rig.clock.now().as_secs();
    let mut signer = own.clone();
    // What is asked for, before it is signed.
    match reason {
        R::ClockBehind => secs -= 91,
        R::ClockAhead => secs += 91,
        R::NoSuchQuestion => target = format!("/api/challenge/{}", "0".repeat(32)),
        R::LongPath => target = format!("/api/challenge/{}", "a".repeat(8000)),
        R::OddQuery => target.push_str("?wait=1&wait=2"),
        R::NotUtf8 if route.method == "POST" || !route.path.contains('{') => body = b"\"\xff\"".to_vec(),
        R::NotUtf8 => target = "/api/challenge/%ff".to_owned(),
        R::NotJson => body = b"v=1".to_vec(),
        R::UnknownField => body = posted.replacen('{', "{\"allow\":true,", 1).into_bytes(),
        R::NonceReused => body = question(1).replace("whoami", "reboot").into_bytes(),
        R::Oversize => body = vec![b' '; v1::MAX_BODY_BYTES + 1],
        R::Put => method = "PUT",
        R::Patch => method = "PATCH",
        R::Options => method = "OPTIONS",
        R::Get => method = "GET",
        R::Head => method = "HEAD",
        R::UnknownHost => signer.name = named("stranger"),
        R::WrongSecret => signer.credential = Credential::Secret(HostSecret::parse(&"ab".repeat(32)).unwrap()),
        R::AnotherHostsQuestion | R::AnotherHostsName => {
            signer = Host::with(named("web2"), rig.hosts.add(&named("web2"), None, None, None).await.unwrap());
        }
        R::UserNotListed => {
            let users = Some(vec![name("bob")]);
            signer = Host::with(named("web2"), rig.hosts.add(&named("web2"), users, None, None).await.unwrap());
        }
        R::RotatedSecret => drop(rig.hosts.rotate(&own.name, None).await.unwrap()),
        R::RemovedHost => rig.hosts.remove(&own.name, None).await.unwrap(),
        // Of hosts with keys of their own.
        R::SecretAfterEnrolment => drop(rig.enrolled("web1", 1).await),
        R::KeyOfAHostWithASecret => {
            signer.credential = Credential::Key(HostKey::from_seed(&[1; 32]));
        }
        R::NoPossession => signer = rig.enrolled("web1", 1).await,
        R::WrongKey => {
            signer = rig.enrolled("web1", 1).await;
            signer.credential = Credential::Key(HostKey::from_seed(&[2; 32]));
        }
        R::AnotherHostsKey => {
            signer = rig.enrolled("web1", 1).await;
            signer.credential = rig.enrolled("web2", 2).await.credential;
        }
        R::ReplacedKey => {
            signer = rig.enrolled("web1", 1).await;
            rig.enrolled("web1", 2).await;
        }
        R::RevokedKey => {
            signer = rig.enrolled("web1", 1).await;
            let life = Duration::from_secs(60);
            drop(rig.hosts.invite(&signer.name, life, Revoke::Now, None).await.unwrap());
        }
        R::KeyOfARemovedHost => {
            signer = rig.enrolled("web1", 1).await;
            rig.hosts.remove(&signer.name, None).await.unwrap();
        }
        _ => {}
    }
    if reason == R::AnotherHostsName {
        signer.name = own.name.clone(); // web2 knows its own secret only
    }
    let authority = if reason == R::MacOfAnotherAuthority { "evil.example" } else { AUTHORITY };
    let mut request = signer.signed((method, &target, authority), secs, &body);
    let credential = |host: &Host, covered: (&str, &str, &str), secs: i64, body: &[u8]| {
        host.signed(covered, secs, body).headers()[header::AUTHORIZATION].clone()
    };
    // What is sent instead of what was signed.
    let headers = request.headers_mut();
    match reason {
        R::NoCredential => drop(headers.remove(header::AUTHORIZATION)),
        R::OtherScheme => drop(headers.insert(header::AUTHORIZATION, "Bearer x".parse().unwrap())),
        R::MalformedCredential => {
            let text = headers[header::AUTHORIZATION].to_str().unwrap().replace("v=1", "v=2");
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
        }
        R::TwoCredentials => {
            let twice = headers[header::AUTHORIZATION].clone();
            headers.append(header::AUTHORIZATION, twice);
        }
        R::MacOfAnotherMethod => {
            let of = credential(&own, ("PATCH", &target, AUTHORITY), secs, &body);
            headers.insert(header::AUTHORIZATION, of);
        }
        R::MacOfAnotherPath => {
            let of = credential(&own, (method, "/api/challenge/other", AUTHORITY), secs, &body);
            headers.insert(header::AUTHORIZATION, of);
        }
        R::MacOfAnotherTime => {
            let text = headers[header::AUTHORIZATION].to_str().unwrap();
            let text = text.replace(&format!("time=\"{secs}\""), &format!("time=\"{}\"", secs + 1));
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
        }
        R::MacOfAnotherBody | R::MacOfABodyWhereNoneIs => {
            let of = credential(&own, (method, &target, AUTHORITY), secs, question(9).as_bytes());
            headers.insert(header::AUTHORIZATION, of);
        }
        R::NotDeclaredJson => drop(headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap())),
        _ => {}
    }
    request
}

/// A host without any gate.
fn a_heartbeat() -> String {
    serde_json::json!({
        "v": 1, "version": "0", "os_info": "x", "config_digest": "00", "time_secs": 0, "services": {}, "plugin": false,
        "break_glass": { "usable": false, "created_secs": 0, "used": 0 },
    })
    .to_string()
}

/// A new key of a host, with a proof that names no old key of its.
fn new_key(host: &HostName) -> String {
    let key = HostKey::from_seed(&[9; 32]);
    let proof = key.succeed(host, &key.public()).to_vec();
    serde_json::to_string(&KeyRequest { v: v1::VERSION, key: key.public(), proof }).unwrap()
}

async fn session(rig: &Rig, user: &str, proven_at: Timestamp) -> (String, String) {
    let (token, change) = rig.sessions.begin(name(user), proven_at).unwrap();
    rig.store.commit(Batch::unrecorded(vec![change])).await.unwrap();
    let csrf = rig.sessions.find(token.reveal()).await.unwrap().unwrap().csrf;
    (format!("identree_session={}", token.reveal()), csrf.as_str().to_owned())
}

async fn browser(rig: &Rig, route: Route, reason: Reason, scene: &Scene) -> Request<Body> {
    use Reason as R;
    let now = rig.clock.now();
    let proven_at = if reason == R::StaleSignIn { now - Duration::from_secs(300) } else { now };
    let (mut cookie, mut csrf) = session(rig, scene.voter, proven_at).await;
    match reason {
        R::TokenOfAnotherSession => csrf = session(rig, scene.voter, now).await.1,
        R::TokenOfAnotherPerson => csrf = session(rig, "eve", now).await.1,
        R::WrongToken => csrf = "0".repeat(64),
        R::InventedSession => cookie = format!("identree_session={}", "0".repeat(64)),
        R::MalformedSession => cookie = "identree_session=../../x".to_owned(),
        R::TwoSessions => cookie = format!("{cookie}; {}", session(rig, "eve", now).await.0),
        R::SignedOutSession => {
            let token = cookie.split_once('=').unwrap().1;
            let found = rig.sessions.find(token).await.unwrap().unwrap();
            rig.sessions.end(&found, identree_server::session::End::SignedOut).await.unwrap();
        }
        // The question would end too, but a session is looked at first.
        R::IdleSession => rig.clock.advance(identree_server::session::IDLE),
        R::OldSession => {
            for _ in 0..17 {
                rig.clock.advance(Duration::from_secs(29 * 60));
                drop(rig.sessions.find(cookie.split_once('=').unwrap().1).await.unwrap());
            }
        }
        _ => {}
    }
    if matches!(reason, R::IdleSession | R::OldSession) {
        // Whatever ends by itself meanwhile has ended before the attempt.
        drop(rig.engine.wait(scene.id, Timestamp::MAX).await.unwrap());
    }
    if reason == R::NoSession || (reason == R::Head && matches!(route.door, Door::Person)) {
        cookie = "other=1".to_owned();
    }
    if reason == R::AnotherBrowsersSignIn {
        cookie = format!("identree_signin={}", "1".repeat(64));
    }
    let mut path = match reason {
        R::LongPath => route.path.replace("{code}", &"A".repeat(8000)).replace("{name}", &"a".repeat(8000)),
        R::NotUtf8 => route.path.replace("{code}", "%ff"),
        R::NoSuchQuestion => route.path.replace("{code}", &"0".repeat(32)),
        _ => route.path.replace("{code}", &scene.code).replace("{name}", "app.css"),
    };
    if route.path == "/callback" && reason != R::NoState {
        path.push_str("?code=c&state=s");
    }
    if reason == R::TokenInTheQuery {
        path = format!("{path}?csrf_token={csrf}");
    }
    let method = match reason {
        R::Head => "HEAD",
        R::Get => "GET",
        R::Put => "PUT",
        R::Patch => "PATCH",
        R::Options => "OPTIONS",
        R::MethodOverride if route.method == "POST" => "GET",
        R::MethodOverride => "POST",
        _ => route.method,
    };
    let mut request = Request::builder().method(method).uri(&path).header(header::COOKIE, &cookie);
    let origin = match reason {
        R::OtherOrigin => Some("https://evil.example"),
        R::HiddenOrigin => Some("null"),
        R::OriginWithAPort => Some("http://127.0.0.1:80900"),
        R::NoOrigin => None,
        _ => Some(ORIGIN),
    };
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    let site = match reason {
        R::CrossSite => Some("cross-site"),
        R::SameSite => Some("same-site"),
        R::NoOrigin => None,
        _ if origin == Some(ORIGIN) => Some("same-origin"),
        _ => None,
    };
    if let Some(site) = site {
        request = request.header("sec-fetch-site", site);
    }
    if reason == R::MethodOverride {
        request = request.header("x-http-method-override", route.method).header("x-original-url", route.path);
    }
    let kind = if reason == R::NotAForm { "text/plain" } else { "application/x-www-form-urlencoded" };
    request.header(header::CONTENT_TYPE, kind).body(Body::from(fields(reason, scene, &csrf))).unwrap()
}

/// The form as the page sends it, but for the reason.
fn fields(reason: Reason, scene: &Scene, csrf: &str) -> String {
    use Reason as R;
    let id = match reason {
        R::NoSuchQuestion => "0".repeat(32),
        R::BadQuestionId => "../".to_owned(),
        R::NotUtf8 => "%ff".to_owned(),
        _ => scene.id.to_string(),
    };
    let mut fields = match reason {
        R::NoToken | R::TokenInTheQuery => format!("challenge_id={id}"),
        R::TokenTwice => format!("csrf_token={csrf}&csrf_token={csrf}&challenge_id={id}"),
        R::NoQuestionNamed => format!("csrf_token={csrf}"),
        _ => format!("csrf_token={csrf}&challenge_id={id}"),
    };
    match reason {
        R::WrongNumber => fields.push_str(&format!("&number={}", wrong(&scene.number))),
        R::TooLongWords => {
            let long = "x".repeat(501);
            fields.push_str(&format!("&reason={long}&deny_reason={long}"));
        }
        R::Oversize => fields.push_str(&format!("&reason={}", "x".repeat(20_000))),
        _ => {}
    }
    fields
}
