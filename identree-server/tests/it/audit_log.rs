//! `identree audit …` over a database with a log, as operators and auditors use it.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use identree_core::store::{
    Batch, Change, Collection, DocumentKey, Journal as _, Log as _, Put, SqliteStore, Store as _,
};
use identree_core::testkit::fakes;
use identree_core::testkit::log::{LogOf, sample};
use tempfile::TempDir;

use crate::process::identree;

/// A data directory whose database has a log of 600 entries, and a directory beside it.
struct Place {
    data: TempDir,
    work: TempDir,
    log: LogOf<SqliteStore>,
}

impl Place {
    async fn new() -> Self {
        let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Arc::new(SqliteStore::open(data.path().join("identree.db")).await.unwrap());
        let mut log = LogOf::over(store);
        let put = Put { bytes: log.key().to_string().into_bytes(), expires_at: None };
        let key = DocumentKey::new(Collection("log"), "key");
        let change = Change::Document { key, expect: None, put: Some(put) };
        log.store.commit(Batch::unrecorded(vec![change])).await.unwrap();
        log.add(300).await;
        log.add(300).await;
        Self { data, work, log }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        identree(self.data.path()).current_dir(self.work.path()).arg("audit").args(arguments).output().unwrap()
    }

    /// Runs a verb; tells what it printed, and its exit code.
    fn printed(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments);
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8(text).unwrap(), output.status.code().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.work.path().join(path)
    }
}

fn change(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn an_exported_log_is_verified_offline_and_what_was_done_to_it_is_named() {
    let mut place = Place::new().await;
    let (key, code) = place.printed(&["key"]);
    assert_eq!((key.trim(), code), (place.log.key().to_string().as_str(), 0));
    std::fs::write(place.path("key.txt"), &key).unwrap();
    let (said, code) = place.printed(&["export", "copy"]);
    assert!(code == 0 && said.contains("up to entry 600, 600 of them new, and 2 new checkpoints"), "{said}");
    // Without any setting, as an auditor has none.
    let verify = |more: &[&str]| place.printed(&[&["verify", "copy", "--key", "key.txt"], more].concat());
    let (said, code) = verify(&["--size", "600"]);
    assert!(code == 0 && said.ends_with("checkpoints compared: 3\nas it was signed\n"), "{said}");
    let (said, code) = verify(&["--size", "601"]);
    assert!(code == 1 && said.contains("BROKEN: the end was cut off"), "{said}");
    assert_eq!(place.printed(&["verify", "copy"]).1, 2, "usage");
    assert_eq!(place.printed(&["verify", "elsewhere", "--key", "key.txt"]).1, 2);
    assert_eq!(place.printed(&["verify", "copy", "--key", "nonsense"]).1, 2);

    std::fs::copy(place.path("copy/checkpoint"), place.path("kept.txt")).unwrap();
    place.log.put((600..620).map(|n| if n < 610 { sample(n) } else { sample(n - 610) }).collect()).await;
    let (said, code) = place.printed(&["export", "copy"]);
    assert!(code == 0 && said.contains("up to entry 620, 20 of them new, and 1 new checkpoints"), "{said}");
    let (said, code) = place.printed(&["verify", "copy", "--key", "key.txt", "--checkpoint", "kept.txt"]);
    assert!(code == 1 && said.contains("entries 0 and 610 are the same event"), "{said}");
    assert!(said.contains("odd: a clock went back: entry 610"), "{said}");
    let (said, code) = place.printed(&["export", "late", "--from-checkpoint", "kept.txt"]);
    assert!(code == 0 && said.contains("it begins at entry 512"), "{said}");
    let (said, code) = place.printed(&["verify", "late", "--key", "key.txt", "--checkpoint", "kept.txt"]);
    assert!(code == 3 && said.contains("this copy begins at entry 512"), "only the clock is odd: {said}");

    change(&place.path("copy/tile/entries/001"), 30);
    let (said, code) = place.printed(&["verify", "copy", "--key", "key.txt"]);
    assert!(code == 1 && said.starts_with("BROKEN: entry 256 was changed"), "{said}");
}

#[tokio::test]
async fn a_decision_is_proven_by_one_file() {
    let place = Place::new().await;
    let key = place.log.key().to_string();
    let question = fakes::question(100).id.to_string();
    let old = place.log.store.checkpoints(0, 1).await.unwrap().remove(0).note;
    std::fs::write(place.path("old.txt"), old).unwrap();
    let proof = place.run(&["prove", &question, "--against", "old.txt"]);
    assert!(proof.status.success());
    std::fs::write(place.path("proof.json"), &proof.stdout).unwrap();
    let (said, code) = place.printed(&["verify", "--proof", "proof.json", "--key", &key]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("300  2026-01-01T00:00:03.000Z  challenge_created  subject=ann"), "{said}");
    assert!(said.contains("proven: in the log identree.example/log of 600 entries"), "{said}");
    assert!(said.contains("begins with the one of 300 entries"), "{said}");
    let text = String::from_utf8(proof.stdout).unwrap();
    std::fs::write(place.path("forged.json"), text.replace("challenge_created", "challenge_allowed")).unwrap();
    let (said, code) = place.printed(&["verify", "--proof", "forged.json", "--key", &key]);
    assert!(code == 1 && said.contains("BROKEN: entry 300 is not in the log"), "{said}");
    assert_eq!(place.printed(&["prove", "599"]).1, 0);
    // Who hands a proof on may leave personal data out: it is proven still, and said.
    let mut bare: serde_json::Value = serde_json::from_str(&text).unwrap();
    for entry in bare["entries"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("personal");
    }
    std::fs::write(place.path("bare.json"), bare.to_string()).unwrap();
    let (said, code) = place.printed(&["verify", "--proof", "bare.json", "--key", &key]);
    let missing = "note: the personal data of entry 300, 301 is not in this proof, which cannot tell whether it was erased or is withheld\n";
    assert!(code == 0 && said.contains(missing) && !said.contains("subject=ann"), "{said}");
    assert!(place.printed(&["prove", "600"]).0.contains("entry 600 is under no checkpoint yet"));
    assert!(place.printed(&["prove", &"0".repeat(32)]).0.contains("nothing of that id"));
}

#[tokio::test]
async fn the_newest_entries_are_shown_and_a_person_is_erased() {
    let place = Place::new().await;
    let (proof, _) = place.printed(&["prove", "597"]);
    assert!(!proof.contains("note:"), "{proof}");
    let (said, _) = place.printed(&["tail", "-n", "3"]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[0].starts_with("597  2026-01-01T00:00:05.970Z  challenge_created  subject=eve  target=web-1.example"),
        "{said}"
    );
    let (said, _) = place.printed(&["tail", "-n", "1", "--json"]);
    let last: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((last["seq"].as_u64(), last["kind"].as_str()), (Some(599), Some("host_added")));

    let (said, code) = place.printed(&["erase", "eve"]);
    assert!(code == 0 && said.contains("200 entries of the log tell of eve"), "{said}");
    let (said, code) = place.printed(&["erase", "eve", "--yes"]);
    assert!(code == 0 && said.contains("personal data of 200 entries is erased"), "{said}");
    assert!(!place.printed(&["tail", "-n", "600"]).0.contains("eve"));
    let event = place.log.store.unsealed(identree_core::store::Page::first(9)).await.unwrap().items.remove(0).event;
    assert_eq!(event.kind, identree_core::audit::EventKind::PersonErased);
    assert!(!serde_json::to_string(&event).unwrap().contains("eve"), "{event:?}");
    place.printed(&["export", "copy", "--with-personal"]);
    let (said, code) = place.printed(&["verify", "copy", "--key", &place.log.key().to_string()]);
    assert!(code == 0 && said.contains("personal data: 200 as committed to, 200 erased or withheld, which"), "{said}");
    let told = String::from_utf8(place.run(&["prove", "597"]).stderr).unwrap();
    assert!(told.starts_with("note: the personal data of entry 597 is not in this proof"), "{told}");

    // What is not sealed yet, and nobody seals, is said to be left.
    place.log.store.commit(Batch::event(sample(3))).await.unwrap();
    let (said, code) = place.printed(&["erase", "eve", "--yes", "--wait", "1ms"]);
    assert!(code == 1 && said.contains("1 events that tell of eve are not in the log yet"), "{said}");
}

#[tokio::test]
async fn a_reason_that_looks_like_fields_is_shown_as_one() {
    let mut place = Place::new().await;
    let reasons = ["a\\x3db", "x\n601  2026  host_added", "x  actor=root", "x\"  actor=\"root", "x\\"];
    let events = (600..).zip(reasons).map(|(n, reason)| {
        let mut event = sample(n);
        event.details.insert("reason".into(), reason.into());
        event
    });
    place.log.put(events.collect()).await;
    let shown =
        [r#""a\\x3db""#, r#""x\n601  2026  host_added""#, r#""x  actor=root""#, r#""x\"  actor=\"root""#, r#""x\\""#];
    let (said, _) = place.printed(&["tail", "-n", "5"]);
    assert_eq!(said.lines().count(), 5, "{said}");
    for (line, shown) in said.lines().zip(shown) {
        assert!(line.ends_with(&format!("  reason={shown}")), "{shown}\n{line}");
    }
    // A proof is shown by the same rule.
    let proof = place.run(&["prove", "602"]);
    std::fs::write(place.path("proof.json"), &proof.stdout).unwrap();
    let (said, code) = place.printed(&["verify", "--proof", "proof.json", "--key", &place.log.key().to_string()]);
    assert!(
        code == 0 && said.lines().next().is_some_and(|line| line.ends_with(r#"  reason="x  actor=root""#)),
        "{said}"
    );
}
