//! A server on loopback that answers each question at once, as it was told to, under a key that lives as long as it does.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use identree_core::challenge::Challenge as _;
use identree_core::grant::{Answer, Decision, PublicKey, SignedAnswer};
use identree_core::id::{ChallengeId, HostName, Target};
use identree_core::text::hex;
use identree_core::time::Timestamp;
use identree_core::wire::v1::{MAX_BODY_BYTES, OpenRequest, Reply, Status, VERSION};

use crate::clock::calendar_secs;

/// The one who asks is on this machine and has its request ready.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: u64 = 16 * 1024;

pub(super) struct Scripted {
    /// `None`: nobody is there.
    listener: Option<TcpListener>,
    port: u16,
    key: SigningKey,
    secret: [u8; 32],
    host: HostName,
    answers: Vec<Decision>,
    asked: Vec<String>,
}

impl Scripted {
    pub(super) fn start(answers: &[Decision]) -> io::Result<Self> {
        let mut random = File::open("/dev/urandom")?;
        let (mut key, mut secret) = ([0; 32], [0; 32]);
        random.read_exact(&mut key)?;
        random.read_exact(&mut secret)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let host = HostName::parse("identree-trial").map_err(io::Error::other)?;
        Ok(Self {
            listener: (!answers.is_empty()).then_some(listener),
            port,
            key: SigningKey::from_bytes(&key),
            secret,
            host,
            answers: answers.to_vec(),
            asked: Vec::new(),
        })
    }

    /// A host file that asks here and nowhere else.
    pub(super) fn host_file(&self) -> String {
        format!(
            "IDENTREE_SERVER_URL=http://127.0.0.1:{}\nIDENTREE_HOSTNAME={}\nIDENTREE_SHARED_SECRET={}\n\
             IDENTREE_DECISION_KEYS={}\nIDENTREE_TIMEOUT=10s\nIDENTREE_CONNECT_TIMEOUT=2s\nIDENTREE_BREAKGLASS_ENABLED=false\n",
            self.port,
            self.host,
            hex(&self.secret),
            self.public(),
        )
    }

    pub(super) const fn listener(&self) -> Option<&TcpListener> {
        self.listener.as_ref()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.clone()
    }

    /// Takes one connection and answers its one request. Whatever is no question is not answered.
    pub(super) fn answer(&mut self) {
        let Some(Ok((socket, _))) = self.listener.as_ref().map(TcpListener::accept) else { return };
        let _ = self.serve(&socket);
    }

    fn serve(&mut self, socket: &TcpStream) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(READ_WITHIN))?;
        socket.set_write_timeout(Some(READ_WITHIN))?;
        let body = request(socket)?;
        let open: OpenRequest = serde_json::from_slice(&body)?;
        let nth = self.asked.len().min(self.answers.len() - 1);
        self.asked.push(format!("{}: {} as {}", open.service, open.username, open.run_as_user));
        let reply = serde_json::to_vec(&self.reply(open, self.answers[nth])?)?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", reply.len());
        (&mut &*socket).write_all(&[head.as_bytes(), &reply].concat())
    }

    fn reply(&self, open: OpenRequest, decision: Decision) -> io::Result<Reply> {
        let nonce = open.nonce;
        let question = open.into_challenge(Target::Host(self.host.clone()), Vec::new()).map_err(io::Error::other)?;
        let issued = Timestamp::from_secs(calendar_secs());
        let answer = Answer {
            decision,
            challenge: ChallengeId::derive(question.target(), &nonce),
            target: question.target().clone(),
            nonce,
            kind: question.kind(),
            requester: question.requester().clone(),
            run_as_user: question.run_as().map(|run_as| run_as.user.clone()),
            run_as_group: question.run_as().and_then(|run_as| run_as.group.clone()),
            payload_sha256: question.payload().sha256(),
            issued,
            expires: Timestamp::from_secs(calendar_secs() + 30),
            extras: vec![("by".to_owned(), "identree's own test".to_owned())],
        };
        let bytes = answer.encode(self.public().id());
        let signature = self.key.sign(&bytes).to_bytes().to_vec();
        Ok(Reply {
            v: VERSION,
            challenge_id: answer.challenge,
            status: if decision == Decision::Granted { Status::Approved } else { Status::Denied },
            expires_in: 30,
            user_code: None,
            verification_url: None,
            current_approvals: 0,
            required_approvals: 0,
            answer: Some(SignedAnswer { bytes, signature }),
            statements: Vec::new(),
        })
    }

    fn public(&self) -> PublicKey {
        PublicKey::from_bytes(self.key.verifying_key().to_bytes())
    }
}

/// The body of a `POST`; an error for anything else.
fn request(socket: &TcpStream) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(socket);
    let (mut length, mut line) = (0, String::new());
    let mut head = (&mut reader).take(MAX_HEAD_BYTES);
    head.read_line(&mut line)?;
    let wrong = || io::Error::other("not a question");
    if !line.starts_with("POST ") {
        return Err(wrong());
    }
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err(wrong());
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    if length > MAX_BODY_BYTES {
        return Err(wrong());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}
