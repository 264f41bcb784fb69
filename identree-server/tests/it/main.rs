//! The real router over a store in memory, a clock that moves when told, and no sockets. The files mirror the routes.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod acts;
mod attacks;
mod audit_live;
mod audit_log;
mod audit_postgres;
mod backup;
mod browser;
mod clock_steps;
#[cfg(feature = "fuzzing")]
mod corpora;
mod dashboards;
mod enroll;
mod enrolment;
mod events;
mod health;
mod heartbeat;
mod host_api;
mod limits;
mod listen;
mod logins;
mod logs;
mod matrix;
mod metrics;
mod pages;
mod postgres;
mod process;
mod settings;
mod sign_in;
mod smuggling;
mod traces;
mod unit;

use identree_core::testkit::journal::{recorded, undeclared};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use identree_core::Engine;
use identree_core::actor::Whence;
use identree_core::audit::AuditEvent;
use identree_core::credential::{self, Credential, HostKey, HostSecret, MasterSecret, Proof};
use identree_core::engine::Caps;
use identree_core::enrol::EnrolRequest;
use identree_core::id::{GroupName, HostName, Nonce, UserName};
use identree_core::policy::RuleSet;
use identree_core::rng::SeededEntropy;
use identree_core::secret::Secret;
use identree_core::store::{Batch, MemoryStore, Store};
use identree_core::time::{Clock, ManualClock};
use identree_core::wire::v1;
use identree_evidence::{Kind, secret as note};
use identree_server::announced::Announced;
use identree_server::api::health::Health;
use identree_server::api::{EnrolApi, HostApi, Waits};
use identree_server::disk::Disk;
use identree_server::hosts::{Hosts, Revoke};
use identree_server::layer::browser::Browsers;
use identree_server::layer::client_ip::{ClientIpLayer, PeerAddress, TrustedProxies};
use identree_server::layer::cookie::Cookies;
use identree_server::layer::csrf::Csrf;
use identree_server::layer::headers::SecurityHeaders;
use identree_server::layer::host_auth::HostAuth;
use identree_server::layer::rate_limit::{RateLimits, Rates};
use identree_server::login::{Login, People, Provider, ProviderSettings};
use identree_server::parts::Parts;
use identree_server::refusals::Refusals;
use identree_server::router::{Rooms, router};
use identree_server::session::{SessionToken, Sessions};
use identree_server::web::Web;
use identree_server::web::events::Events;
use tower::ServiceExt as _;
use url::Url;

const ORIGIN: &str = "http://127.0.0.1:8090";
const AUTHORITY: &str = "127.0.0.1:8090";
const MASTER: &str = "the master secret of the tests of the routes";
const CLIENT_SECRET: &str = "the client secret of the tests of the routes";
/// How many requests of one host may rest here.
const MOST_WAITS: u32 = 20;
/// A test asks as fast as it likes, unless it is about how fast one may ask.
const UNPACED: Rates = Rates { per_host: None, per_user: None, per_browser: None, per_address: None };
/// The one proxy whose word on a client's address counts.
const PROXY: &str = "10.0.0.1";

/// A server with one host, `web1`.
struct Rig {
    clock: ManualClock,
    store: Arc<MemoryStore>,
    parts: Parts,
    engine: Engine,
    hosts: Hosts,
    sessions: Sessions,
    people: Arc<People>,
    browsers: Browsers,
    refusals: Refusals,
    router: Router,
    host: Host,
}

/// A host that signs its requests.
#[derive(Clone)]
struct Host {
    name: HostName,
    credential: Credential,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

impl Rig {
    async fn new() -> Self {
        // Nothing listens there: the provider stays unknown until a test names one.
        Self::with_issuer("http://127.0.0.1:9", None).await
    }

    async fn with_caps(caps: Caps) -> Self {
        Self::with("http://127.0.0.1:9", None, caps, UNPACED).await
    }

    async fn with_issuer(issuer: &str, public: Option<&str>) -> Self {
        Self::with(issuer, public, Caps::default(), UNPACED).await
    }

    async fn with(issuer: &str, public: Option<&str>, caps: Caps, rates: Rates) -> Self {
        Self::composed((issuer, public), RuleSet::permissive(), caps, rates).await
    }

    /// Under these rules, in TOML.
    async fn ruled(rules: &str) -> Self {
        Self::composed(("http://127.0.0.1:9", None), RuleSet::parse(rules).unwrap(), Caps::default(), UNPACED).await
    }

    async fn composed((issuer, public): (&str, Option<&str>), rules: RuleSet, caps: Caps, rates: Rates) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default(); // Err: another test was faster
        identree_evidence::traces();
        note(Kind::Master, MASTER);
        note(Kind::Client, CLIENT_SECRET);
        let clock = ManualClock::default();
        let store = Arc::new(MemoryStore::new());
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        let people = Arc::new(People::load(parts.clone()).await.unwrap());
        let hosts = Hosts::load(parts.clone(), MasterSecret::parse(MASTER).unwrap()).await.unwrap();
        let engine = Engine::builder()
            .store(Arc::clone(&store))
            .policy(rules)
            .directory(Arc::clone(&people))
            .clock(clock.clone())
            .entropy(SeededEntropy::new(8))
            .admin_groups(vec![GroupName::parse("admins").unwrap()])
            .caps(caps)
            .build()
            .await
            .unwrap();
        let settings = ProviderSettings {
            issuer: issuer.to_owned(),
            public_issuer: public.map(str::to_owned),
            client_id: "identree".to_owned(),
            client_secret: Secret::new(CLIENT_SECRET.to_owned()),
            redirect_uri: Url::parse(&format!("{ORIGIN}/callback")).unwrap(),
            insecure_skip_verify: false,
        };
        let provider = Arc::new(Provider::new(settings, Arc::clone(&parts.clock)).unwrap());
        let browsers = Browsers::new(&*parts.entropy);
        let (sessions, cookies) = (Sessions::new(parts.clone()), Cookies::new(false));
        let events = Events::start(&engine, sessions.clone());
        let limits = RateLimits::new(&rates, Arc::clone(&parts.clock));
        let announced = Announced::fixed(engine.decision_key());
        let refusals = Refusals::new(parts.clone());
        let router = router(Rooms {
            refusals: refusals.clone(),
            hosts: HostApi {
                engine: engine.clone(),
                external_url: Arc::new(Url::parse(ORIGIN).unwrap()),
                waits: Waits::at_most(MOST_WAITS),
                announced: announced.clone(),
            },
            enrol: EnrolApi {
                hosts: hosts.clone(),
                announced,
                limits: limits.clone(),
                clock: Arc::clone(&parts.clock),
            },
            host_auth: HostAuth {
                hosts: hosts.clone(),
                clock: Arc::clone(&parts.clock),
                authorities: Arc::new([AUTHORITY.to_owned(), "localhost:8443".to_owned()]),
                limits,
            },
            login: Login {
                parts: parts.clone(),
                sessions: sessions.clone(),
                cookies,
                browsers: browsers.clone(),
                provider: Arc::clone(&provider),
                people: Arc::clone(&people),
            },
            web: Web { engine: engine.clone(), provider: Arc::clone(&provider), events, hosts: hosts.clone() },
            health: Health {
                engine: engine.clone(),
                provider,
                hosts: hosts.clone(),
                disk: Disk::looking(BTreeSet::new(), true, Arc::clone(&parts.clock)),
                followed: None,
                insecure: Arc::new([]),
            },
            csrf: Csrf { origins: Arc::new([ORIGIN.to_owned()]), clock: Arc::clone(&parts.clock) },
            headers: SecurityHeaders { https: false },
            client_ip: ClientIpLayer { proxies: TrustedProxies::parse([PROXY]).unwrap() },
            metrics: None,
            log: None,
        });
        let web1 = HostName::parse("web1").unwrap();
        let secret = hosts.add(&web1, None, None, None).await.unwrap();
        note(Kind::Host, secret.reveal().expose());
        Self {
            clock,
            store,
            parts,
            engine,
            hosts,
            sessions,
            people,
            browsers,
            refusals,
            router,
            host: Host::with(web1, secret),
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn get(&self, path: &str, cookie: Option<&str>) -> Answer {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The same request as it arrives on a connection from `peer`, which says whom it forwards.
    async fn send_from(&self, peer: &str, forwarded_for: &str, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(PeerAddress((peer.parse::<std::net::IpAddr>().unwrap(), 4711).into()));
        request.headers_mut().insert("x-forwarded-for", forwarded_for.parse().unwrap());
        self.send(request).await
    }

    /// A question of `ann` on `web1` under this nonce.
    async fn ask(&self, nonce: u8) -> v1::Reply {
        let answer = self.send(self.host.post(&self.clock, &question(nonce))).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        let reply: v1::Reply = answer.json();
        if let Some(code) = &reply.user_code {
            note(Kind::UserCode, code.as_str());
        }
        reply
    }

    /// The host of this name with a key of its own, registered if it was not, and enrolled.
    async fn enrolled(&self, host: &str, seed: u8) -> Host {
        let name = HostName::parse(host).unwrap();
        let life = Duration::from_secs(900);
        let token = match self.hosts.find(&name) {
            Some(_) => self.hosts.invite(&name, life, Revoke::WhenEnrolled, None).await,
            None => self.hosts.add_invited(&name, None, None, life, None).await,
        };
        let key = HostKey::from_seed(&[seed; 32]);
        let request = EnrolRequest::new(&token.unwrap(), &key, Nonce::from_bytes([seed; 32]));
        self.hosts.enrol(&request, &Whence::default()).await.unwrap();
        Host { name, credential: Credential::Key(key) }
    }

    /// A browser session of this person: its cookie and its csrf token.
    async fn session(&self, user: &str) -> (String, String) {
        let (token, change): (SessionToken, _) = self.sessions.begin(name(user), self.clock.now()).unwrap();
        self.store.commit(Batch::unrecorded(vec![change])).await.unwrap();
        let session = self.sessions.find(token.reveal()).await.unwrap().unwrap();
        note(Kind::Session, token.reveal());
        note(Kind::Csrf, session.csrf.as_str());
        (format!("identree_session={}", token.reveal()), session.csrf.as_str().to_owned())
    }

    async fn journal(&self) -> Vec<AuditEvent> {
        self.refusals.flush().await.unwrap();
        let events = recorded(&*self.store).await;
        assert_eq!(undeclared(&events), Vec::<String>::new());
        events
    }
}

/// What `ann` asks, as JSON.
fn question(nonce: u8) -> String {
    serde_json::json!({
        "v": 1, "nonce": format!("{nonce:02x}").repeat(32), "service": "sudo", "username": "ann", "run_as_user": "root",
        "source": "caller_command_line", "argv": ["sudo", "whoami"],
    })
    .to_string()
}

impl Host {
    fn with(name: HostName, secret: HostSecret) -> Self {
        Self { name, credential: Credential::Secret(secret) }
    }

    /// A signed request, as a host that was configured with `authority` sends it.
    fn signed(&self, (method, target, authority): (&str, &str, &str), secs: i64, body: &[u8]) -> Request<Body> {
        let covered = credential::Request { method, authority, target, host: &self.name, time_secs: secs, body };
        let authorization = self.credential.authorize(&covered);
        if let Proof::Mac(mac) = authorization.proof {
            note(Kind::Mac, &identree_core::text::hex(&mac));
        }
        Request::builder()
            .method(method)
            .uri(target)
            .header(header::AUTHORIZATION, authorization.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_vec()))
            .unwrap()
    }

    fn call(&self, clock: &ManualClock, method: &str, target: &str) -> Request<Body> {
        self.signed((method, target, AUTHORITY), clock.now().as_secs(), b"")
    }

    fn post(&self, clock: &ManualClock, body: &str) -> Request<Body> {
        self.signed(("POST", v1::CHALLENGES, AUTHORITY), clock.now().as_secs(), body.as_bytes())
    }
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The end of the problem's type, after checking its form.
    fn problem(&self) -> String {
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json");
        let problem: v1::Problem = self.json();
        assert_eq!(problem.status, self.status.as_u16());
        problem.kind.strip_prefix("urn:identree:problem:").unwrap().to_owned()
    }
}
