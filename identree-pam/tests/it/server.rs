//! A server that does what a test tells it: real TLS with a certificate of its own, one thread per connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use identree_core::challenge::Challenge;
use identree_core::credential::{Authorization, HostSecret, MasterSecret, Proof, Request};
use identree_core::grant::{Answer, Decision, PublicKey, SignedAnswer, SignedStatement};
use identree_core::id::{ChallengeId, HostName, Nonce, Target};
use identree_core::time::Timestamp;
use identree_core::wire::login::Opening;
use identree_core::wire::v1::{OpenRequest, Reply, Status};
use identree_evidence::{Kind, secret as note};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// No event of these tests takes nearly as long; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the server does with one request.
pub(crate) enum Act {
    /// Answers with a status and a body.
    Send(u16, Vec<u8>),
    /// Sends these bytes and then nothing until the client goes.
    Raw(Vec<u8>),
    /// Closes the connection without an answer.
    Close,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// sudo's question, if it was one.
    pub(crate) question: Option<OpenRequest>,
    /// The question, of whatever kind.
    pub(crate) opening: Option<Opening>,
}

type Script = dyn Fn(&State, &Seen, usize) -> Act + Send + Sync;

/// What the server knows.
pub(crate) struct State {
    pub(crate) key: SigningKey,
    /// What it says about decision keys.
    pub(crate) statements: Mutex<Vec<SignedStatement>>,
    host: HostName,
    secret: HostSecret,
    /// How far the server's clock is ahead of the host's, in seconds.
    clock_ahead: i64,
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
}

pub(crate) struct Server {
    pub(crate) state: Arc<State>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(script: impl Fn(&State, &Seen, usize) -> Act + Send + Sync + 'static) -> Self {
        Self::start_ahead(0, script)
    }

    /// With a clock that many seconds ahead.
    pub(crate) fn start_ahead(
        clock_ahead: i64,
        script: impl Fn(&State, &Seen, usize) -> Act + Send + Sync + 'static,
    ) -> Self {
        let host = HostName::parse("web1").unwrap();
        let secret = MasterSecret::parse(&"m".repeat(32)).unwrap().host_secret(&host, 1);
        note(Kind::Host, secret.reveal().expose());
        let state = State {
            key: SigningKey::from_bytes(&[1; 32]),
            statements: Mutex::default(),
            host,
            secret,
            clock_ahead,
            seen: Mutex::default(),
            changed: Condvar::new(),
        };
        let state = Arc::new(state);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into(), "id.test".into()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certified.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let tls = Arc::new(tls.with_single_cert(vec![certified.cert.der().clone()], key).unwrap());
        let script: Arc<Script> = Arc::new(script);
        let (shared, accepting) = (Arc::clone(&state), listener);
        std::thread::spawn(move || {
            for socket in accepting.incoming().map_while(Result::ok) {
                let (tls, state, script) = (Arc::clone(&tls), Arc::clone(&shared), Arc::clone(&script));
                std::thread::spawn(move || serve(socket, tls, address, &state, &*script));
            }
        });
        Self { state, folder, address }
    }

    /// The text of a client.conf that trusts this server.
    pub(crate) fn conf(&self) -> String {
        format!(
            "IDENTREE_SERVER_URL=https://{}\nIDENTREE_HOSTNAME=web1\nIDENTREE_SHARED_SECRET={}\nIDENTREE_DECISION_KEYS={}\nIDENTREE_CA_CERT={}\n",
            self.address,
            self.state.secret.reveal().expose(),
            public(&self.state.key),
            self.folder.path().join("ca.pem").display()
        )
    }

    /// Writes a client.conf as the helper accepts it.
    pub(crate) fn write_conf(&self, text: &str) -> PathBuf {
        write_private(self.folder.path(), "client.conf", text)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(|s| s.method.clone()).collect()
    }

    /// Waits until a request with that method has come.
    pub(crate) fn wait_for(&self, method: &str) {
        let seen = self.state.seen.lock().unwrap();
        let (seen, timeout) = self
            .state
            .changed
            .wait_timeout_while(seen, PATIENCE, |seen| !seen.iter().any(|s| s.method == method))
            .unwrap();
        assert!(!timeout.timed_out(), "no {method} came, only {seen:?}");
    }
}

pub(crate) fn write_private(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join(name);
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.verifying_key().to_bytes())
}

impl State {
    /// The question that was opened first.
    fn question(&self) -> (Box<dyn Challenge>, Nonce) {
        let seen = self.seen.lock().unwrap();
        self.asked(seen.iter().find_map(|s| s.opening.clone()))
    }

    /// The question that was opened last.
    fn last(&self) -> (Box<dyn Challenge>, Nonce) {
        let seen = self.seen.lock().unwrap();
        self.asked(seen.iter().rev().find_map(|s| s.opening.clone()))
    }

    fn asked(&self, opening: Option<Opening>) -> (Box<dyn Challenge>, Nonce) {
        let open = opening.expect("a question was opened");
        let nonce = open.nonce();
        (open.into_challenge(Target::Host(self.host.clone()), vec![]).unwrap(), nonce)
    }

    /// The answer to it before it is signed.
    pub(crate) fn answer(&self, decision: Decision) -> Answer {
        Self::answer_to(&self.question(), decision)
    }

    fn answer_to((question, nonce): &(Box<dyn Challenge>, Nonce), decision: Decision) -> Answer {
        let nonce = *nonce;
        Answer {
            decision,
            challenge: ChallengeId::derive(question.target(), &nonce),
            target: question.target().clone(),
            nonce,
            kind: question.kind(),
            requester: question.requester().clone(),
            run_as_user: question.run_as().map(|r| r.user.clone()),
            run_as_group: question.run_as().and_then(|r| r.group.clone()),
            payload_sha256: question.payload().sha256(),
            issued: Timestamp::from_secs(1000),
            expires: Timestamp::from_secs(1030),
            extras: vec![("by".into(), "bob".into())],
        }
    }

    /// The end of that very question, at once.
    pub(crate) fn end(&self, open: OpenRequest, decision: Decision) -> Act {
        let nonce = open.nonce;
        let question = open.into_challenge(Target::Host(self.host.clone()), vec![]).unwrap();
        let challenge = ChallengeId::derive(question.target(), &nonce);
        let answer = Answer {
            challenge,
            nonce,
            requester: question.requester().clone(),
            run_as_user: question.run_as().map(|r| r.user.clone()),
            run_as_group: question.run_as().and_then(|r| r.group.clone()),
            payload_sha256: question.payload().sha256(),
            ..self.answer(decision)
        };
        let reply = Reply {
            v: 1,
            challenge_id: challenge,
            status: Status::Approved,
            expires_in: 60,
            user_code: None,
            verification_url: None,
            current_approvals: 0,
            required_approvals: 1,
            answer: Some(self.sign(&answer)),
            statements: self.statements.lock().unwrap().clone(),
        };
        Act::Send(200, serde_json::to_vec(&reply).unwrap())
    }

    pub(crate) fn sign(&self, answer: &Answer) -> SignedAnswer {
        sign_with(&self.key, answer)
    }

    pub(crate) fn reply(&self, status: Status, answer: Option<SignedAnswer>) -> Act {
        self.reply_to(&self.question(), status, answer)
    }

    fn reply_to(
        &self,
        (question, nonce): &(Box<dyn Challenge>, Nonce),
        status: Status,
        answer: Option<SignedAnswer>,
    ) -> Act {
        let reply = Reply {
            v: 1,
            challenge_id: ChallengeId::derive(question.target(), nonce),
            status,
            expires_in: 60,
            user_code: None,
            verification_url: Some("https://id.example/approve/AB".into()),
            current_approvals: 0,
            required_approvals: 1,
            answer,
            statements: self.statements.lock().unwrap().clone(),
        };
        Act::Send(200, serde_json::to_vec(&reply).unwrap())
    }

    pub(crate) fn pending(&self) -> Act {
        self.reply(Status::Pending, None)
    }

    /// Settles the question that was opened last.
    pub(crate) fn settled_last(&self, decision: Decision) -> Act {
        let last = self.last();
        self.reply_to(&last, Status::Approved, Some(self.sign(&Self::answer_to(&last, decision))))
    }

    pub(crate) fn settled(&self, decision: Decision) -> Act {
        self.reply(Status::Approved, Some(self.sign(&self.answer(decision))))
    }
}

pub(crate) fn sign_with(key: &SigningKey, answer: &Answer) -> SignedAnswer {
    let bytes = answer.encode(public(key).id());
    let signature = key.sign(&bytes).to_bytes().to_vec();
    SignedAnswer { bytes, signature }
}

/// A problem as the server words it.
pub(crate) fn problem(status: u16, title: &str) -> Act {
    Act::Send(
        status,
        format!(r#"{{"type":"urn:identree:problem:x","title":"{title}","status":{status}}}"#).into_bytes(),
    )
}

/// Settles at once.
pub(crate) fn allow(state: &State, _: &Seen, _: usize) -> Act {
    state.settled(Decision::Granted)
}

/// Pending first, then the end.
pub(crate) fn ask_then(decision: Decision) -> impl Fn(&State, &Seen, usize) -> Act + Send + Sync {
    move |state, seen, _| if seen.method == "POST" { state.pending() } else { state.settled(decision) }
}

/// Pending for as long as the client stays.
pub(crate) fn never(state: &State, seen: &Seen, _: usize) -> Act {
    if seen.method == "POST" { state.pending() } else { Act::Raw(vec![]) }
}

fn serve(socket: TcpStream, tls: Arc<rustls::ServerConfig>, address: SocketAddr, state: &State, script: &Script) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(tls).unwrap(), socket);
    while let Some((seen, trusted)) = receive(&mut stream, address, state) {
        let nth = {
            let mut log = state.seen.lock().unwrap();
            log.push(seen.clone());
            state.changed.notify_all();
            log.len() - 1
        };
        let act = match trusted {
            Ok(()) if seen.method == "DELETE" => problem(409, "taken back"),
            Ok(()) => script(state, &seen, nth),
            Err(title) => problem(401, &title),
        };
        match act {
            Act::Send(status, body) => {
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
                if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                    return;
                }
            }
            Act::Raw(bytes) => {
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                let _ = stream.read(&mut [0; 1]);
                return;
            }
            Act::Close => return,
        }
    }
}

/// One request, and whether its credential holds.
fn receive(stream: &mut impl Read, address: SocketAddr, state: &State) -> Option<(Seen, Result<(), String>)> {
    let mut bytes = Vec::new();
    let mut one = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut one).ok()? == 0 {
            return None;
        }
        bytes.push(one[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let mut body = vec![0; header("Content-Length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    let mut line = head.split(' ');
    let (method, target) = (line.next().unwrap(), line.next().unwrap());
    let authority = header("Host").unwrap();
    assert!(
        [address.to_string(), format!("id.test:{}", address.port())].iter().any(|own| own == authority),
        "{authority}"
    );
    let credential = Authorization::parse(header("Authorization").unwrap()).unwrap();
    let Proof::Mac(mac) = credential.proof else { return None };
    note(Kind::Mac, &identree_core::text::hex(&mac));
    let request =
        Request { method, authority, target, host: &credential.host, time_secs: credential.time_secs, body: &body };
    let server_time = Timestamp::from_secs(identree_pam::clock::calendar_secs() + state.clock_ahead);
    let trusted = if credential.host != state.host || !state.secret.verify(&request, &mac) {
        Err("unknown host or wrong secret".into())
    } else if let Some(off) = credential.clock_off(server_time) {
        Err(format!("the clock of this host is off by {off} seconds"))
    } else {
        Ok(())
    };
    let opens = (method, target) == ("POST", identree_core::wire::v1::CHALLENGES);
    let opening = opens.then(|| Opening::parse(&body).unwrap());
    let question = match &opening {
        Some(Opening::Sudo(request)) => Some((**request).clone()),
        _ => None,
    };
    Some((Seen { method: method.into(), target: target.into(), question, opening }, trusted))
}
