//! The program itself: `identree serve` and the host verbs beside it, on free ports and a directory of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use identree_core::credential::{self, HostSecret};
use identree_core::id::HostName;
use identree_core::time::{Clock as _, SystemClock};
use identree_core::wire::v1::{CHALLENGES, Reply, Status};
use identree_evidence::{Kind, secret as note};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::{CLIENT_SECRET, MASTER, question};

/// A running server; killed with the test.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
}

impl Running {
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill(); // Err: it has ended already
        let _ = self.child.wait();
    }
}

impl Running {
    /// Asks it to stop, and waits until it has.
    pub(crate) fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn identree(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_identree"));
    command
        .env_clear()
        .env("IDENTREE_TOML_CONFIG_FILE", data.join("none.toml"))
        .env("IDENTREE_DATA_DIR", data)
        .env("IDENTREE_LISTEN_ADDR", "127.0.0.1:0")
        .env("IDENTREE_EXTERNAL_URL", "http://127.0.0.1:8090")
        .env("IDENTREE_LOG_LEVEL", identree_evidence::log_level())
        .env("IDENTREE_SHARED_SECRET", MASTER)
        .env("IDENTREE_OIDC_ISSUER_URL", "http://127.0.0.1:9")
        .env("IDENTREE_OIDC_CLIENT_ID", "identree")
        .env("IDENTREE_OIDC_CLIENT_SECRET", CLIENT_SECRET)
        .env("IDENTREE_RATE_PER_ADDRESS", "0"); // a test asks again and again until a change is noticed
    note(Kind::Master, MASTER);
    note(Kind::Client, CLIENT_SECRET);
    command
}

pub(crate) fn serve(data: &Path) -> Running {
    started(identree(data), data)
}

/// `identree serve` with these settings.
pub(crate) fn started(mut command: Command, data: &Path) -> Running {
    let mut child = command.arg("serve").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(identree_evidence::tee("serve", child.stderr.take().unwrap())).lines();
    let listening = lines.by_ref().map(Result::unwrap).find_map(|line| {
        let (_, rest) = line.split_once("plain=http://")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    std::thread::spawn(move || lines.count()); // else the server would block on a full pipe
    let listening = listening.expect("the server says where it listens");
    note(Kind::DecisionKey, std::fs::read_to_string(data.join("decision.key")).unwrap().trim_end());
    Running { child, address: listening }
}

pub(crate) fn verb(data: &Path, args: &[&str]) -> Output {
    let output = identree(data).args(args).output().unwrap();
    identree_evidence::output(args[0], &output);
    output
}

pub(crate) fn added(data: &Path, name: &str) -> HostSecret {
    let output = verb(data, &["add-host", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let secret = String::from_utf8(output.stdout).unwrap();
    note(Kind::Host, secret.trim_end());
    HostSecret::parse(secret.trim_end()).expect("stdout is the secret alone")
}

/// One request of `web1`; status and body.
pub(crate) fn send(address: &str, secret: &HostSecret, method: &str, target: &str, body: &str) -> (u16, String) {
    let host = HostName::parse("web1").unwrap();
    let time_secs = SystemClock.now().as_secs();
    let covered =
        credential::Request { method, authority: address, target, host: &host, time_secs, body: body.as_bytes() };
    let mac = secret.mac(&covered);
    note(Kind::Mac, &identree_core::text::hex(&mac));
    let authorization = secret.authorize(&covered);
    let head =
        format!("{method} {target} HTTP/1.1\r\nAuthorization: {authorization}\r\nContent-Type: application/json");
    exchange(address, &head, body)
}

/// One request with these lines at its head; status and body.
pub(crate) fn exchange(address: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let length = body.len();
    write!(stream, "{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Whether the server takes connections and its store answers: 200, or 503 also where the connection is turned away.
fn ready(address: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = String::new();
    let _ = write!(stream, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let _ = stream.read_to_string(&mut answer); // Err: turned away
    if answer.starts_with("HTTP/1.1 200") { (200, answer) } else { (503, answer) }
}

/// Asks until the answer is this one: a change made beside the server is in force within a second.
#[expect(clippy::disallowed_methods, reason = "a real process runs by the real clock")]
pub(crate) fn until(status: u16, mut ask: impl FnMut() -> (u16, String)) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (got, body) = ask();
        if got == status {
            return body;
        }
        assert!(Instant::now() < deadline, "{got} {body}");
    }
}

#[test]
fn hosts_come_and_go_beside_a_running_server_and_a_stop_answers_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let mut server = serve(data);
    let secret = added(data, "web1");
    let body = until(201, || send(&server.address, &secret, "POST", CHALLENGES, &question(1)));
    let opened: Reply = serde_json::from_str(&body).unwrap();

    // One waits (and another, for a second, in which the first has surely begun); the server is told to stop; the wait is answered at once and the process ends well.
    let target = format!("{CHALLENGES}/{}", opened.challenge_id);
    let (address, held, path) = (server.address.clone(), secret.clone(), format!("{target}?wait=25"));
    let waiting = std::thread::spawn(move || send(&address, &held, "GET", &path, ""));
    until(200, || send(&server.address, &secret, "GET", &format!("{target}?wait=1"), ""));
    let pid = Pid::from_child(&server.child);
    kill_process(pid, Signal::TERM).unwrap();
    let (status, body) = waiting.join().unwrap();
    assert_eq!((status, serde_json::from_str::<Reply>(&body).unwrap().status), (200, Status::Pending));
    assert!(server.child.wait().unwrap().success());

    // The question has survived, and so has the host.
    let server = serve(data);
    let (status, body) = send(&server.address, &secret, "GET", &target, "");
    let again: Reply = serde_json::from_str(&body).unwrap();
    assert_eq!((status, again.status, again.user_code), (200, Status::Pending, opened.user_code));

    let list = String::from_utf8(verb(data, &["list-hosts"]).stdout).unwrap();
    assert!(list.contains("web1"), "{list}");
    assert!(!verb(data, &["add-host", "web1"]).status.success());
    assert!(verb(data, &["remove-host", "web1"]).status.success());
    until(401, || send(&server.address, &secret, "GET", &target, ""));
    let renewed = added(data, "web1");
    until(200, || send(&server.address, &renewed, "GET", &target, ""));
    assert_eq!(send(&server.address, &secret, "GET", CHALLENGES, "").0, 401, "the removed secret stays dead");
}

#[test]
fn the_client_conf_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let output = verb(dir.path(), &["add-host", "web1", "--client-conf"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for name in ["IDENTREE_SERVER_URL", "IDENTREE_HOSTNAME", "IDENTREE_SHARED_SECRET", "IDENTREE_DECISION_KEYS"] {
        assert!(names.contains(&name), "{name} is missing in:\n{text}");
    }
}

#[test]
fn everything_wrong_with_the_configuration_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let output = identree(dir.path())
        .env("IDENTREE_SHARED_SECRET", "short")
        .env("IDENTREE_EXTERNAL_URL", "http://id.example")
        .env("IDENTREE_CHALLENGE_TTL", "soon")
        .arg("serve")
        .output()
        .unwrap();
    identree_evidence::output("serve", &output);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["IDENTREE_SHARED_SECRET", "IDENTREE_EXTERNAL_URL", "IDENTREE_CHALLENGE_TTL"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("\"short\""), "no secret is told");
}

#[test]
fn a_damaged_file_stops_the_start_with_its_name_and_a_remedy() {
    let broken = |name: &str, content: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let output = verb(dir.path(), &["serve"]);
        assert!(!output.status.success(), "{name}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&*path.to_string_lossy()), "{name}: {text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "{name} is left as it was");
        text
    };
    let policy = broken("approval-policies.json", "{\n  \"policies\": [\n    {\"name\": \"Bad Name\"}\n  ]\n}\n");
    assert!(policy.contains(":3"), "the line is told: {policy}");
    broken("identree.db", &"not a database ".repeat(100));
    broken("decision.key", "not a key\n");
}

#[test]
fn with_few_descriptors_new_connections_are_turned_away_and_who_waits_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let few = "ulimit -n 64 && exec \"$IDENTREE\" \"$0\"";
    let environment: Vec<_> = identree(data).get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().envs(environment).env("IDENTREE", env!("CARGO_BIN_EXE_identree")).args(["-c", few]);
    let server = started(shell, data);
    let secret = added(data, "web1");
    let body = until(201, || send(&server.address, &secret, "POST", CHALLENGES, &question(1)));
    let target = format!("{CHALLENGES}/{}", serde_json::from_str::<Reply>(&body).unwrap().challenge_id);
    let (address, held, path) = (server.address.clone(), secret.clone(), format!("{target}?wait=25"));
    let waiting = std::thread::spawn(move || send(&address, &held, "GET", &path, ""));
    until(200, || send(&server.address, &secret, "GET", &format!("{target}?wait=1"), ""));

    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let turned_away = crowd.iter().filter(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // 503, or the end; the others are let in and hear nothing.
        (&mut &**stream).read(&mut [0; 64]).is_ok()
    });
    assert!(turned_away.count() >= 200 - 32);
    assert!(verb(data, &["list-hosts"]).status.success(), "the database has its own");
    drop(crowd);
    until(200, || ready(&server.address));
    let (status, _) = send(&server.address, &secret, "DELETE", &target, "");
    let (waited, reply) = waiting.join().unwrap();
    assert_eq!((status, waited, serde_json::from_str::<Reply>(&reply).unwrap().status), (200, 200, Status::Cancelled));
}

#[test]
fn without_any_descriptor_left_clients_are_turned_away_without_a_busy_loop() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let pid = Pid::from_child(&server.child);
    // Fewer than it counted on when it started: only what is open and a handful more.
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count() as u64;
    let few = Rlimit { current: Some(open + 8), maximum: Some(open + 8) };
    prlimit(Some(pid), Resource::Nofile, few).unwrap();
    let crowd: Vec<_> = (0..40).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().map(str::to_owned).collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap() // utime and stime of proc(5)
    };
    let before = ticks();
    let turned_away = crowd.iter().filter(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        (&mut &**stream).read(&mut [0; 64]).is_ok()
    });
    assert!(turned_away.count() >= 10, "the queue moves on");
    assert!(ticks() - before < 50, "half a second of work at most in some seconds");
    drop(crowd);
    until(200, || ready(&server.address));
}
