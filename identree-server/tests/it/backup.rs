//! `identree backup` beside a server under load, `identree restore` into another directory, and a server that goes on from there.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use identree_core::audit::EventKind;
use identree_core::store::{Documents as _, Page, SqliteStore};
use identree_core::testkit::journal::recorded;
use identree_core::time::{Clock as _, SystemClock};
use identree_core::wire::v1::{CHALLENGES, Reply};

use crate::process::{Running, added, identree, send, started, until, verb};

fn busy(data: &Path) -> Running {
    let mut command = identree(data);
    for limit in ["IDENTREE_MAX_PENDING_PER_USER", "IDENTREE_MAX_PENDING_PER_HOST", "IDENTREE_MAX_PENDING"] {
        command.env(limit, "100000");
    }
    command.env("IDENTREE_RATE_PER_HOST", "0");
    started(command, data)
}

fn question(n: u64) -> String {
    serde_json::json!({
        "v": 1, "nonce": format!("{n:064x}"), "service": "sudo", "username": "ann", "run_as_user": "root",
        "source": "caller_command_line", "argv": ["sudo", "whoami"],
    })
    .to_string()
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_was_answered_before_a_backup_under_load_is_there_after_the_restore() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (data, other) = (dir.path(), elsewhere.path());
    let server = busy(data);
    let secret = added(data, "web1");
    until(201, || send(&server.address, &secret, "POST", CHALLENGES, &question(0)));
    let (opened, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let askers: Vec<_> = (1..=2_u64)
        .map(|asker| {
            let (opened, stop) = (Arc::clone(&opened), Arc::clone(&stop));
            let (address, secret) = (server.address.clone(), secret.clone());
            std::thread::spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (status, body) = send(&address, &secret, "POST", CHALLENGES, &question(asker << 32 | n));
                    assert_eq!(status, 201, "{body}");
                    let reply: Reply = serde_json::from_str(&body).unwrap();
                    opened.lock().unwrap().push(reply.challenge_id);
                }
            })
        })
        .collect();
    while opened.lock().unwrap().len() < 60 {
        std::thread::yield_now();
    }
    let before = opened.lock().unwrap().clone();
    let file = elsewhere.path().join("identree-backup");
    let made = verb(data, &["backup", file.to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made));
    assert!(text(&made).contains("decision.key") && text(&made).contains("IDENTREE_SHARED_SECRET"), "{}", text(&made));
    let again = verb(data, &["backup", file.to_str().unwrap()]);
    assert!(!again.status.success() && text(&again).contains("nothing is overwritten"), "{}", text(&again));
    stop.store(true, Ordering::Relaxed);
    askers.into_iter().for_each(|asker| asker.join().unwrap());

    // Not over a database, and not under a server.
    let refused = verb(data, &["restore", file.to_str().unwrap()]);
    assert!(!refused.status.success() && text(&refused).contains("another identree serves it"), "{}", text(&refused));
    drop(server);
    let refused = verb(data, &["restore", file.to_str().unwrap()]);
    assert!(!refused.status.success() && text(&refused).contains("nothing is overwritten"), "{}", text(&refused));

    let restored = verb(other, &["restore", file.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", text(&restored));
    let keyless = verb(other, &["serve"]);
    assert!(!keyless.status.success() && text(&keyless).contains("log.key is missing"), "{}", text(&keyless));
    assert!(!other.join("decision.key").exists(), "no new one is left in the way of the old");
    for key in ["decision.key", "log.key"] {
        std::fs::copy(data.join(key), other.join(key)).unwrap();
    }
    let server = busy(other);
    for id in &before {
        let (status, body) = send(&server.address, &secret, "GET", &format!("{CHALLENGES}/{id}"), "");
        assert_eq!(status, 200, "{id}: {body}");
    }
    let (status, body) = send(&server.address, &secret, "POST", CHALLENGES, &question(9 << 32));
    assert_eq!(status, 201, "it goes on: {body}");
    drop(server);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (first, second) = (SqliteStore::open_in(data).await.unwrap(), SqliteStore::open_in(other).await.unwrap());
        let (made, brought) = (recorded(&first).await, recorded(&second).await);
        let of = |events: &[identree_core::audit::AuditEvent], kind| {
            events
                .iter()
                .filter(|event| event.kind == kind)
                .map(|event| event.details["size"].clone())
                .collect::<Vec<_>>()
        };
        let bytes = std::fs::metadata(&file).unwrap().len().to_string();
        assert_eq!(of(&made, EventKind::BackupMade), std::slice::from_ref(&bytes));
        assert_eq!(of(&brought, EventKind::BackupRestored), [bytes]);
        assert!(of(&brought, EventKind::BackupMade).is_empty());
    });
}

#[test]
fn nobody_is_signed_in_after_a_restore() {
    use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, Store as _};
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = elsewhere.path().join("identree-backup");
    let collections = ["web-sessions", "sign-ins", "people"].map(Collection);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open_in(dir.path()).await.unwrap();
        for of in collections {
            let end = SystemClock.now() + std::time::Duration::from_secs(3600);
            let put = Some(Put { bytes: b"{}".to_vec(), expires_at: Some(end) });
            let change = Change::Document { key: DocumentKey::new(of, "one"), expect: None, put };
            store.commit(Batch::unrecorded(vec![change])).await.unwrap();
        }
    });
    assert!(verb(dir.path(), &["backup", file.to_str().unwrap()]).status.success());
    let restored = verb(elsewhere.path(), &["restore", file.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", text(&restored));
    runtime.block_on(async {
        let store = SqliteStore::open_in(elsewhere.path()).await.unwrap();
        let mut left = Vec::new();
        for of in collections {
            left.push(store.documents(of, SystemClock.now(), Page::first(9)).await.unwrap().items.len());
        }
        assert_eq!(left, [0, 0, 1]);
    });
}

#[test]
fn a_postgres_database_is_copied_by_its_own_tools() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = identree(dir.path());
    command.env("IDENTREE_DATABASE_DRIVER", "postgres").env("IDENTREE_DATABASE_DSN", "postgres://localhost/identree");
    for verb in ["backup", "restore"] {
        let refused = command.args([verb, "/nowhere/file"]).output().unwrap();
        assert!(!refused.status.success() && text(&refused).contains("pg_dump"), "{}", text(&refused));
        command = identree(dir.path());
        command.env("IDENTREE_DATABASE_DRIVER", "pgx").env("IDENTREE_DATABASE_DSN", "postgres://localhost/identree");
    }
}

/// As root, into the service's directory: everything that is made belongs to the service.
#[test]
fn what_root_restores_belongs_to_the_owner_of_the_directory() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    const SERVICE: u32 = 4711;
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = elsewhere.path().join("identree-backup");
    let data = elsewhere.path().join("data");
    std::fs::create_dir(&data).unwrap();
    if chown(&data, Some(SERVICE), Some(SERVICE)).is_err() {
        eprintln!("not root: nothing to look at");
        return;
    }
    let _secret = added(dir.path(), "web1");
    assert!(verb(dir.path(), &["backup", file.to_str().unwrap()]).status.success());
    let restored = verb(&data, &["restore", file.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", text(&restored));
    let files: Vec<_> = std::fs::read_dir(&data).unwrap().map(Result::unwrap).collect();
    assert!(files.iter().any(|file| file.file_name() == "identree.db"));
    for file in files {
        let metadata = file.metadata().unwrap();
        let stands = (metadata.uid(), metadata.gid(), metadata.mode() & 0o777);
        assert_eq!(stands, (SERVICE, SERVICE, 0o600), "{}", file.path().display());
    }
}
