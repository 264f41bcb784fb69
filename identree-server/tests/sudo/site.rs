//! One installation: `identree serve` on loopback ports of its own, with SQLite, TLS and one registered host.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;

use identree_core::challenge::{ChallengeRecord, Settled, State};
use identree_core::store::{ChallengeFilter, Challenges as _, Page, SqliteStore};
use identree_core::testkit::journal::recorded;
use identree_evidence::{Certified, Kind, secret as note};
use identree_server::devidp::Persona;
use rustix::process::Signal;

use crate::person::Person;
use crate::provider::{CLIENT_SECRET, RUNTIME, free_port, own_address, provide};
use crate::sandbox::{Helper, Sandbox, Stack};
use crate::serving::Serving;

const MASTER: &str = "the master secret of this test only";

pub(crate) struct Site {
    folder: tempfile::TempDir,
    /// An address that no other site has, so that its ports stay its own while the server is down.
    address: String,
    plain: u16,
    tls: u16,
    issuer: String,
    settings: Vec<(&'static str, String)>,
    server: Option<Serving>,
    _provider: tokio::sync::oneshot::Sender<()>,
}

impl Site {
    /// A running server whose policy file holds this, with the host `web1`.
    pub(crate) fn start(policies: Option<&str>, settings: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let (provider, at) = free_port(&address);
        let ((_, plain), (_, tls)) = (free_port(&address), free_port(&address));
        let issuer = format!("http://{address}:{at}");
        certify(folder.path(), &address);
        let stop = provide(provider, &issuer, &format!("http://{address}:{plain}/callback"));
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut site = Self { folder, address, plain, tls, issuer, settings, server: None, _provider: stop };
        std::fs::create_dir(site.path("data")).unwrap();
        if let Some(policies) = policies {
            std::fs::write(site.path("data").join("approval-policies.json"), policies).unwrap();
        }
        let conf = site.run(&["add-host", "web1", "--client-conf"]);
        site.write_conf(&conf);
        site.serve();
        site
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn serve(&mut self) {
        let serving = Serving::spawn(&mut self.command(&["serve"]));
        let serving = self.server.insert(serving);
        // Signing in needs the provider, which the server looks for once it listens.
        serving.until("listening plain=");
        serving.until("answers");
        note(Kind::DecisionKey, std::fs::read_to_string(self.path("data").join("decision.key")).unwrap().trim_end());
    }

    /// Ends the server with a signal and waits until it is gone.
    pub(crate) fn end(&mut self, signal: Signal) {
        let serving = self.server.take().unwrap();
        serving.signal(signal);
        let (status, _) = serving.ended();
        assert_eq!(status.success(), signal == Signal::TERM, "{status}");
    }

    /// Runs `identree` to its end and returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        identree_evidence::output(arguments[0], &output);
        let Output { status, stdout, stderr } = output;
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        note(Kind::Master, MASTER);
        note(Kind::Client, CLIENT_SECRET);
        let mut command = Command::new(env!("CARGO_BIN_EXE_identree"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command
            .env("IDENTREE_DATA_DIR", self.path("data"))
            .env("IDENTREE_LOG_LEVEL", identree_evidence::log_level())
            .env("IDENTREE_SHARED_SECRET", MASTER)
            .env("IDENTREE_EXTERNAL_URL", self.origin())
            .env("IDENTREE_INSTALL_URL", format!("https://{}:{}", self.address, self.tls))
            .env("IDENTREE_LISTEN_ADDR", format!("{}:{}", self.address, self.plain))
            .env("IDENTREE_TLS_LISTEN_ADDR", format!("{}:{}", self.address, self.tls))
            .env("IDENTREE_TLS_CERT_FILE", self.path("server.pem"))
            .env("IDENTREE_TLS_KEY_FILE", self.path("server.key"))
            .env("IDENTREE_OIDC_ISSUER_URL", &self.issuer)
            .env("IDENTREE_OIDC_CLIENT_ID", "identree")
            .env("IDENTREE_OIDC_CLIENT_SECRET", CLIENT_SECRET)
            .env("IDENTREE_ADMIN_GROUPS", Persona::ADMIN_GROUP)
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A machine whose sudo asks this server. `None` where this one cannot do it; `rule` is what sudoers allows ann.
    pub(crate) fn sandbox(&self, rule: &str) -> Option<Sandbox> {
        let helper = Helper { program: helper(), conf: self.path("client.conf") };
        Sandbox::new(helper, Stack { auth: true, account: true }, rule)
    }

    /// A machine with the PAM lines of [`Site::sandbox`] and the approval plugin installed; `named` is what sudo.conf says of it.
    pub(crate) fn sandbox_with_plugin(&self, rule: &str, named: &str) -> Option<Sandbox> {
        let sandbox = self.sandbox(rule)?;
        sandbox.put("sudo_identree.so", std::fs::read(crate::plugin::plugin()).unwrap(), 0o644);
        sandbox.put("sudo.conf", named, 0o644);
        Some(sandbox)
    }

    /// Whether `identree-pam --check` finds that the server takes the host file.
    pub(crate) fn check(&self) -> bool {
        let mut command = Command::new(helper());
        let command = command.args(["--check", "--config"]).arg(self.path("client.conf"));
        let output = command.output().unwrap();
        identree_evidence::output("check", &output);
        output.status.success()
    }

    /// Puts a host file in place that trusts this server's authority.
    pub(crate) fn write_conf(&self, text: &str) {
        let conf = self.path("client.conf");
        let secret = text.lines().find_map(|line| line.strip_prefix("IDENTREE_SHARED_SECRET="));
        note(Kind::Host, secret.unwrap());
        std::fs::write(&conf, format!("{text}IDENTREE_CA_CERT={}\n", self.path("ca.pem").display())).unwrap();
        std::fs::set_permissions(conf, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Where the host file is.
    pub(crate) fn conf_path(&self) -> PathBuf {
        self.path("client.conf")
    }

    /// The host file as `identree add-host` printed it.
    pub(crate) fn conf(&self) -> String {
        let conf = std::fs::read_to_string(self.path("client.conf")).unwrap();
        conf.lines().filter(|line| !line.starts_with("IDENTREE_CA_CERT=")).map(|line| format!("{line}\n")).collect()
    }

    /// Somebody who has just signed in.
    pub(crate) fn person(&self, name: &str) -> Person {
        Person::sign_in(&self.origin(), name)
    }

    /// How every question stands, the oldest first, as the database has it.
    pub(crate) fn states(&self) -> Vec<&'static str> {
        let all = RUNTIME.block_on(async {
            let store = SqliteStore::open(&self.path("data").join("identree.db")).await.unwrap();
            store.challenges(&ChallengeFilter::default(), Page::first(100)).await.unwrap().items
        });
        all.iter().rev().map(|record| state(record)).collect()
    }

    /// The names of the journal's events about questions, the oldest first.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        let all = RUNTIME.block_on(async {
            let store = SqliteStore::open(&self.path("data").join("identree.db")).await.unwrap();
            recorded(&store).await
        });
        all.iter().filter(|event| event.challenge.is_some()).map(|event| event.kind.as_str()).collect()
    }

    fn origin(&self) -> String {
        format!("http://{}:{}", self.address, self.plain)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn state(record: &ChallengeRecord) -> &'static str {
    match record.state() {
        State::Pending { .. } => "pending",
        State::Settled { how, .. } => match how {
            Settled::Granted(_) => "granted",
            Settled::Denied { .. } => "denied",
            Settled::Expired => "expired",
            Settled::Cancelled { .. } => "cancelled",
            Settled::Refused { .. } => "refused",
        },
    }
}

/// A throw-away authority and the server's certificate.
fn certify(folder: &Path, address: &str) {
    let Certified { authority, certificate, key } = Certified::of(&[address]);
    for (name, text) in [("ca.pem", authority), ("server.pem", certificate), ("server.key", key)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// The helper beside the server's program; built first where only the server was.
fn helper() -> PathBuf {
    static BUILT: Once = Once::new();
    let program = Path::new(env!("CARGO_BIN_EXE_identree")).with_file_name("identree-pam");
    BUILT.call_once(|| {
        if !program.exists() {
            let mut cargo = Command::new(env!("CARGO"));
            let status = cargo.args(["build", "--quiet", "-p", "identree-pam"]).status().unwrap();
            assert!(status.success() && program.exists(), "cargo build -p identree-pam: {status}");
        }
    });
    program
}
