//! One installation: `identree serve` with a plain listener, a proxy in front of it, and the registered host `web1`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use identree_evidence::{Kind as Secret, secret as note};
use identree_server::devidp::Persona;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use crate::browser::Browser;
use crate::lines::Lines;
use crate::provider::{CLIENT_SECRET, provide};
use crate::proxy::{Proxy, free_port};
use crate::recipe::{Kind, Local};

const MASTER: &str = "the master secret of the tests of proxies";

pub(crate) const METRICS_TOKEN: &str = "the-metrics-token-of-the-tests-of-proxies";

pub(crate) struct Site {
    pub(crate) proxy: Proxy,
    /// What the server logs, over all of its starts.
    pub(crate) log: Lines,
    /// `https://…`: where people and hosts go.
    pub(crate) origin: String,
    /// `http://…` of the proxy.
    pub(crate) plain_origin: String,
    /// An address that no other site has.
    address: String,
    listen: String,
    issuer: String,
    conf: String,
    server: Option<Child>,
    folder: tempfile::TempDir,
    _provider: oneshot::Sender<()>,
}

impl Site {
    /// A running server behind a running proxy.
    pub(crate) fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let (https, http) = (free_port(), free_port());
        let listen = {
            let port = TcpListener::bind((&*address, 0)).unwrap().local_addr().unwrap().port();
            format!("{address}:{port}")
        };
        let idp = TcpListener::bind((&*address, 0)).unwrap();
        let issuer = format!("http://{}", idp.local_addr().unwrap());
        let origin = format!("https://{address}:{https}");
        certify(folder.path(), &address);
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let provider = provide(idp, &issuer, &origin);
        let local = Local { name: &address, https, http, server: &listen, folder: folder.path() };
        let proxy = Proxy::start(kind, &local);
        let mut site = Self {
            proxy,
            log: Lines::default(),
            origin,
            plain_origin: format!("http://{address}:{http}"),
            address,
            listen,
            issuer,
            conf: String::new(),
            server: None,
            folder,
            _provider: provider,
        };
        let output = site.command(&["add-host", "web1", "--client-conf"]).output().unwrap();
        identree_evidence::output("add-host", &output);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        site.conf = String::from_utf8(output.stdout).unwrap();
        note(Secret::Host, site.conf.lines().find_map(|line| line.strip_prefix("IDENTREE_SHARED_SECRET=")).unwrap());
        site.serve();
        site
    }

    /// Starts the server, and waits until the proxy passes requests on to it.
    pub(crate) fn serve(&mut self) {
        let from = self.log.count();
        let mut child = self.command(&["serve"]).stderr(Stdio::piped()).spawn().unwrap();
        self.log.follow("serve", child.stderr.take().unwrap());
        self.server = Some(child);
        // Signing in needs the provider, which the server looks for once it listens.
        self.log.after(from, "provider", |line| line.contains("the identity provider") && line.contains("answers"));
        let key = std::fs::read_to_string(self.folder().join("data/decision.key")).unwrap();
        note(Secret::DecisionKey, key.trim_end());
        let browser = self.browser(9);
        loop {
            let ready = browser.get(&format!("{}/readyz", self.origin));
            assert_ne!(ready.status, 0, "{}", ready.head);
            if ready.status == 200 {
                break;
            }
        }
    }

    /// Ends the server with a signal and waits until it is gone.
    pub(crate) fn end(&mut self, signal: Signal) {
        let mut child = self.server.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.success(), signal == Signal::TERM, "{status}");
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

    /// The server's own address.
    pub(crate) fn server_origin(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        note(Secret::Master, MASTER);
        note(Secret::Client, CLIENT_SECRET);
        note(Secret::Metrics, METRICS_TOKEN);
        let mut command = Command::new(env!("CARGO_BIN_EXE_identree"));
        let path = |name: &str| -> PathBuf { self.folder().join(name) };
        let level = if identree_evidence::log_level() == "info" { "debug" } else { identree_evidence::log_level() };
        command.args(arguments).env_clear().stdin(Stdio::null());
        command
            .env("IDENTREE_TOML_CONFIG_FILE", path("none.toml"))
            .env("IDENTREE_DATA_DIR", path("data"))
            .env("IDENTREE_LOG_LEVEL", level)
            .env("IDENTREE_SHARED_SECRET", MASTER)
            .env("IDENTREE_EXTERNAL_URL", &self.origin)
            .env("IDENTREE_LISTEN_ADDR", &self.listen)
            // Where the proxy's connections to a loopback address come from.
            .env("IDENTREE_TRUSTED_PROXIES", "127.0.0.1")
            .env("IDENTREE_METRICS_TOKEN", METRICS_TOKEN)
            .env("IDENTREE_OIDC_ISSUER_URL", &self.issuer)
            .env("IDENTREE_OIDC_CLIENT_ID", "identree")
            .env("IDENTREE_OIDC_CLIENT_SECRET", CLIENT_SECRET)
            .env("IDENTREE_ADMIN_GROUPS", Persona::ADMIN_GROUP);
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(child) = &mut self.server {
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
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // OpenSSL takes a certificate whose issuer has its own name for self-signed.
    authority.distinguished_name.push(DnType::CommonName, "throw-away authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec![address.to_owned()]).unwrap();
    let cert = cert.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
    let key = key.serialize_pem();
    // HAProxy wants both in one file.
    let both = format!("{cert}{key}");
    for (name, text) in [("ca.pem", ca), ("fullchain.pem", cert), ("key.pem", key), ("both.pem", both)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
