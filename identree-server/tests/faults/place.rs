//! One installation: a data directory, the development provider, and `identree serve` as often as the test wants it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use identree_core::audit::AuditEvent;
use identree_core::challenge::ChallengeRecord;
use identree_core::id::ChallengeId;
use identree_core::store::{ChallengeFilter, Challenges, Page, SqliteStore};
use identree_core::testkit::journal::recorded;
use identree_evidence::{Kind, secret as note};
use identree_server::devidp::Persona;

use crate::host::Host;
use crate::person::Person;
use crate::provider::{CLIENT_SECRET, RUNTIME, free_port, own_address, provide};
use crate::serving::Serving;

const MASTER: &str = "the master secret of this test only";
/// The caps and rates are out of the way: here one person asks thousands of questions.
pub(crate) const UNCAPPED: [(&str, &str); 7] = [
    ("IDENTREE_MAX_PENDING", "1000000"),
    ("IDENTREE_MAX_PENDING_PER_HOST", "1000000"),
    ("IDENTREE_MAX_PENDING_PER_USER", "1000000"),
    ("IDENTREE_DENIAL_COOLDOWN", "0s"),
    ("IDENTREE_RATE_PER_HOST", "0"),
    ("IDENTREE_RATE_PER_USER", "0"),
    ("IDENTREE_RATE_PER_ADDRESS", "0"),
];

pub(crate) struct Place {
    folder: tempfile::TempDir,
    address: String,
    port: u16,
    issuer: String,
    pub(crate) settings: Vec<(&'static str, String)>,
    _provider: tokio::sync::oneshot::Sender<()>,
}

impl Place {
    /// An empty data directory.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let address = own_address();
        let (provider, at) = free_port(&address);
        let (_, port) = free_port(&address);
        let issuer = format!("http://{address}:{at}");
        let stop = provide(provider, &issuer, &format!("http://{address}:{port}/callback"));
        let settings = UNCAPPED.into_iter().chain([("IDENTREE_CHALLENGE_TTL", "10m")]);
        let settings = settings.map(|(name, value)| (name, value.to_owned())).collect();
        Self { folder, address, port, issuer, settings, _provider: stop }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// `identree` on this data directory. The wrapper stands before the program's name and becomes the program: `strace`,
    /// `unshare` and the like.
    fn command(&self, wrapper: &[&str], arguments: &[&str]) -> Command {
        note(Kind::Master, MASTER);
        note(Kind::Client, CLIENT_SECRET);
        let mut words = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_identree")]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(arguments).env_clear().stdin(Stdio::null());
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("IDENTREE_TOML_CONFIG_FILE", self.path("none.toml"))
            .env("IDENTREE_DATA_DIR", self.data())
            .env("IDENTREE_LOG_LEVEL", identree_evidence::log_level())
            .env("IDENTREE_SHARED_SECRET", MASTER)
            .env("IDENTREE_EXTERNAL_URL", format!("http://{}", self.authority()))
            .env("IDENTREE_LISTEN_ADDR", self.authority())
            .env("IDENTREE_OIDC_ISSUER_URL", &self.issuer)
            .env("IDENTREE_OIDC_CLIENT_ID", "identree")
            .env("IDENTREE_OIDC_CLIENT_SECRET", CLIENT_SECRET)
            .env("IDENTREE_ADMIN_GROUPS", Persona::ADMIN_GROUP)
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the server, which may fail.
    pub(crate) fn start(&self, wrapper: &[&str]) -> Serving {
        Serving::spawn(&mut self.command(wrapper, &["serve"]))
    }

    /// Starts a second server on the same data, at another address.
    pub(crate) fn start_beside(&self) -> Serving {
        Serving::spawn(self.command(&[], &["serve"]).env("IDENTREE_LISTEN_ADDR", "127.0.0.1:0"))
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn serve(&self) -> Serving {
        self.serve_in(&[])
    }

    pub(crate) fn serve_in(&self, wrapper: &[&str]) -> Serving {
        let mut serving = self.start(wrapper);
        serving.until("listening plain=");
        serving
    }

    pub(crate) fn host(&self, name: &str) -> Host {
        self.host_in(&[], name)
    }

    /// Registers a host; the wrapper brings the program to where the data is.
    pub(crate) fn host_in(&self, wrapper: &[&str], name: &str) -> Host {
        let output = self.command(wrapper, &["add-host", name, "--client-conf"]).output().unwrap();
        identree_evidence::output("add-host", &output);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Host::registered(name, String::from_utf8(output.stdout).unwrap(), self.authority())
    }

    /// Somebody who has just signed in.
    pub(crate) fn person(&self, name: &str) -> Person {
        Person::sign_in(&format!("http://{}", self.authority()), name)
    }

    /// Everything in the database: the questions, and the journal's events, oldest first.
    pub(crate) fn stored(&self) -> (Vec<ChallengeRecord>, Vec<AuditEvent>) {
        RUNTIME.block_on(async {
            let store = SqliteStore::open_in(&self.data()).await.unwrap();
            (questions(&store).await, events(&store, 0).await)
        })
    }

    /// These questions, and the events after the first `known` ones.
    pub(crate) fn stored_of(&self, ids: &[ChallengeId], known: u64) -> (Vec<Option<ChallengeRecord>>, Vec<AuditEvent>) {
        RUNTIME.block_on(async {
            let store = SqliteStore::open_in(&self.data()).await.unwrap();
            let mut records = Vec::new();
            for id in ids {
                records.push(store.challenge(*id).await.unwrap().map(|record| (*record).clone()));
            }
            (records, events(&store, known).await)
        })
    }

    /// Asserts what SQLite itself says of the file.
    pub(crate) fn assert_whole(&self) {
        let program =
            "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchall())";
        let mut python = Command::new("python3");
        let output = python.args(["-c", program]).arg(self.data().join("identree.db")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[('ok',)]", "{output:?}");
    }
}

/// All of a store's questions.
pub(crate) async fn questions(store: &impl Challenges) -> Vec<ChallengeRecord> {
    let (mut records, mut page) = (Vec::new(), Page::first(1000));
    loop {
        let paged = store.challenges(&ChallengeFilter::default(), page).await.unwrap();
        records.extend(paged.items.iter().map(|record| (**record).clone()));
        let Some(next) = paged.next else { return records };
        page.after = Some(next);
    }
}

/// The journal numbers its events without gaps, so that a count is a place.
async fn events(store: &SqliteStore, known: u64) -> Vec<AuditEvent> {
    recorded(store).await.into_iter().skip(usize::try_from(known).unwrap()).collect()
}
