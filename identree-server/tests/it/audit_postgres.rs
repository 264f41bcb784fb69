//! `identree audit …` over a PostgreSQL database whose log a real server has sealed, and over one that is none of ours or away.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use identree_core::wire::v1::{CHALLENGES, Reply};
use identree_evidence::peer::{Cluster, Stop};
use tempfile::TempDir;

use crate::postgres::{added, over, serve};
use crate::process::{identree, send, until};
use crate::question;

/// The verbs that read the database, and what each needs.
const VERBS: [&[&str]; 5] =
    [&["key"], &["export", "copy"], &["prove", "0"], &["tail"], &["erase", "ann", "--yes", "--wait", "1ms"]];

/// Who runs the verbs: an address, a data directory, and where they are run.
struct Desk<'a> {
    dsn: &'a str,
    data: &'a Path,
    work: &'a TempDir,
}

impl Desk<'_> {
    /// What a verb prints, what it tells beside that, and its exit status.
    fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        let mut command = over(self.dsn, self.data);
        let output = command.current_dir(self.work.path()).arg("audit").args(arguments).output().unwrap();
        identree_evidence::output("audit", &output);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code().unwrap())
    }

    /// What a verb prints that has to succeed.
    fn printed(&self, arguments: &[&str]) -> String {
        let (printed, told, code) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}\n{printed}{told}");
        printed
    }

    /// Runs `verify` as an auditor does, who has no settings at all.
    fn verified(&self, arguments: &[&str]) -> (String, i32) {
        let mut command = identree(self.data);
        let output = command.env_clear().current_dir(self.work.path()).args(["audit", "verify"]).args(arguments);
        let output = output.output().unwrap();
        identree_evidence::output("audit", &output);
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    }

    /// `tail --follow`, reading until a line has this text.
    fn follow(&self, text: &str) -> (Child, impl Iterator<Item = String> + use<>) {
        let mut command = over(self.dsn, self.data);
        let command = command.args(["audit", "tail", "--follow"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let printed = identree_evidence::tee("audit", child.stdout.take().unwrap());
        let mut lines = BufReader::new(printed).lines().map(Result::unwrap);
        assert!(lines.by_ref().any(|line| line.contains(text)), "it ended before it told of {text}");
        (child, lines)
    }
}

#[test]
fn a_log_that_servers_share_is_read_copied_proven_and_erased() {
    let Some(cluster) = Cluster::shared() else { return };
    let (dsn, data, work) = (cluster.schema(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let desk = Desk { dsn: &dsn, data: data.path(), work: &work };
    let mut server = serve(&dsn, data.path());
    let key = desk.printed(&["key"]);
    std::fs::write(work.path().join("key.txt"), &key).unwrap();
    let secret = added(&dsn, data.path());
    let opened = |nonce| {
        let body = until(201, || send(&server.address, &secret, "POST", CHALLENGES, &question(nonce)));
        serde_json::from_str::<Reply>(&body).unwrap().challenge_id
    };

    // Beside the running server: what is opened while somebody watches is shown.
    let first = opened(1);
    let (mut child, mut lines) = desk.follow(&format!("question={first}"));
    let (status, body) = send(&server.address, &secret, "DELETE", &format!("{CHALLENGES}/{first}"), "");
    assert_eq!(status, 200, "{body}");
    let told = lines.find(|line| line.contains(&format!("question={first}")));
    assert!(told.is_some_and(|line| line.contains("challenge_cancelled")), "the end of the question follows");
    child.kill().unwrap();
    child.wait().unwrap();
    let second = opened(2);
    server.terminate();

    // Without a server: all that happened is sealed.
    let (said, told, code) = desk.run(&["export", "copy", "--with-personal"]);
    assert!(
        code == 0 && said.is_empty() && told.contains("verify it with: identree audit verify copy"),
        "{said}{told}"
    );
    let (said, code) = desk.verified(&["copy", "--key", "key.txt"]);
    assert!(code == 0 && said.ends_with("as it was signed\n"), "{said}");
    std::fs::copy(work.path().join("copy/checkpoint"), work.path().join("kept.txt")).unwrap();
    for (id, events) in [(&first, 2), (&second, 1)] {
        let proof = desk.printed(&["prove", &id.to_string(), "--against", "kept.txt"]);
        std::fs::write(work.path().join("proof.json"), &proof).unwrap();
        let (said, code) = desk.verified(&["--proof", "proof.json", "--key", "key.txt"]);
        let of = said.lines().filter(|line| line.contains(&format!("question={id}"))).count();
        assert!(code == 0 && of == events && said.contains("subject=ann"), "{said}");
        let forged = proof.replace("challenge_created", "challenge_allowed");
        std::fs::write(work.path().join("forged.json"), forged).unwrap();
        assert_eq!(desk.verified(&["--proof", "forged.json", "--key", "key.txt"]).1, 1);
    }
    let json = desk.printed(&["tail", "-n", "1000", "--json"]);
    let seqs = json.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64());
    assert!(seqs.eq((0..json.lines().count() as u64).map(Some)), "each entry once, in order:\n{json}");

    // A person is erased, and a server that starts again goes on with the same log.
    let (_, told, code) = desk.run(&["erase", "ann", "--yes", "--wait", "1ms"]);
    assert!(code == 0 && told.contains("the personal data of 3 entries is erased"), "{told}");
    assert!(!desk.printed(&["tail", "-n", "1000"]).contains("ann"));
    serve(&dsn, data.path()).terminate();
    assert_eq!(desk.printed(&["key"]), key);
    desk.printed(&["export", "after", "--with-personal"]);
    let (said, code) = desk.verified(&["after", "--key", "key.txt", "--checkpoint", "kept.txt"]);
    assert!(code == 0 && said.contains(", 3 erased"), "{said}");
}

#[test]
fn a_database_that_is_not_ours_or_away_is_told_and_left_alone() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (foreign, ours) = (cluster.schema(), cluster.schema());
    cluster.sql(&foreign, "CREATE TABLE recipes (name text)");
    let fails = |dsn: &str, verbs: &[&[&str]], says: &str| {
        let desk = Desk { dsn, data: data.path(), work: &work };
        let password = dsn.split([':', '@']).nth(2).unwrap();
        for verb in verbs {
            let (printed, told, code) = desk.run(verb);
            assert!(
                code == 1 && printed.is_empty() && told.contains(says),
                "{verb:?}, {says}: {code}\n{printed}{told}"
            );
            assert_eq!(told.lines().count(), 1, "nothing but the reason: {told}");
            assert!(!told.contains(password), "the password is told:\n{told}");
        }
        assert!(!work.path().join("copy").exists(), "nothing of a copy is begun");
    };
    fails(&foreign, &VERBS, "belongs to another program (it holds recipes)");
    let tables = "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = current_schema()::regnamespace";
    assert_eq!(cluster.sql(&foreign, tables), "recipes");
    // No server has ever used it.
    fails(&ours, &[VERBS[0], VERBS[1], VERBS[2]], "this database has no log yet");
    let wrong = ours.replace("identree:", "identree:wrong-");
    fails(&wrong, &VERBS, "password authentication failed");

    // It goes away under who watches, and under who asks then.
    let mut server = serve(&ours, data.path());
    let secret = added(&ours, data.path());
    let body = until(201, || send(&server.address, &secret, "POST", CHALLENGES, &question(1)));
    let id = serde_json::from_str::<Reply>(&body).unwrap().challenge_id;
    let desk = Desk { dsn: &ours, data: data.path(), work: &work };
    let (child, lines) = desk.follow(&format!("question={id}"));
    server.terminate();
    cluster.down(Stop::Immediate);
    lines.for_each(drop);
    let ended = child.wait_with_output().unwrap();
    identree_evidence::output("audit", &ended);
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && told.starts_with("identree: "), "{told}");
    fails(&ours, &VERBS, &format!("the database identree at 127.0.0.1:{} cannot be used now", cluster.port()));
    cluster.up();
    assert!(desk.printed(&["tail"]).contains(&format!("question={id}")));
}
