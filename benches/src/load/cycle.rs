//! A host that asks, the person who approves, and the host that is told: the requests of all three.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use identree_core::credential::{HostSecret, Request};
use identree_core::id::HostName;
use tokio::net::TcpStream;

use super::wire::{Failure, Wire};
use super::{Registered, SignedIn, Told};
use crate::figures::now;

/// A host with one kept connection.
#[derive(Debug)]
pub struct Host<S = TcpStream> {
    wire: Wire<S>,
    authority: String,
    name: HostName,
    secret: HostSecret,
    client: String,
}

/// A browser with one kept connection; whose it is comes with each request.
#[derive(Debug)]
pub struct Browser {
    wire: Wire<TcpStream>,
    head: String,
}

/// The question that a host asks next; `user` is who would run the command.
pub fn question(user: &str, nonce: u128) -> String {
    format!(
        "{{\"v\":1,\"nonce\":\"{nonce:064x}\",\"service\":\"sudo\",\"username\":\"{user}\",\"run_as_user\":\"root\",\
         \"source\":\"caller_command_line\",\"argv\":[\"sudo\",\"systemctl\",\"restart\",\"nginx\"],\
         \"cwd\":\"/home/{user}\",\"tty\":\"pts/3\"}}"
    )
}

#[expect(clippy::disallowed_methods, reason = "the time in the credential is the real one")]
fn now_secs() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// An address of a client behind the trusted proxy.
fn client_address(number: usize) -> String {
    format!("10.{}.{}.{}", number >> 16 & 0xff, number >> 8 & 0xff, number & 0xff)
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Host<S> {
    /// Over a connection that stands; `number` tells clients apart.
    ///
    /// # Errors
    /// If name or secret are none.
    pub fn over(wire: Wire<S>, authority: String, registered: &Registered, number: usize) -> Result<Self, Failure> {
        Ok(Self {
            wire,
            authority,
            name: HostName::parse(&registered.name)?,
            secret: HostSecret::parse(&registered.secret)?,
            client: client_address(number),
        })
    }

    /// Asks; gives the question's id, and its code.
    ///
    /// # Errors
    /// If the question is not opened.
    pub async fn ask(&mut self, question: &str) -> Result<String, Failure> {
        let head = self.head("POST", "/api/challenge", question);
        self.wire.send(&head, question).await?;
        let response = self.wire.receive().await?;
        match (response.status, response.text("challenge_id")) {
            (201, Some(id)) => Ok(id.to_owned()),
            _ => Err(format!("a question is answered {}: {}", response.status, response.body).into()),
        }
    }

    /// Begins to wait for the answer.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn wait(&mut self, id: &str) -> Result<(), Failure> {
        let head = self.head("GET", &format!("/api/challenge/{id}?wait=25"), "");
        self.wire.send(&head, "").await
    }

    /// Whether it has been approved: `false` when it is to ask again.
    ///
    /// # Errors
    /// If the answer is another.
    pub async fn told(&mut self) -> Result<bool, Failure> {
        let response = self.wire.receive().await?;
        match (response.status, response.text("status")) {
            (200, Some("approved")) => Ok(true),
            (200, Some("pending")) => Ok(false),
            _ => Err(format!("waiting is answered {}: {}", response.status, response.body).into()),
        }
    }

    fn head(&self, method: &str, target: &str, body: &str) -> String {
        let time_secs = now_secs();
        let request =
            Request { method, authority: &self.authority, target, host: &self.name, time_secs, body: body.as_bytes() };
        let authorization = self.secret.authorize(&request);
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\nX-Forwarded-For: {}\r\n\
             Content-Type: application/json\r\n",
            self.authority, self.client
        )
    }
}

impl Host {
    /// Connects to the server; `number` tells clients apart.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(told: &Told, number: usize) -> Result<Self, Failure> {
        let wire = Wire::plain(told.plain).await?;
        Self::over(wire, told.plain.to_string(), &told.hosts[number % told.hosts.len()], number)
    }
}

impl Browser {
    /// Connects to the server; `number` tells clients apart.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(told: &Told, number: usize) -> Result<Self, Failure> {
        // The origin is the server's configured one, whatever port it got.
        let head = format!(
            "Host: {}\r\nOrigin: http://127.0.0.1:8090\r\nSec-Fetch-Site: same-origin\r\nX-Forwarded-For: {}\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0\r\nAccept-Language: en\r\n",
            told.plain,
            client_address(number)
        );
        Ok(Self { wire: Wire::plain(told.plain).await?, head })
    }

    /// Presses the button, and reads the redirect that follows.
    ///
    /// # Errors
    /// If the approval does not count.
    pub async fn approve(&mut self, person: &SignedIn, id: &str) -> Result<(), Failure> {
        let head = format!(
            "POST /api/challenges/approve HTTP/1.1\r\n{}Cookie: {}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n",
            self.head, person.cookie
        );
        let form = format!("csrf_token={}&challenge_id={id}&reason=", person.csrf);
        self.wire.send(&head, &form).await?;
        let response = self.wire.receive().await?;
        match response.status {
            302 | 303 => Ok(()),
            status => Err(format!("an approval is answered {status}: {}", response.body).into()),
        }
    }

    /// Follows the questions; returns once the server has begun to answer.
    ///
    /// # Errors
    /// If it does not let the person follow.
    pub async fn follow(&mut self, person: &SignedIn) -> Result<(), Failure> {
        let head = format!(
            "GET /api/events HTTP/1.1\r\n{}Cookie: {}\r\nAccept: text/event-stream\r\nSec-Fetch-Mode: cors\r\n",
            self.head, person.cookie
        );
        self.wire.send(&head, "").await?;
        match self.wire.head().await? {
            200 => Ok(()),
            status => Err(format!("the stream is answered {status}").into()),
        }
    }

    /// Waits for the event of this name.
    ///
    /// # Errors
    /// If the stream ends.
    pub async fn event(&mut self, name: &str) -> Result<Instant, Failure> {
        self.wire.skip_past(&format!("event: {name}\n")).await?;
        Ok(now())
    }
}

/// What one worker has done.
#[derive(Debug, Default)]
pub struct Done {
    /// Whole cycles.
    pub cycles: u64,
    /// How long each question took to be opened.
    pub opened: Vec<Duration>,
}

/// A host, and the person who approves what it asks, over and over.
#[derive(Debug)]
pub struct Worker<'a> {
    host: Host,
    browser: Browser,
    person: &'a SignedIn,
    nonce: u128,
}

/// How long one cycle took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Until the question was opened.
    pub opened: Duration,
    /// Until the host was told.
    pub told: Duration,
}

impl<'a> Worker<'a> {
    /// Connects both to the server; `number` tells clients apart.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(told: &'a Told, number: usize) -> Result<Self, Failure> {
        Ok(Self {
            host: Host::connect(told, number).await?,
            browser: Browser::connect(told, number).await?,
            person: &told.people[number % told.people.len()],
            nonce: nonces(number),
        })
    }

    /// Asks, approves and is told.
    ///
    /// # Errors
    /// If any answer is not what it should be.
    pub async fn cycle(&mut self) -> Result<Took, Failure> {
        let question = question(&self.person.name, self.nonce);
        self.nonce += 1;
        let asked = now();
        let id = self.host.ask(&question).await?;
        let opened = asked.elapsed();
        self.browser.approve(self.person, &id).await?;
        self.host.wait(&id).await?;
        if !self.host.told().await? {
            return Err("an approved question is still pending".into());
        }
        Ok(Took { opened, told: asked.elapsed() })
    }
}

/// Asks, approves and is told, over and over, until the time.
///
/// # Errors
/// If any answer is not what it should be.
pub async fn work(told: &Told, number: usize, until: Instant) -> Result<Done, Failure> {
    let mut worker = Worker::connect(told, number).await?;
    let mut done = Done::default();
    while now() < until {
        done.opened.push(worker.cycle().await?.opened);
        done.cycles += 1;
    }
    Ok(done)
}

/// The first of the nonces of this client: no other run and no other client comes near them.
#[expect(clippy::disallowed_methods, reason = "nonces of one run must differ from those of the next")]
pub fn nonces(number: usize) -> u128 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    (number as u128) << 104 | nanos << 32
}
