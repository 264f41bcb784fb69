//! `identree serve` over a PostgreSQL database that the tests start.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use identree_core::audit::EventKind;
use identree_core::credential::HostSecret;
use identree_core::store::{
    Batch, Change, Collection, ConnectError, DocumentKey, PostgresOptions, PostgresStore, Put, Store as _,
};
use identree_core::wire::v1::{CHALLENGES, Reply, Status};
use identree_evidence::peer::Cluster;
use identree_evidence::{Certified, Kind, secret as note};
use sha2::{Digest as _, Sha256};

use crate::process::{Running, exchange, identree, send, started, until};
use crate::question;

const TOKEN: &str = "the-token-of-the-scraper-of-two-servers";

pub(crate) fn over(dsn: &str, data: &Path) -> Command {
    let mut command = identree(data);
    command.env("IDENTREE_DATABASE_DRIVER", "postgres").env("IDENTREE_DATABASE_DSN", dsn);
    command
}

pub(crate) fn serve(dsn: &str, data: &Path) -> Running {
    started(over(dsn, data), data)
}

/// Adds `web1` beside a running server.
pub(crate) fn added(dsn: &str, data: &Path) -> HostSecret {
    let output = over(dsn, data).args(["add-host", "web1"]).output().unwrap();
    identree_evidence::output("add-host", &output);
    let secret = String::from_utf8(output.stdout).unwrap();
    note(Kind::Host, secret.trim_end());
    HostSecret::parse(secret.trim_end()).unwrap()
}

#[test]
fn two_servers_over_one_database_are_one() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = serve(&dsn, one.path());
    for key in ["decision.key", "log.key"] {
        std::fs::copy(one.path().join(key), other.path().join(key)).unwrap();
    }
    let mut second = serve(&dsn, other.path());
    let secret = added(&dsn, other.path());

    let body = until(201, || send(&first.address, &secret, "POST", CHALLENGES, &question(1)));
    let opened: Reply = serde_json::from_str(&body).unwrap();
    let target = format!("{CHALLENGES}/{}", opened.challenge_id);
    let seen = |body: &str| {
        let reply: Reply = serde_json::from_str(body).unwrap();
        (reply.status, reply.user_code)
    };
    let body = until(200, || send(&second.address, &secret, "GET", &target, ""));
    assert_eq!(seen(&body), (Status::Pending, opened.user_code.clone()));

    // Neither data directory has a database, nor is one held for the other.
    for data in [one.path(), other.path()] {
        assert!(!data.join("identree.db").exists());
    }
    second.stop();
    let second = serve(&dsn, other.path());
    let body = until(200, || send(&second.address, &secret, "GET", &target, ""));
    assert_eq!(seen(&body), (Status::Pending, opened.user_code));
}

/// Two servers sign with one key, or the second does not start.
#[test]
fn a_server_with_another_decision_key_or_the_one_before_does_not_start() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let says = |arguments: &[&str], data: &Path| {
        let output = over(&dsn, data).args(arguments).output().unwrap();
        identree_evidence::output(arguments[0], &output);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let copy = |name| assert!(std::fs::copy(one.path().join(name), other.path().join(name)).unwrap() > 0);
    let _first = serve(&dsn, one.path());
    copy("log.key");
    let (started, said) = says(&["serve"], other.path());
    assert!(!started && said.contains("decision.key is missing"), "{said}");
    assert!(!other.path().join("decision.key").exists(), "none is made in its place");

    // One of its own.
    let apart = tempfile::tempdir().unwrap();
    drop(serve(&cluster.schema(), apart.path()));
    std::fs::copy(apart.path().join("decision.key"), other.path().join("decision.key")).unwrap();
    let (started, said) = says(&["serve"], other.path());
    assert!(!started && said.contains("put the first server's file there"), "{said}");
    let (rotated, said) = says(&["rotate-decision-key"], other.path());
    assert!(!rotated && said.contains("put the first server's file there"), "{said}");
    copy("decision.key");
    let mut second = serve(&dsn, other.path());

    // Rotated on one of them: the other goes on, and starts with the new files only.
    let (rotated, said) = says(&["rotate-decision-key"], one.path());
    assert!(rotated && said.contains("copy both"), "{said}");
    second.terminate();
    let (started, said) = says(&["serve"], other.path());
    assert!(!started && said.contains("put the new file there"), "{said}");
    copy("decision.key");
    copy("decision.keys");
    second = serve(&dsn, other.path());
    second.terminate();
}

/// Rules that are imported beside two servers are those of both, at once.
#[test]
#[expect(clippy::disallowed_methods, reason = "how long real processes take is what is measured")]
fn a_setting_that_is_changed_reaches_every_server_within_a_second() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |data: &Path| {
        note(Kind::Metrics, TOKEN);
        let mut command = over(&dsn, data);
        command.env("IDENTREE_METRICS_TOKEN", TOKEN);
        started(command, data)
    };
    let first = start(data[0].path());
    for key in ["decision.key", "log.key"] {
        std::fs::copy(data[0].path().join(key), data[1].path().join(key)).unwrap();
    }
    let servers = [first, start(data[1].path())];
    let file = data[0].path().join("rules.toml");
    for version in 1..=3 {
        std::fs::write(&file, format!("[[policies]]\nname = \"default\"\nmin_approvals = {version}\n")).unwrap();
        let mut import = over(&dsn, data[1].path());
        let output = import.args(["config", "import", "policies"]).arg(&file).output().unwrap();
        identree_evidence::output("config", &output);
        assert!(output.status.success());
        let told = Instant::now();
        let line = format!("identree_config_version{{setting=\"policies\"}} {version}");
        for server in &servers {
            until(1, || {
                let head = format!("GET /metrics HTTP/1.1\r\nAuthorization: Bearer {TOKEN}");
                let (_, body) = exchange(&server.address, &head, "");
                (u16::from(body.lines().any(|one| one == line)), body)
            });
        }
        println!(
            "version {version} was in force on both servers {} ms after it was imported",
            told.elapsed().as_millis()
        );
        assert!(told.elapsed() < Duration::from_secs(4), "a second, and what a busy machine adds");
    }
}

#[test]
fn a_database_that_cannot_be_used_is_told_without_its_password() {
    let Some(cluster) = Cluster::shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let foreign = cluster.schema();
    cluster.sql(&foreign, "CREATE TABLE recipes (name text)");
    let wrong = foreign.replace("identree:", "identree:wrong-");
    let nowhere = format!("postgres://identree:{}@127.0.0.1:9/identree", "hunter22".repeat(4));
    let unknown = nowhere.replace("127.0.0.1:9", "nobody.invalid:5432");
    // Connections are taken, and nobody ever says anything.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = nowhere.replace("127.0.0.1:9", &listener.local_addr().unwrap().to_string());
    let refused = "the database identree at 127.0.0.1:9 cannot be used now: error communicating with database: Connection refused";
    for (dsn, says) in [
        (&foreign, "belongs to another program (it holds recipes)"),
        (&wrong, "password authentication failed"),
        (&nowhere, refused),
        (&unknown, "the database identree at nobody.invalid:5432 cannot be used now: "),
        (&silent, "it says nothing"),
    ] {
        let output = over(dsn, dir.path()).arg("serve").output().unwrap();
        identree_evidence::output("serve", &output);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(says), "{says}\n{text}");
        assert!(!text.contains("pool timed out"), "{text}");
        let password = dsn.split([':', '@']).nth(2).unwrap();
        assert!(!text.contains(password), "the password is told:\n{text}");
    }
    assert_eq!(
        cluster.sql(&foreign, "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"),
        "1"
    );
}

/// With the statement of the manual. Before it any role may listen, and is told names, no content.
#[tokio::test]
async fn who_may_not_connect_hears_nothing() {
    const MANUAL: &str = include_str!("../../../docs/operations.md");
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let dsn = cluster.schema();
    let (_, schema) = dsn.split_once("search_path]=").unwrap();
    let channel = format!("identree_{}", identree_core::text::hex(&Sha256::digest(schema)[..4]));
    let password = dsn.split([':', '@']).nth(2).unwrap();
    cluster.admin("postgres", &format!("CREATE ROLE stranger LOGIN PASSWORD '{password}'"));
    let stranger = || {
        let mut psql = cluster.program("psql");
        psql.args(["-X", "-A", "-t", "-h", "127.0.0.1", "-U", "stranger", "-d", "identree", "-p"]);
        psql.arg(cluster.port().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        psql.spawn().unwrap()
    };

    let store = PostgresStore::connect(&dsn, PostgresOptions::default()).await.unwrap();
    let mut listening = stranger();
    let (mut says, mut told) = (listening.stdin.take().unwrap(), String::new());
    let mut hears = BufReader::new(listening.stdout.take().unwrap());
    writeln!(says, "LISTEN {channel};").unwrap();
    hears.read_line(&mut told).unwrap();
    assert_eq!(told, "LISTEN\n");
    let put = Some(Put { bytes: b"what it holds".to_vec(), expires_at: None });
    let change = Change::Document { key: DocumentKey::new(Collection("hosts"), "web9"), expect: None, put };
    let event = identree_core::testkit::fakes::event(1, EventKind::HostAdded);
    store.commit(Batch::of(change, event)).await.unwrap();
    writeln!(says, "SELECT 'over';").unwrap();
    drop(says);
    hears.read_to_string(&mut told).unwrap();
    assert!(told.contains(r#"["hosts","web9"]"#) && !told.contains("what it holds"), "{told}");
    assert!(listening.wait().unwrap().success());

    let (_, statement) = MANUAL.split_once("--command='REVOKE ").unwrap();
    cluster.admin("postgres", &format!("REVOKE {}", statement.split('\'').next().unwrap()));
    let refused = stranger().wait_with_output().unwrap();
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && why.contains("permission denied for database"), "{why}");
    drop(store);
    PostgresStore::connect(&dsn, PostgresOptions::default()).await.unwrap().probe().await.unwrap();
}

#[tokio::test]
async fn the_way_to_the_database_is_as_safe_as_its_address_says() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (ours, others) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    let of_this = || Certified::of(&["127.0.0.1"]);
    let Certified { authority, certificate, key } = of_this();
    std::fs::write(&ours, authority).unwrap();
    std::fs::write(&others, of_this().authority).unwrap();
    cluster.require_tls(&certificate, &key);
    let (ours, others) = (ours.display(), others.display());
    let dsn = cluster.schema();
    let connect = async |more: String, host: &str| {
        let dsn = format!("{dsn}&{more}").replace("127.0.0.1", host);
        PostgresStore::connect(&dsn, PostgresOptions::default()).await
    };
    for (more, host) in [
        (format!("sslmode=verify-full&sslrootcert={ours}"), "127.0.0.1"),
        (format!("sslmode=verify-ca&sslrootcert={ours}"), "localhost"),
        ("sslmode=require".to_owned(), "localhost"),
    ] {
        let store = connect(format!("{more}&application_name=tls"), host)
            .await
            .unwrap_or_else(|error| panic!("{more}: {error}"));
        store.probe().await.unwrap();
        let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tls' AND NOT ssl";
        assert_eq!(cluster.admin("postgres", plain), "0", "{more}");
    }
    for (more, host, says) in [
        (format!("sslmode=verify-full&sslrootcert={ours}"), "localhost", "not valid for name"),
        (format!("sslmode=verify-full&sslrootcert={others}"), "127.0.0.1", "certificate"),
        ("sslmode=verify-full".to_owned(), "127.0.0.1", "certificate"),
        ("sslmode=disable".to_owned(), "127.0.0.1", "no encryption"),
    ] {
        let error = connect(more.clone(), host).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ConnectError::Unavailable { .. }) && text.contains(says), "{more}: {text}");
    }
}
