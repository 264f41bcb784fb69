//! `identree serve` over a PostgreSQL database that the tests start.

use std::path::Path;
use std::process::Command;

use identree_core::credential::HostSecret;
use identree_core::wire::v1::{CHALLENGES, Reply, Status};
use identree_evidence::peer::Cluster;
use identree_evidence::{Kind, secret as note};

use crate::process::{Running, identree, send, started, until};
use crate::question;

fn over(dsn: &str, data: &Path) -> Command {
    let mut command = identree(data);
    command.env("IDENTREE_DATABASE_DRIVER", "postgres").env("IDENTREE_DATABASE_DSN", dsn);
    command
}

fn serve(dsn: &str, data: &Path) -> Running {
    started(over(dsn, data), data)
}

#[test]
fn two_servers_over_one_database_are_one() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = serve(&dsn, one.path());
    std::fs::copy(one.path().join("decision.key"), other.path().join("decision.key")).unwrap();
    let mut second = serve(&dsn, other.path());
    let output = over(&dsn, other.path()).args(["add-host", "web1"]).output().unwrap();
    identree_evidence::output("add-host", &output);
    let secret = String::from_utf8(output.stdout).unwrap();
    note(Kind::Host, secret.trim_end());
    let secret = HostSecret::parse(secret.trim_end()).unwrap();

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

#[test]
fn a_database_that_cannot_be_used_is_told_without_its_password() {
    let Some(cluster) = Cluster::shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let foreign = cluster.schema();
    cluster.sql(&foreign, "CREATE TABLE recipes (name text)");
    let wrong = foreign.replace("identree:", "identree:wrong-");
    let nowhere = format!("postgres://identree:{}@127.0.0.1:9/identree", "hunter22".repeat(4));
    for (dsn, says) in [
        (&foreign, "belongs to another program (it holds recipes)"),
        (&wrong, "password authentication failed"),
        (&nowhere, "the database identree at 127.0.0.1:9 cannot be used now"),
    ] {
        let output = over(dsn, dir.path()).arg("serve").output().unwrap();
        identree_evidence::output("serve", &output);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(says), "{says}\n{text}");
        let password = dsn.split([':', '@']).nth(2).unwrap();
        assert!(!text.contains(password), "the password is told:\n{text}");
    }
    assert_eq!(
        cluster.sql(&foreign, "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"),
        "1"
    );
}
