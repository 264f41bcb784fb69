//! What is done to a copy, and what is said of it.

mod attacks;
mod sizes;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::audit::copy::{Export, Piece, Place, export};
use crate::audit::tree::Tree;
use crate::audit::{AuditEvent, Entry, Origin, leaf_hash};
use crate::grant::LocalSigner;
use crate::rng::OsEntropy;
use crate::store::{Hash, LeaseName, Leases as _, Log as _, ReplicaId};
use crate::testkit::log::{LogOf, sample};
use crate::time::Timestamp;

/// A copy of a log of 700 entries under checkpoints of 300, 305, 600 and 700.
struct Copy {
    dir: TempDir,
    log: LogOf,
}

async fn copied(log: &LogOf, dir: &Path) {
    let export_to = Export { key: &log.key(), dir, with_personal: true, from: 0 };
    export(&*log.store, &export_to).await.unwrap();
}

async fn copy() -> Copy {
    let (dir, mut log) = (tempfile::tempdir().unwrap(), LogOf::events(300).await);
    for more in [5, 295, 100] {
        log.add(more).await;
    }
    copied(&log, dir.path()).await;
    Copy { dir, log }
}

impl Copy {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn verify(&self, known: &Known) -> Vec<String> {
        let report = verify(self.dir.path(), &self.log.key(), known).unwrap();
        report.findings.iter().map(ToString::to_string).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.verify(&Known::default())
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(path)).unwrap();
        change(&mut bytes);
        fs::write(self.path(path), bytes).unwrap();
    }

    /// Every leaf.
    fn leaves(&self) -> Vec<Vec<u8>> {
        let files = ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/188"];
        let read = |file: &&str| fs::read(self.path(file)).unwrap();
        files
            .iter()
            .map(read)
            .flat_map(|bytes| Entry::leaves(0, &bytes).unwrap().iter().map(|l| l.to_vec()).collect::<Vec<_>>())
            .collect()
    }

    /// Writes these leaves in place of those that were there, in as many files as before; and all tiles, as whoever has no key would.
    fn forge(&self, leaves: &[Vec<u8>], tiles: Tiles) {
        for (number, chunk) in leaves.chunks(256).enumerate() {
            let file =
                Place { piece: Piece::Entries, number: number as u64, width: u16::try_from(chunk.len()).unwrap() };
            let framed = |leaf: &Vec<u8>| [&u16::try_from(leaf.len()).unwrap().to_be_bytes()[..], leaf].concat();
            fs::create_dir_all(self.path("tile/entries/002.p")).unwrap();
            fs::write(self.path(&file.to_string()), chunk.iter().flat_map(framed).collect::<Vec<_>>()).unwrap();
        }
        if matches!(tiles, Tiles::Forged) {
            for (place, hashes) in tiles_of(leaves) {
                let path = self.path(&place.to_string());
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, hashes).unwrap();
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Tiles {
    Kept,
    Forged,
}

fn tiles_of(leaves: &[Vec<u8>]) -> BTreeMap<Place, Vec<u8>> {
    let (mut tree, mut tiles) = (Tree::new(), BTreeMap::new());
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    for (number, chunk) in hashes.chunks(256).enumerate() {
        let width = u16::try_from(chunk.len()).unwrap();
        tiles.insert(Place { piece: Piece::Tile(0), number: number as u64, width }, chunk.concat());
    }
    hashes.iter().for_each(|hash| tree.push(*hash, |_| ()));
    for tile in tree.short_tiles() {
        let width = u16::try_from(tile.hashes.len() / 32).unwrap();
        tiles.insert(Place { piece: Piece::Tile(tile.level), number: tile.number, width }, tile.hashes);
    }
    tiles
}

#[tokio::test]
async fn a_copy_as_it_was_exported_has_nothing_to_say() {
    let copy = copy().await;
    let report = verify(copy.dir.path(), &copy.log.key(), &Known::default()).unwrap();
    assert_eq!(report.worst(), None, "{:?}", report.findings);
    assert_eq!(report.findings.iter().count(), 0);
    let newest = report.newest.unwrap();
    assert_eq!((newest.size, report.first), (700, 0));
    // The newest stands in two files.
    assert_eq!((report.checkpoints, report.unchecked), (5, 0));
    assert_eq!((report.personal, report.erased), (467, 0));
}

#[tokio::test]
async fn what_the_auditor_knows_shows_truncation_and_forks() {
    let copy = copy().await;
    let key = copy.log.key();
    assert_eq!(copy.verify(&Known { size: Some(700), ..Known::default() }), [""; 0]);
    assert_eq!(
        copy.verify(&Known { size: Some(701), ..Known::default() }),
        ["the end was cut off: who keeps its size says that the log had 701 entries, this copy ends after 700"]
    );
    let sign = async |size, root, signer: &LocalSigner| {
        let checkpoint = Checkpoint { origin: key.origin.clone(), size, root, signed_at: None };
        checkpoint.sign(signer).await.unwrap()
    };
    let knows = |note: String| Known { checkpoints: vec![("kept.txt".to_owned(), note)], ..Known::default() };
    let later = sign(900, [1; 32], &copy.log.signer).await;
    assert_eq!(
        copy.verify(&knows(later)),
        ["the end was cut off: kept.txt says that the log had 900 entries, this copy ends after 700"]
    );
    let fork = sign(600, [1; 32], &copy.log.signer).await;
    assert_eq!(
        copy.verify(&knows(fork)),
        [
            "fork: checkpoint 2 of the file checkpoints and kept.txt are both signed by the log's key, both of 600 entries, and have different \
         roots. Keep both: they prove that the log showed different people different histories"
        ]
    );
    let other = sign(450, [1; 32], &copy.log.signer).await;
    assert_eq!(
        copy.verify(&knows(other)),
        [
            "fork: kept.txt is signed by the log's key over 450 entries, and these are not the first 450 of the ones here, which are signed too. \
         Keep both: they prove that the log showed different people different histories"
        ]
    );
    let forged = sign(600, [1; 32], &LocalSigner::from_seed(&[9; 32])).await;
    assert_eq!(copy.verify(&knows(forged)), ["kept.txt: the checkpoint has no valid signature of this key"]);
    let elsewhere = LogKey { origin: Origin::parse("other.example/log").unwrap(), ..key.clone() };
    let report = verify(copy.dir.path(), &elsewhere, &Known::default()).unwrap();
    let texts: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(texts, [
        format!("the file key names another key than the one given: {key}"),
        "the file checkpoint: a checkpoint of the log identree.example/log, not of other.example/log".to_owned(),
        "there is no checkpoint of this key: the export was cut before its end, or this is no copy of the log; export again".to_owned(),
    ]);
    assert_eq!(report.worst(), Some(Grade::Broken));
}

#[tokio::test]
async fn clocks_that_jump_are_told_with_their_place() {
    let (dir, mut log) = (tempfile::tempdir().unwrap(), LogOf::events(100).await);
    let moved = |n: u64, by: i64| AuditEvent { at: Timestamp::from_millis(sample(n).at.as_millis() + by), ..sample(n) };
    let mut events: Vec<_> = (100..110).map(|n| moved(n, 0)).collect();
    events.extend((110..120).map(|n| moved(n, 3_600_000)));
    events.extend((120..130).map(|n| moved(n, 0)));
    events.extend((130..140).map(|n| moved(n, -4_000)));
    events.push(sample(140));
    log.put(events).await;
    copied(&log, dir.path()).await;
    let copy = Copy { dir, log };
    assert_eq!(
        copy.texts(),
        [
            "a clock went back: entry 120 is of 2026-01-01T00:00:01.200Z, 59m 59s 990ms before its neighbour",
            "a clock was ahead: entry 119 is of 2026-01-01T01:00:01.190Z, 59m 58s 790ms after checkpoint 1 of the file checkpoints was signed over it",
        ]
    );
    let report = verify(copy.dir.path(), &copy.log.key(), &Known::default()).unwrap();
    assert_eq!(report.worst(), Some(Grade::Odd));
    let patient = Known { tolerance: Duration::from_secs(7200), ..Known::default() };
    assert_eq!(copy.verify(&patient), [""; 0]);
}

#[tokio::test]
async fn an_event_that_stands_twice_is_found() {
    let (dir, mut log) = (tempfile::tempdir().unwrap(), LogOf::events(1).await);
    let events = (1..600).map(|n| if n == 590 { AuditEvent { id: sample(4).id, ..sample(n) } } else { sample(n) });
    log.put(events.collect()).await;
    copied(&log, dir.path()).await;
    assert_eq!(Copy { dir, log }.texts(), ["entries 4 and 590 are the same event: one was added"]);
}

#[tokio::test]
async fn a_second_export_only_adds_and_an_erased_person_leaves_it() {
    let mut copy = copy().await;
    let modified = |path: &str| fs::metadata(copy.path(path)).unwrap().modified().unwrap();
    let before = modified("tile/entries/000");
    copy.log.add(400).await;
    copied(&copy.log, copy.dir.path()).await;
    assert_eq!(copy.texts(), [""; 0]);
    assert_eq!(fs::metadata(copy.path("tile/entries/000")).unwrap().modified().unwrap(), before);
    assert!(!copy.path("tile/entries/002.p").exists(), "whole now");
    assert!(
        copy.path("tile/1/000.p/2").exists() && copy.path("tile/1/000.p/4").exists(),
        "a client of before still finds its tile"
    );
    let bundle = copy.log.store.bundles(0, 1).await.unwrap().remove(0);
    copy.log.store.erase(0, &bundle.personal, vec![0; 4 * 256]).await.unwrap();
    copied(&copy.log, copy.dir.path()).await;
    let report = verify(copy.dir.path(), &copy.log.key(), &Known::default()).unwrap();
    assert_eq!((report.worst(), report.erased), (None, 171));
    let without = Export { key: &copy.log.key(), dir: copy.dir.path(), with_personal: false, from: 0 };
    let refused = export(&*copy.log.store, &without).await.unwrap_err().to_string();
    assert!(refused.contains("has personal data of an earlier export"), "{refused}");
}

#[tokio::test]
async fn an_export_that_was_cut_goes_on_and_one_of_another_history_is_refused() {
    let copy = copy().await;
    for gone in ["checkpoint", "key", "tile/0/001", "tile/entries/002.p/188", "tile/0/002.p/188"] {
        fs::remove_file(copy.path(gone)).unwrap();
    }
    copy.change("checkpoints", |bytes| bytes.truncate(bytes.len() - 100));
    copied(&copy.log, copy.dir.path()).await;
    assert_eq!(copy.texts(), [""; 0]);
    let mut other = LogOf::events(1).await;
    other.put((5000..6000).map(sample).collect()).await;
    let again = Export { key: &copy.log.key(), dir: copy.dir.path(), with_personal: true, from: 0 };
    let refused = export(&*other.store, &again).await.unwrap_err().to_string();
    assert!(refused.contains("is no beginning of this log: at 700 entries it has another root"), "{refused}");
}

#[tokio::test]
async fn a_copy_may_begin_late_and_its_tiles_prove_what_was_before() {
    let (dir, mut log) = (tempfile::tempdir().unwrap(), LogOf::events(600).await);
    log.add(150).await;
    log.add(300).await;
    let late = Export { key: &log.key(), dir: dir.path(), with_personal: false, from: 750 };
    let exported = export(&*log.store, &late).await.unwrap();
    assert_eq!((exported.first, exported.size, exported.checkpoints), (512, 1050, 2));
    let copy = Copy { dir, log };
    let report = verify(copy.dir.path(), &copy.log.key(), &Known::default()).unwrap();
    assert_eq!((report.worst(), report.first, report.checkpoints), (None, 512, 3), "{:?}", report.findings);
    copy.change("tile/1/000.p/4", |bytes| bytes[1] ^= 1);
    let texts = copy.texts();
    assert!(texts[0].contains("the root is not the one signed in checkpoint 0"), "{texts:#?}");
    // The same, pruned in the store.
    let (store, holder) = (&copy.log.store, ReplicaId::random(&OsEntropy));
    let fence = store.hold(&LeaseName::SEAL, &holder, Duration::from_secs(9)).await.unwrap().unwrap();
    store.prune(&fence, 3).await.unwrap();
    let pruned = tempfile::tempdir().unwrap();
    copied(&copy.log, pruned.path()).await;
    let report = verify(pruned.path(), &copy.log.key(), &Known::default()).unwrap();
    assert_eq!((report.worst(), report.first, report.checkpoints), (None, 768, 2), "{:?}", report.findings);
}

/// Every file of a copy.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bit_of_any_file_can_be_another(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        static COPY: std::sync::OnceLock<Copy> = std::sync::OnceLock::new();
        let copy = COPY.get_or_init(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let mut copy = copy().await;
                copy.log.add(10).await; // with an older partial file of each kind
                copied(&copy.log, copy.dir.path()).await;
                copy
            })
        });
        let files: Vec<_> = files(copy.dir.path()).into_iter().filter(|path| !path.ends_with("personal/erasures")).collect();
        prop_assert!(files.len() >= 15, "{files:?}");
        let file = &files[which.index(files.len())];
        let bytes = fs::read(file).unwrap();
        let mut changed = bytes.clone();
        let at = at.index(bytes.len());
        changed[at] ^= 1 << bit;
        // The line of the key may end with another white space.
        let meaningless = file.ends_with("key") && at == bytes.len() - 1 && char::from(changed[at]).is_whitespace();
        fs::write(file, &changed).unwrap();
        let texts = copy.texts();
        fs::write(file, &bytes).unwrap();
        prop_assert_eq!(texts.is_empty(), meaningless, "{:?} byte {} bit {}", file, at, bit);
    }
}
