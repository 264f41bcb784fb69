//! One server, one provider, one browser; shared by the tests that run at the same time, gone with the last of them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use identree_evidence::{Kind, secret as note};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::lines::Lines;

const CLIENT: &str = "identree";
const CLIENT_SECRET: &str = "a secret of these tests, nowhere else";
const MASTER: &str = "the master secret of these tests alone";
/// Long enough on a busy machine; what should happen happens in milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const POLICIES: &str = r#"{"policies": [
    {"name": "two-people", "match_hosts": ["vault*"], "min_approvals": 2, "require_admin": true},
    {"name": "fresh", "match_hosts": ["db*"], "require_fresh_oidc": "5m"},
    {"name": "default"}
]}"#;

/// Everything that runs.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) browser: Browser,
    // In the order in which they must end.
    _server: Mutex<Server>,
    provider: Mutex<Lines>,
    hosts: HashMap<&'static str, String>,
    _dir: tempfile::TempDir,
}

/// How a world differs from the usual one.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) alg: &'static str,
    pub(crate) question_life: &'static str,
    /// Whether the provider is started only when the test says so.
    pub(crate) provider_later: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { alg: "RS256", question_life: "10m", provider_later: false }
    }
}

impl World {
    /// The world that the tests share. None if this machine lacks what it takes.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(world) = shared.upgrade() {
            return Some(world);
        }
        let world = Arc::new(Self::new(Setup::default())?);
        *shared = Arc::downgrade(&world);
        Some(world)
    }

    /// A world of its own.
    pub(crate) fn new(setup: Setup) -> Option<Self> {
        if !crate::equipped() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("approval-policies.json"), POLICIES).unwrap();
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        // The provider must know where it sends browsers, the server where it finds the provider.
        let provider_port = free_port();
        let issuer = format!("http://127.0.0.1:{provider_port}");
        let start_provider = || start_provider(provider_port, &url, setup.alg);
        let early = (!setup.provider_later).then(start_provider);
        let environment = environment(dir.path(), port, &url, &issuer, setup.question_life);
        let hosts = ["web1", "vault1", "db1"].map(|host| (host, add_host(&environment, host)));
        let mut server = Server::start(&environment);
        server.wait_for("listening");
        let browser = Browser::start();
        let provider = early.unwrap_or_else(|| {
            server.wait_for("nobody can sign in yet");
            let page = browser.open(crate::browser::Look::PHONE);
            page.goto(&url);
            assert!(page.has("[role=alert]"), "the page says that the provider is down");
            assert_eq!(page.goto(&format!("{url}/sessions/login")), 503);
            page.look("problem-provider-down");
            start_provider()
        });
        server.wait_for("answers");
        note(Kind::DecisionKey, std::fs::read_to_string(dir.path().join("decision.key")).unwrap().trim_end());
        let provider = Mutex::new(provider);
        Some(Self { url, browser, _server: Mutex::new(server), provider, hosts: hosts.into(), _dir: dir })
    }

    /// Tells the provider something.
    pub(crate) fn provider(&self, command: &Value) {
        self.provider.lock().unwrap().call(command);
    }

    /// The `client.conf` of a host.
    pub(crate) fn client_conf(&self, host: &str) -> &str {
        &self.hosts[host]
    }
}

fn start_provider(port: u16, url: &str, alg: &str) -> Lines {
    let people = json!([
        {"sub": "1001", "name": "ann", "groups": ["staff"], "picture": null},
        {"sub": "1002", "name": "ada", "groups": ["staff", "admins"]},
        {"sub": "1003", "name": "bob", "groups": ["admins"]},
        {"sub": "1004", "name": "eve", "groups": []},
    ]);
    let client = json!({"id": CLIENT, "secret": CLIENT_SECRET, "redirect_uri": format!("{url}/callback"), "alg": alg});
    let argument = json!({"port": port, "client": client, "people": people});
    Lines::start("idp.mjs", &argument.to_string()).0
}

fn environment(dir: &Path, port: u16, url: &str, issuer: &str, life: &str) -> Vec<(&'static str, String)> {
    vec![
        ("IDENTREE_LISTEN_ADDR", format!("127.0.0.1:{port}")),
        ("IDENTREE_EXTERNAL_URL", url.to_owned()),
        ("IDENTREE_OIDC_ISSUER_URL", issuer.to_owned()),
        ("IDENTREE_OIDC_CLIENT_ID", CLIENT.to_owned()),
        ("IDENTREE_OIDC_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ("IDENTREE_SHARED_SECRET", MASTER.to_owned()),
        ("IDENTREE_ADMIN_GROUPS", "admins".to_owned()),
        ("IDENTREE_CHALLENGE_TTL", life.to_owned()),
        ("IDENTREE_DATA_DIR", dir.to_str().unwrap().to_owned()),
        ("IDENTREE_LOG_LEVEL", identree_evidence::log_level().to_owned()),
    ]
}

fn add_host(environment: &[(&str, String)], host: &str) -> String {
    let mut command = identree(environment);
    let output = command.args(["add-host", host, "--client-conf"]).output().unwrap();
    identree_evidence::output("add-host", &output);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let conf = String::from_utf8(output.stdout).unwrap();
    note(Kind::Host, conf.lines().find_map(|line| line.strip_prefix("IDENTREE_SHARED_SECRET=")).unwrap());
    conf
}

fn identree(environment: &[(&str, String)]) -> Command {
    note(Kind::Master, MASTER);
    note(Kind::Client, CLIENT_SECRET);
    let mut command = Command::new(env!("CARGO_BIN_EXE_identree"));
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// A port that was free a moment ago. Both sides of a redirect must know each other's address before either listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The real server.
struct Server {
    child: Child,
    log: Receiver<String>,
}

impl Server {
    fn start(environment: &[(&str, String)]) -> Self {
        let mut child = identree(environment).arg("serve").stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = channel();
        let errors = BufReader::new(identree_evidence::tee("serve", child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                // When nobody listens any more the pipe must still be emptied.
                let _ = sender.send(line);
            }
        });
        Self { child, log }
    }

    fn wait_for(&mut self, text: &str) {
        let mut seen = String::new();
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never said \"{text}\":\n{seen}"));
            if line.contains(text) {
                return;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
