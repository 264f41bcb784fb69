//! Several servers over one PostgreSQL, each with a line of its own to it, and nothing in front: a caller picks a server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use identree_core::audit::AuditEvent;
use identree_core::challenge::ChallengeRecord;
use identree_core::store::{Journal as _, Page, PostgresStore};
use identree_core::testkit::journal::recorded;
use identree_evidence::peer::Cluster;
use identree_evidence::{Kind, secret as note};
use rustix::process::Signal;

use super::relay::Relay;
use crate::host::{Answer, Host};
use crate::person::Person;
use crate::place::{UNCAPPED, questions};
use crate::provider::{CLIENT_SECRET, RUNTIME, free_port, own_address, provide};
use crate::serving::Serving;

const MASTER: &str = "the master secret of the cluster's tests";
/// How many servers.
pub(crate) const SERVERS: usize = 3;
/// Longer than a server waits for its database.
const DEADLINE: Duration = Duration::from_secs(15);

pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) servers: Vec<Server>,
    folder: tempfile::TempDir,
    dsn: String,
    issuer: String,
    /// What is configured as the address of all of them.
    authority: String,
    _provider: tokio::sync::oneshot::Sender<()>,
}

pub(crate) struct Server {
    pub(crate) listen: String,
    pub(crate) line: Relay,
    pub(crate) running: Option<Serving>,
    /// Its name among the servers, since its last start.
    pub(crate) replica: String,
    data: PathBuf,
}

impl Site {
    /// Running servers; none where something is not installed.
    pub(crate) fn start(faults: usize) -> Option<Self> {
        let settings = ["fsync=off", "max_connections=100", "min_wal_size=2MB", "max_wal_size=64MB"];
        // What is asked between the faults is kept.
        let cluster =
            if confinable() { Cluster::start_within(256 + 4 * faults, &settings) } else { Cluster::start(&settings) }?;
        let dsn = cluster.schema();
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let (provider, at) = free_port(&address);
        let server = |number: usize| {
            let data = folder.path().join(format!("data-{number}"));
            std::fs::create_dir(&data).unwrap();
            let listen = format!("{address}:{}", free_port(&address).1);
            Server { listen, line: Relay::to(cluster.port()), running: None, replica: String::new(), data }
        };
        let servers: Vec<_> = (0..SERVERS).map(server).collect();
        let authority = servers[0].listen.clone();
        let issuer = format!("http://{address}:{at}");
        let provider = provide(provider, &issuer, &format!("http://{authority}/callback"));
        let mut site = Self { cluster, servers, folder, dsn, issuer, authority, _provider: provider };
        site.serve(0);
        for number in 1..SERVERS {
            for key in ["decision.key", "log.key"] {
                std::fs::copy(site.servers[0].data.join(key), site.servers[number].data.join(key)).unwrap();
            }
            site.serve(number);
        }
        Some(site)
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn serve(&mut self, number: usize) {
        let mut running = Serving::spawn(&mut self.command(number, &["serve"]));
        running.until("listening plain=");
        let said = running.said().rsplit("replica=").next().unwrap();
        let server = &mut self.servers[number];
        server.replica = said.split_whitespace().next().unwrap().trim_matches('"').to_owned();
        server.running = Some(running);
        for key in ["decision.key", "log.key"] {
            note(Kind::DecisionKey, std::fs::read_to_string(self.servers[number].data.join(key)).unwrap().trim_end());
        }
    }

    /// Ends a server with a signal and waits until it is gone.
    pub(crate) fn end(&mut self, number: usize, signal: Signal) {
        if let Some(running) = self.servers[number].running.take() {
            running.signal(signal);
            running.ended();
        }
    }

    pub(crate) fn signal(&self, number: usize, signal: Signal) {
        if let Some(running) = &self.servers[number].running {
            running.signal(signal);
        }
    }

    /// Which server seals now, if any does.
    pub(crate) fn sealer(&self) -> Option<usize> {
        let holder = self.cluster.sql(&self.dsn, "SELECT holder FROM leases WHERE name = 'seal'");
        self.servers.iter().position(|server| server.replica == holder.trim())
    }

    /// Moves the clock of the last server by so many seconds.
    pub(crate) fn step(&self, offset: i64) {
        let aside = self.folder.path().join("offset.new");
        std::fs::write(&aside, format!("{offset:+}\n")).unwrap();
        std::fs::rename(aside, self.folder.path().join("offset")).unwrap();
    }

    /// Whether this server says that it can decide.
    pub(crate) fn is_ready(&self, number: usize) -> bool {
        let text = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.authority);
        send(&self.servers[number].listen, &text).is_ok_and(|answer| answer.status == 200)
    }

    pub(crate) fn host(&self, name: &str) -> Host {
        Host::registered(name, self.run(&["add-host", name, "--client-conf"]), self.authority.clone())
    }

    pub(crate) fn person(&self, name: &str) -> Person {
        Person::sign_in(&format!("http://{}", self.authority), name)
    }

    /// Runs a verb beside the servers; gives what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(0, arguments).output().unwrap();
        identree_evidence::output(arguments[0], &output);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Verifies a copy of the log; gives what is said. As signed, but odd (3), is fine where a clock was set.
    pub(crate) fn verify(&self, copy: &Path, key: &str) -> String {
        let output = self.command(0, &["audit", "verify", copy.to_str().unwrap(), "--key", key]).output().unwrap();
        identree_evidence::output("audit", &output);
        let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        assert!([Some(0), Some(3)].contains(&output.status.code()), "{:?}: {said}", output.status);
        said
    }

    /// All questions and all events, once everything is sealed.
    pub(crate) fn stored(&self) -> (Vec<ChallengeRecord>, Vec<AuditEvent>) {
        RUNTIME.block_on(async {
            let store = PostgresStore::connect(&self.dsn, Default::default()).await.unwrap();
            while !store.unsealed(Page::first(1)).await.unwrap().items.is_empty() {
                tokio::task::yield_now().await;
            }
            (questions(&store).await, recorded(&store).await)
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the servers shipped to their files.
    pub(crate) fn shipped(&self) -> Vec<String> {
        let text = |server: &Server| std::fs::read_to_string(server.data.join("audit.jsonl")).unwrap_or_default();
        self.servers.iter().map(text).collect()
    }

    fn command(&self, number: usize, arguments: &[&str]) -> Command {
        note(Kind::Master, MASTER);
        note(Kind::Client, CLIENT_SECRET);
        let server = &self.servers[number];
        let serving = arguments == ["serve"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_identree"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        // A verb reaches the database whatever becomes of the server's line.
        let port = if serving { server.line.port } else { self.cluster.port() };
        let dsn = self.dsn.replace(&format!(":{}/", self.cluster.port()), &format!(":{port}/"));
        command
            .env("IDENTREE_TOML_CONFIG_FILE", self.path("none.toml"))
            .env("IDENTREE_DATA_DIR", &server.data)
            .env("IDENTREE_DATABASE_DRIVER", "postgres")
            .env("IDENTREE_DATABASE_DSN", dsn)
            .env("IDENTREE_DATABASE_MAX_OPEN_CONNS", "12")
            .env("IDENTREE_LOG_LEVEL", identree_evidence::log_level())
            .env("IDENTREE_SHARED_SECRET", MASTER)
            .env("IDENTREE_EXTERNAL_URL", format!("http://{}", self.authority))
            .env("IDENTREE_LISTEN_ADDR", &server.listen)
            .env("IDENTREE_OIDC_ISSUER_URL", &self.issuer)
            .env("IDENTREE_OIDC_CLIENT_ID", "identree")
            .env("IDENTREE_OIDC_CLIENT_SECRET", CLIENT_SECRET)
            .env("IDENTREE_CHALLENGE_TTL", "6h")
            // A sink that works, and one that never does.
            .env("IDENTREE_AUDIT_LOG", format!("file:{}", server.data.join("audit.jsonl").display()))
            .env("IDENTREE_AUDIT_LOG_MAX_SIZE", "0")
            // Nobody listens there.
            .env("IDENTREE_AUDIT_SPLUNK_HEC_URL", "http://127.0.0.1:9/services/collector/event")
            .env("IDENTREE_AUDIT_SPLUNK_TOKEN", "no-token-that-anybody-takes")
            .envs(UNCAPPED);
        if number + 1 == SERVERS
            && serving
            && let Some(library) = faketime()
        {
            self.step(0);
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.path("offset"))
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }
}

/// Whether PostgreSQL can be given a disk of its own, to fill.
pub(crate) fn confinable() -> bool {
    rustix::process::geteuid().is_root()
}

/// The library that gives a process another clock, where it is installed.
pub(crate) fn faketime() -> Option<String> {
    let library = ["x86_64", "aarch64"].map(|arch| format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1"));
    library.into_iter().find(|path| Path::new(path).exists())
}

/// Sends a request to a server; an error if the connection dies, or it takes too long.
pub(crate) fn send(listen: &str, text: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(listen)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Answer::parse(&answer)
}
