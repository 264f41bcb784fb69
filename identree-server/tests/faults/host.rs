//! A managed host, as far as the wire is concerned: signs requests, reads answers, verifies what is signed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use identree_core::challenge::Challenge as _;
use identree_core::challenge::SudoChallenge;
use identree_core::credential::{self, HostSecret};
use identree_core::grant::{Expected, KeyRing, Proven, verify};
use identree_core::id::{ChallengeId, HostName, Nonce, Target, UserName};
use identree_core::text::hex;
use identree_core::time::{Clock as _, SystemClock, Timestamp};
use identree_core::wire::v1::{CHALLENGES, OpenRequest, Problem, Reply};
use identree_evidence::{Kind, secret as note};

use crate::PATIENCE;

#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) name: HostName,
    pub(crate) secret: HostSecret,
    /// Where the server listens; also what the credential covers.
    pub(crate) authority: String,
    pub(crate) keys: KeyRing,
    /// Its host file.
    pub(crate) conf: String,
}

/// An answer: status and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// From the whole text of a response; an error if its end is missing.
    pub(crate) fn parse(text: &str) -> std::io::Result<Self> {
        let (head, body) = text.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| length.parse() != Ok(body.len())) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        Ok(Self { status, body: body.to_owned() })
    }

    pub(crate) fn reply(&self) -> Reply {
        assert!(self.status / 100 == 2, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The name of the problem, without what all of them begin with.
    pub(crate) fn problem(&self) -> String {
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        problem.kind.rsplit(':').next().unwrap().to_owned()
    }
}

impl Host {
    /// A host from its file, as `identree add-host` prints it.
    pub(crate) fn registered(name: &str, conf: String, authority: String) -> Self {
        let value = |key: &str| conf.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim();
        let secret = value("IDENTREE_SHARED_SECRET=");
        note(Kind::Host, secret);
        Self {
            name: HostName::parse(name).unwrap(),
            secret: HostSecret::parse(secret).unwrap(),
            authority,
            keys: KeyRing::parse(value("IDENTREE_DECISION_KEYS=")).unwrap(),
            conf,
        }
    }

    /// What `user` asks under this nonce.
    pub(crate) fn question(user: &str, nonce: &[u8; 32]) -> String {
        serde_json::json!({
            "v": 1, "nonce": hex(nonce), "service": "sudo", "username": user, "run_as_user": "root",
            "source": "caller_command_line", "argv": ["sudo", "whoami"],
        })
        .to_string()
    }

    pub(crate) fn target(&self) -> Target {
        Target::Host(self.name.clone())
    }

    pub(crate) fn id(&self, nonce: &[u8; 32]) -> ChallengeId {
        ChallengeId::derive(&self.target(), &Nonce::from_bytes(*nonce))
    }

    pub(crate) fn ask(&self, user: &str, nonce: &[u8; 32]) -> std::io::Result<Answer> {
        self.send("POST", CHALLENGES, &Self::question(user, nonce))
    }

    pub(crate) fn wait(&self, id: ChallengeId, secs: u32) -> std::io::Result<Answer> {
        self.send("GET", &format!("{CHALLENGES}/{id}?wait={secs}"), "")
    }

    pub(crate) fn cancel(&self, id: ChallengeId) -> std::io::Result<Answer> {
        self.send("DELETE", &format!("{CHALLENGES}/{id}"), "")
    }

    /// Whether the server can write.
    pub(crate) fn ready(&self) -> bool {
        self.send("GET", "/readyz", "").unwrap().status == 200
    }

    fn send(&self, method: &str, target: &str, body: &str) -> std::io::Result<Answer> {
        self.send_at(SystemClock.now(), (method, target), body)
    }

    /// Sends as a host whose clock shows this; an error if the connection dies before the whole answer is here.
    pub(crate) fn send_at(
        &self,
        now: Timestamp,
        (method, target): (&str, &str),
        body: &str,
    ) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.authority.as_str())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(self.request(now, (method, target), body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Answer::parse(&answer)
    }

    /// The text of a request of a host whose clock shows this.
    pub(crate) fn request(&self, now: Timestamp, (method, target): (&str, &str), body: &str) -> String {
        let (time_secs, authority) = (now.as_secs(), &*self.authority);
        let covered =
            credential::Request { method, authority, target, host: &self.name, time_secs, body: body.as_bytes() };
        let authorization = self.secret.authorize(&covered);
        let length = body.len();
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Whether the signed answer proves a yes to exactly this question; a no or a proof of anything else is `false`.
    ///
    /// # Panics
    /// If the answer is not signed by the server, or belongs to another question.
    pub(crate) fn proves_yes(&self, user: &str, nonce: &[u8; 32], reply: &Reply) -> bool {
        let request: OpenRequest = serde_json::from_str(&Self::question(user, nonce)).unwrap();
        let challenge: SudoChallenge = request.into_challenge(self.target(), Vec::new()).unwrap();
        let expected = Expected {
            nonce: &Nonce::from_bytes(*nonce),
            target: &self.target(),
            kind: &challenge.kind(),
            requester: &UserName::parse(user).unwrap(),
            run_as_user: Some(&UserName::parse("root").unwrap()),
            run_as_group: None,
            payload_sha256: &challenge.payload().sha256(),
        };
        matches!(verify(reply.answer.as_ref().unwrap(), &self.keys, &expected).unwrap(), Proven::Grant(_))
    }
}
