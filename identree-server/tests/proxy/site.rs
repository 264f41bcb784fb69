//! One installation: `identree serve` with a plain listener, once or several times, a proxy in front, and the registered host
//! `web1`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use identree_evidence::peer::Cluster;
use identree_evidence::{Certified, Kind as Secret, secret as note};
use identree_server::devidp::Persona;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use crate::browser::Browser;
use crate::lines::Lines;
use crate::provider::{CLIENT_SECRET, provide};
use crate::proxy::{Proxy, free_port};
use crate::recipe::{Kind, Local, SEVERAL};

const MASTER: &str = "the master secret of the tests of proxies";

pub(crate) const METRICS_TOKEN: &str = "the-metrics-token-of-the-tests-of-proxies";

pub(crate) struct Site {
    /// `https://…`: where people and hosts go.
    pub(crate) origin: String,
    /// `http://…` of the proxy.
    pub(crate) plain_origin: String,
    pub(crate) servers: Vec<Server>,
    // It ends after the servers.
    pub(crate) proxy: Proxy,
    /// An address that no other site has.
    address: String,
    issuer: String,
    /// Of PostgreSQL; without it the server has SQLite.
    dsn: Option<String>,
    conf: String,
    folder: tempfile::TempDir,
    _provider: oneshot::Sender<()>,
}

/// One of the servers.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) listen: String,
    /// What it logs, over all of its starts.
    pub(crate) log: Lines,
    data: PathBuf,
    child: Option<Child>,
}

impl Site {
    /// A running server behind a running proxy.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::with(kind, 1, None)
    }

    /// As many servers as the recipe names, over one PostgreSQL; none where something is not installed.
    pub(crate) fn of_several(kind: Kind) -> Option<Self> {
        if !kind.is_here() {
            return None;
        }
        let dsn = Cluster::shared()?.schema();
        Some(Self::with(kind, SEVERAL.len(), Some(dsn)))
    }

    fn with(kind: Kind, servers: usize, dsn: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let (https, http) = (free_port(), free_port());
        let idp = TcpListener::bind((&*address, 0)).unwrap();
        let issuer = format!("http://{}", idp.local_addr().unwrap());
        let origin = format!("https://{address}:{https}");
        certify(folder.path(), &address);
        let provider = provide(idp, &issuer, &origin);
        let server = |number: usize| {
            let port = TcpListener::bind((&*address, 0)).unwrap().local_addr().unwrap().port();
            let data = folder.path().join(format!("data-{number}"));
            std::fs::create_dir(&data).unwrap();
            Server { listen: format!("{address}:{port}"), log: Lines::default(), data, child: None }
        };
        let servers: Vec<_> = (0..servers).map(server).collect();
        let listen: Vec<_> = servers.iter().map(|server| server.listen.clone()).collect();
        let local = Local { name: &address, https, http, servers: &listen, folder: folder.path() };
        let proxy = Proxy::start(kind, &local);
        let plain_origin = format!("http://{address}:{http}");
        let conf = String::new();
        let mut site =
            Self { origin, plain_origin, servers, proxy, address, issuer, dsn, conf, folder, _provider: provider };
        site.conf = site.run(&["add-host", "web1", "--client-conf"]);
        note(Secret::Host, site.conf.lines().find_map(|line| line.strip_prefix("IDENTREE_SHARED_SECRET=")).unwrap());
        site.serve(0);
        let (first, others) = site.servers.split_first().unwrap();
        for other in others {
            for key in ["decision.key", "log.key"] {
                std::fs::copy(first.data.join(key), other.data.join(key)).unwrap();
            }
        }
        for number in 1..site.servers.len() {
            site.serve(number);
        }
        site
    }

    /// Starts a server, and waits until the proxy passes requests on to it.
    pub(crate) fn serve(&mut self, number: usize) {
        let mut command = self.command(number, &["serve"]);
        let server = &mut self.servers[number];
        let from = server.log.count();
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        server.log.follow("serve", child.stderr.take().unwrap());
        server.child = Some(child);
        // Signing in needs the provider, which the server looks for once it listens.
        server.log.after(from, "provider", |line| line.contains("the identity provider") && line.contains("answers"));
        let key = std::fs::read_to_string(server.data.join("decision.key")).unwrap();
        note(Secret::DecisionKey, key.trim_end());
        let browser = self.browser(9);
        loop {
            let ready = browser.get(&format!("{}/readyz", self.origin));
            assert_ne!(ready.status, 0, "{}", ready.head);
            let by = ready.header("x-served-by").unwrap_or_default();
            if ready.status == 200 && (self.servers.len() == 1 || by == self.servers[number].listen) {
                return;
            }
        }
    }

    /// Ends a server with a signal and waits until it is gone.
    pub(crate) fn end(&mut self, number: usize, signal: Signal) {
        let mut child = self.servers[number].child.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.success(), signal == Signal::TERM, "{status}");
    }

    /// Runs a verb beside the servers, over their database; gives what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(0, arguments).output().unwrap();
        identree_evidence::output(arguments[0], &output);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Somebody's browser on a machine of its own: the last part of its address.
    pub(crate) fn browser(&self, machine: u8) -> Browser {
        let (network, _) = self.address.rsplit_once('.').unwrap();
        Browser::new(self.folder(), &self.origin, &format!("{network}.{machine}"))
    }

    /// The host file, and the authority that it names.
    pub(crate) fn host_file(&self) -> identree_pam::Config {
        let mut config = identree_pam::Config::parse(&self.conf, &self.folder().join("client.conf")).unwrap();
        config.ca_pem = Some(std::fs::read(self.folder().join("ca.pem")).unwrap());
        config
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, number: usize, arguments: &[&str]) -> Command {
        note(Secret::Master, MASTER);
        note(Secret::Client, CLIENT_SECRET);
        note(Secret::Metrics, METRICS_TOKEN);
        let server = &self.servers[number];
        let level = if identree_evidence::log_level() == "info" { "debug" } else { identree_evidence::log_level() };
        let mut command = Command::new(env!("CARGO_BIN_EXE_identree"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command
            .env("IDENTREE_TOML_CONFIG_FILE", self.folder().join("none.toml"))
            .env("IDENTREE_DATA_DIR", &server.data)
            .env("IDENTREE_LOG_LEVEL", level)
            .env("IDENTREE_SHARED_SECRET", MASTER)
            .env("IDENTREE_EXTERNAL_URL", &self.origin)
            .env("IDENTREE_LISTEN_ADDR", &server.listen)
            // Where the proxy's connections to a loopback address come from.
            .env("IDENTREE_TRUSTED_PROXIES", "127.0.0.1")
            .env("IDENTREE_METRICS_TOKEN", METRICS_TOKEN)
            .env("IDENTREE_OIDC_ISSUER_URL", &self.issuer)
            .env("IDENTREE_OIDC_CLIENT_ID", "identree")
            .env("IDENTREE_OIDC_CLIENT_SECRET", CLIENT_SECRET)
            .env("IDENTREE_ADMIN_GROUPS", Persona::ADMIN_GROUP);
        if let Some(dsn) = &self.dsn {
            command.env("IDENTREE_DATABASE_DRIVER", "postgres").env("IDENTREE_DATABASE_DSN", dsn);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Outgoing connections never take a port of these addresses: they come from 127.0.0.1.
fn own_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{low}.{}", 128 + high % 64, NEXT.fetch_add(10, Ordering::Relaxed))
}

/// A throw-away authority, and the certificate and key that the recipes name.
fn certify(folder: &Path, address: &str) {
    let Certified { authority, certificate, key } = Certified::of(&[address]);
    // HAProxy wants both in one file.
    let both = format!("{certificate}{key}");
    for (name, text) in [("ca.pem", authority), ("fullchain.pem", certificate), ("key.pem", key), ("both.pem", both)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
