//! A host enrols at a real server: the verbs, the host's own functions, files on a disk, and somebody in between.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use identree_core::challenge::{CommandSource, RunAs};
use identree_core::credential::{HostKey, MasterSecret};
use identree_core::enrol::{EnrolReply, EnrolRequest, Enrolment, Token};
use identree_core::grant::TrustedKey;
use identree_core::id::{HostName, Nonce, ServiceName, TokenId, UserName};
use identree_core::time::Timestamp;
use identree_core::wire::settings::ClientSettings;
use identree_evidence::{Kind, secret as note};
use identree_pam::clock::now;
use identree_pam::enrol::{Enrol, EnrolError, Enrolled, enrol};
use identree_pam::identity::{IdentityError, refresh, replace_key};
use identree_pam::transport::Watch;
use identree_pam::{Config, Facts, Place, Reason, Terminal, Verdict, ask, check};

use crate::process::{Running, identree, serve, started, verb};

const WITHIN: Duration = Duration::from_secs(20);

struct Silent(Vec<String>);

impl Terminal for Silent {
    fn say(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// A server, its data, and the directory of one host.
struct Site {
    server: Running,
    data: tempfile::TempDir,
    host: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let host = tempfile::tempdir().unwrap();
        Self { server: serve(data.path()), data, host }
    }

    fn token(&self, args: &[&str]) -> Token {
        let output = verb(self.data.path(), args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        note(Kind::EnrolToken, text.split('.').nth(2).unwrap());
        Token::parse(&text).expect("stdout is the token alone")
    }

    fn conf(&self) -> PathBuf {
        self.host.path().join("client.conf")
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn enrol_at(&self, server: &str, token: &Token) -> Result<Enrolled, EnrolError> {
        let (config, owner) = (self.conf(), owner());
        let enrolled = enrol(&Enrol { server, token, config: &config, ca: None, owner, within: WITHIN });
        if enrolled.is_ok() {
            note(Kind::HostKey, std::fs::read_to_string(self.host.path().join("host.key")).unwrap().trim_end());
        }
        enrolled
    }

    /// What `identree-pam --check` says of this host.
    fn knows(&self) -> bool {
        let (config, mut said) = (self.conf(), Silent(Vec::new()));
        let place = Place {
            config: &config,
            claims: Path::new("/nonexistent"),
            owner: owner(),
            reason: Reason::Stated,
            resolver: Path::new("/proc/self/exe"),
        };
        check(&place, &mut said) == 0
    }
}

fn owner() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn eventually(holds: impl Fn() -> bool) -> bool {
    // A change made beside the server is in force within a second; each look is a request.
    (0..20_000).any(|_| holds())
}

#[test]
fn a_host_enrols_replaces_its_key_and_is_removed() {
    let site = Site::new();
    let token = site.token(&["add-host", "web1", "--enroll"]);
    let enrolled = site.enrol_at(&site.url(), &token).unwrap();
    assert_eq!(enrolled.hostname.as_str(), "web1");
    let conf = std::fs::read_to_string(site.conf()).unwrap();
    assert!(!conf.contains("IDENTREE_SHARED_SECRET") && conf.contains("host.key"), "{conf}");
    for name in ["client.conf", "host.key", "client.state", "client.state.lock"] {
        let found = std::fs::metadata(site.host.path().join(name)).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, owner()), "{name}");
    }
    assert_eq!(std::fs::read_dir(site.host.path()).unwrap().count(), 4, "nothing is left aside");
    assert!(site.knows());
    let listed = String::from_utf8(verb(site.data.path(), &["list-hosts"]).stdout).unwrap();
    assert!(listed.contains("web1  credential=key"), "{listed}");

    let old = std::fs::read(site.host.path().join("host.key")).unwrap();
    let new = replace_key(&site.conf(), owner(), WITHIN).unwrap();
    note(Kind::HostKey, std::fs::read_to_string(site.host.path().join("host.key")).unwrap().trim_end());
    assert!(new != enrolled.key && site.knows());
    std::fs::write(site.host.path().join("host.key"), old).unwrap();
    assert!(!site.knows(), "the old key is worth nothing");
    assert!(matches!(replace_key(&site.conf(), owner(), WITHIN), Err(IdentityError::Server(_))));

    // A stolen or lost key: the operator revokes it at once, and the host enrols anew with what it has kept of its settings.
    let refused = verb(site.data.path(), &["rotate-host-secret", "web1", "--client-conf"]);
    assert!(!refused.status.success(), "no file of the server's can hold a host's key");
    let token = site.token(&["rotate-host-secret", "web1", "--now"]);
    let conf = std::fs::read_to_string(site.conf()).unwrap() + "IDENTREE_LANGUAGE=de\n";
    std::fs::write(site.conf(), conf).unwrap();
    std::fs::remove_file(site.host.path().join("host.key.new")).unwrap();
    site.enrol_at(&site.url(), &token).unwrap();
    assert!(std::fs::read_to_string(site.conf()).unwrap().contains("IDENTREE_LANGUAGE=de\n"));
    assert!(site.knows());
    assert!(verb(site.data.path(), &["remove-host", "web1"]).status.success());
    assert!(eventually(|| !site.knows()));
}

#[test]
fn a_host_with_a_secret_moves_to_a_key() {
    let site = Site::new();
    let output = verb(site.data.path(), &["add-host", "web1", "--client-conf"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let secret = text.lines().find_map(|line| line.strip_prefix("IDENTREE_SHARED_SECRET=")).unwrap();
    note(Kind::Host, secret);
    let text = text.replace("http://127.0.0.1:8090", &site.url());
    std::fs::write(site.conf(), &text).unwrap();
    std::fs::set_permissions(site.conf(), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(eventually(|| site.knows()));
    assert!(matches!(replace_key(&site.conf(), owner(), WITHIN), Err(IdentityError::Secret)));
    let token = site.token(&["rotate-host-secret", "web1", "--enroll"]);
    assert!(site.knows(), "the secret works until the host has enrolled");
    site.enrol_at(&site.url(), &token).unwrap();
    assert!(site.knows());
    std::fs::write(site.conf(), &text).unwrap();
    assert!(!site.knows(), "the secret is worth nothing after enrolment");
}

/// The server took the key, and nobody heard of it: the same command again takes it up.
#[test]
fn an_enrolment_that_lost_its_answer_is_taken_up_again() {
    let site = Site::new();
    let token = site.token(&["add-host", "web1", "--enroll"]);
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (front.local_addr().unwrap(), site.server.address.clone());
    let between = std::thread::spawn(move || {
        let (mut host, _) = front.accept().unwrap();
        let mut onward = TcpStream::connect(server).unwrap();
        let mut buffer = [0; 8192];
        let read = host.read(&mut buffer).unwrap();
        onward.write_all(&buffer[..read]).unwrap();
        let answered = onward.read(&mut buffer).unwrap();
        assert!(buffer[..answered].starts_with(b"HTTP/1.1 200"));
        host.shutdown(Shutdown::Both).unwrap();
    });
    let lost = site.enrol_at(&format!("http://{address}"), &token);
    between.join().unwrap();
    assert!(matches!(lost, Err(EnrolError::Server(_))), "{lost:?}");
    assert!(!site.conf().exists());
    site.enrol_at(&site.url(), &token).unwrap();
    assert!(site.knows());
}

/// Somebody in the host's way answers for the server, with decision keys of their own.
#[test]
fn whoever_does_not_know_the_token_cannot_plant_decision_keys() {
    let site = Site::new();
    let token = site.token(&["add-host", "web1", "--enroll"]);
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = front.local_addr().unwrap();
    let between = std::thread::spawn(move || {
        let (mut host, _) = front.accept().unwrap();
        let mut asked = Vec::new();
        let request: EnrolRequest = loop {
            let mut buffer = [0; 4096];
            let read = host.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..read]);
            let body = asked.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
            if let Some(request) = body.and_then(|at| serde_json::from_slice(&asked[at..]).ok()) {
                break request;
            }
        };
        let guessed = MasterSecret::parse(&"x".repeat(40)).unwrap();
        let guessed = guessed.enrol_token(&HostName::parse("web1").unwrap(), 1, TokenId::from_bytes([0; 8]));
        let theirs = TrustedKey { key: HostKey::from_seed(&[6; 32]).public(), until: None };
        let planted = Enrolment {
            host: request.host.clone(),
            key: request.key,
            since: Timestamp::from_secs(1),
            epoch: 0,
            keys: vec![theirs],
            root: None,
            settings: ClientSettings::default(),
        };
        let body = serde_json::to_vec(&EnrolReply::new(&guessed, &request, &planted)).unwrap();
        write!(host, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        host.write_all(&body).unwrap();
        String::from_utf8_lossy(&asked).into_owned()
    });
    let forged = site.enrol_at(&format!("http://{address}"), &token);
    let seen = between.join().unwrap();
    assert!(matches!(forged, Err(EnrolError::Forged)), "{forged:?}");
    assert!(!site.conf().exists() && !site.host.path().join("client.state").exists());
    let secret = token.reveal();
    let secret = secret.expose().split('.').nth(2).unwrap();
    assert!(!seen.contains(secret), "the token does not travel");
    // What was seen on the way is worth nothing to them, and the token still works for the host.
    site.enrol_at(&site.url(), &token).unwrap();
    assert!(site.knows());
    let plain = enrol(&Enrol {
        server: "http://id.example",
        token: &token,
        config: &site.conf(),
        ca: None,
        owner: owner(),
        within: WITHIN,
    });
    assert!(matches!(plain, Err(EnrolError::Insecure)));
}

/// A rule lets everything through: this is about whose answers count.
const ALLOW: &str = r#"{"policies": [{"name": "default", "action": "allow"}]}"#;

impl Site {
    fn allowing() -> Self {
        let (data, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(data.path().join("approval-policies.json"), ALLOW).unwrap();
        Self { server: serve(data.path()), data, host }
    }

    /// Starts the server anew, on another port, and tells the host.
    fn restart(&mut self, settings: &[(&str, &str)]) {
        let old = self.server.address.clone();
        let mut command = identree(self.data.path());
        command.envs(settings.iter().copied());
        self.server.stop();
        self.server = started(command, self.data.path());
        let conf = std::fs::read_to_string(self.conf()).unwrap().replace(&old, &self.server.address);
        std::fs::write(self.conf(), conf).unwrap();
    }

    fn config(&self) -> Config {
        Config::load(&self.conf(), owner()).unwrap()
    }

    /// One question of this host, under a nonce of its own.
    fn ask(&self, nonce: u8) -> Verdict {
        self.ask_on(nonce, &mut Silent(Vec::new()))
    }

    fn ask_on(&self, nonce: u8, terminal: &mut dyn Terminal) -> Verdict {
        let facts = Facts {
            service: ServiceName::parse("sudo").unwrap(),
            requester: UserName::parse("ann").unwrap(),
            run_as: RunAs { user: UserName::parse("root").unwrap(), group: None },
            source: CommandSource::CallerCommandLine,
            argv: vec![b"sudo".to_vec(), b"true".to_vec()],
            cwd: None,
            tty: None,
            reason: None,
            run: None,
        };
        let nonce = Nonce::from_bytes([nonce; 32]);
        ask(&self.config(), &facts, nonce, now(), terminal, Watch::default())
    }
}

#[test]
fn a_host_follows_a_rotation_of_the_decision_key_and_never_back() {
    let mut site = Site::allowing();
    let token = site.token(&["add-host", "web1", "--enroll"]);
    site.enrol_at(&site.url(), &token).unwrap();
    site.restart(&[]);
    assert!(matches!(site.ask(1), Verdict::Granted(_)));
    let first = site.config().keys;
    let backup = std::fs::read(site.data.path().join("decision.key")).unwrap();

    let rotated = verb(site.data.path(), &["rotate-decision-key", "--overlap", "0s"]);
    let key = String::from_utf8(rotated.stdout).unwrap();
    site.restart(&[]);
    assert!(matches!(site.ask(2), Verdict::Granted(_)), "the new key was introduced with the answer that it signed");
    let told = site.config();
    assert_eq!((told.told.trust.epoch, told.keys.keys()[0].to_string().as_str()), (1, key.trim_end()));
    assert_eq!(refresh(&site.conf(), owner(), WITHIN).unwrap(), 1);

    // Somebody has the old key, and a server that says nothing of the new one: over this database it does not start, and no host
    // believes it where the database says so too.
    std::fs::write(site.data.path().join("decision.key"), &backup).unwrap();
    std::fs::remove_file(site.data.path().join("decision.keys")).unwrap();
    site.server.stop();
    let refused = verb(site.data.path(), &["serve"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && said.contains("put the new file there") && said.contains(key.trim_end()),
        "{said}"
    );
    assert!(verb(site.data.path(), &["rotate-decision-key", "--lost", "--yes"]).status.success());
    site.restart(&[]);
    let refused = site.ask(3);
    assert!(matches!(&refused, Verdict::Misconfigured(why) if why.contains("does not trust")), "{refused:?}");
    assert_eq!(site.config().told.trust.epoch, 1);
    assert_ne!(site.config().keys, first);
    // What it has heard of a lost key is what keeps it from the one that its file pins.
    std::fs::remove_file(site.conf().with_file_name("client.state")).unwrap();
    assert_eq!(site.config().keys, first);
    assert!(matches!(site.ask(4), Verdict::Granted(_)));
}

#[test]
fn what_the_server_asks_of_its_hosts_holds_from_the_next_question_on() {
    let mut site = Site::allowing();
    let token = site.token(&["add-host", "web1", "--enroll"]);
    site.enrol_at(&site.url(), &token).unwrap();
    let conf = std::fs::read_to_string(site.conf()).unwrap() + "IDENTREE_BREAKGLASS_ENABLED=false\n";
    std::fs::write(site.conf(), conf).unwrap();
    site.restart(&[("IDENTREE_CLIENT_TIMEOUT", "45s"), ("IDENTREE_CLIENT_BREAKGLASS_ENABLED", "true")]);
    assert_eq!(site.config().timeout.as_secs(), 120);
    assert!(matches!(site.ask(1), Verdict::Granted(_)));
    let told = site.config();
    assert_eq!(told.timeout.as_secs(), 45);
    assert!(told.break_glass.is_none(), "a weaker setting does not win over the host's own");
    site.restart(&[]);
    assert!(matches!(site.ask(2), Verdict::Granted(_)));
    assert_eq!(site.config().timeout.as_secs(), 120, "taken back");
}

/// A terminal that tells what it shows.
struct Telling(mpsc::Sender<String>);

impl Terminal for Telling {
    fn say(&mut self, line: &str) {
        self.0.send(line.to_owned()).unwrap();
    }
}

/// Removed or revoked, a host's waiting questions end at once, for whoever waits and for whoever could approve.
#[test]
fn a_host_that_is_removed_or_revoked_has_no_waiting_question() {
    let site = Site::new();
    for (nonce, gone) in [(1, &["rotate-host-secret", "web1", "--now"][..]), (2, &["remove-host", "web1"])] {
        let token = match nonce {
            1 => site.token(&["add-host", "web1", "--enroll"]),
            _ => site.token(&["rotate-host-secret", "web1"]),
        };
        site.enrol_at(&site.url(), &token).unwrap();
        let (said, shown) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| site.ask_on(nonce, &mut Telling(said)));
            shown.iter().find(|line| line.contains("Waiting")).expect("the question waits");
            assert!(verb(site.data.path(), gone).status.success());
            let verdict = waiting.join().unwrap();
            let why = "this host may not ask any more";
            assert!(matches!(&verdict, Verdict::Refused(no) if no.extra("reason") == Some(why)), "{verdict:?}");
        });
    }
}
