//! Each attack on a copy, and exactly what is said of it.

use std::fs;

use super::{Copy, Duration, Entry, Grade, Known, LogOf, Tiles, copied, copy, verify};

type Attack = fn(&Copy);

/// What is done, and exactly what is said of it.
const ATTACKS: &[(&str, Attack, &[&str])] = &[
    (
        "edit",
        |copy| copy.change("tile/entries/001", |bytes| bytes[40] ^= 1),
        &["entry 256 was changed: its hash is not the one that was signed"],
    ),
    (
        "edit that keeps to the form",
        |copy| {
            let mut leaves = copy.leaves();
            leaves[345] = String::from_utf8(leaves[345].clone()).unwrap().replace("web-1", "web-2").into_bytes();
            copy.forge(&leaves, Tiles::Kept);
        },
        &["entry 345 was changed: its hash is not the one that was signed"],
    ),
    (
        "edit with all tiles",
        |copy| {
            let mut leaves = copy.leaves();
            leaves[345] = String::from_utf8(leaves[345].clone()).unwrap().replace("web-1", "web-2").into_bytes();
            copy.forge(&leaves, Tiles::Forged);
        },
        &[
            "an entry from 305 to 599 was changed, added or removed, and its tiles with it: the root is not the one signed in checkpoint 2 of the \
           file checkpoints",
        ],
    ),
    (
        "delete",
        |copy| {
            let mut leaves = copy.leaves();
            leaves.remove(600);
            copy.forge(&leaves, Tiles::Kept);
            fs::rename(copy.path("tile/entries/002.p/187"), copy.path("tile/entries/002.p/188")).unwrap();
        },
        &["entry 600 was removed: what stands at its place is the entry after it"],
    ),
    (
        "delete early, and move all that follows",
        |copy| {
            let mut leaves = copy.leaves();
            leaves.remove(7);
            copy.forge(&leaves, Tiles::Kept);
            fs::rename(copy.path("tile/entries/002.p/187"), copy.path("tile/entries/002.p/188")).unwrap();
        },
        &[
            "entry 7 was removed: what stands at its place is the entry after it",
            "in 2 files after that, no entry is at its place",
        ],
    ),
    (
        "insert",
        |copy| {
            let mut leaves = copy.leaves();
            leaves.insert(520, leaves[3].clone());
            copy.forge(&leaves[..700], Tiles::Kept);
        },
        &[
            "an entry was inserted at 520: the one that was signed there stands after it",
            "a clock went back: entry 520 is of 2026-01-01T00:00:00.030Z, 5s 160ms before its neighbour",
            "entries 3 and 520 are the same event: one was added",
        ],
    ),
    (
        "reorder",
        |copy| {
            let mut leaves = copy.leaves();
            leaves.swap(301, 310);
            copy.forge(&leaves, Tiles::Kept);
        },
        &["entries 301 to 310 are in another order than was signed"],
    ),
    (
        "a tile alone",
        |copy| copy.change("tile/0/001", |bytes| bytes[33] ^= 1),
        &["tile/0/001 was changed: its hash 1 is not that of the entries, which are the ones that were signed"],
    ),
    (
        "an upper tile alone",
        |copy| copy.change("tile/1/000.p/2", |bytes| bytes[33] ^= 1),
        &["tile/1/000: its hash 1 is not that of the entries"],
    ),
    (
        "an entry and its tile",
        |copy| {
            copy.change("tile/entries/001", |bytes| bytes[40] ^= 1);
            copy.change("tile/0/001", |bytes| bytes[0] ^= 1);
        },
        &[
            "an entry from 256 to 511 was changed, and tile/0/001 with it: neither is what was signed",
            "checkpoint 0 of the file checkpoints could not be compared: the copy begins after its 300 entries, or entries before it are missing",
            "checkpoint 1 of the file checkpoints could not be compared: the copy begins after its 305 entries, or entries before it are missing",
        ],
    ),
    (
        "an entry of the last bundle and its tile",
        |copy| {
            copy.change("tile/entries/002.p/188", |bytes| bytes[40] ^= 1);
            copy.change("tile/0/002.p/188", |bytes| bytes[0] ^= 2);
        },
        &[
            "tile/0/002.p/188: its hash 0 is not that of the entries",
            "an entry from 305 to 599 was changed, added or removed, and its tiles with it: the root is not the one signed in checkpoint 2 of \
             the file checkpoints",
        ],
    ),
    (
        "a length",
        |copy| copy.change("tile/entries/000", |bytes| bytes[0] = 0xff),
        &["tile/entries/000: the bundle ends in the middle of entry 0", "tile/entries/000 has 0 entries, not 256"],
    ),
    (
        "cut: the last file of entries",
        |copy| fs::remove_file(copy.path("tile/entries/002.p/188")).unwrap(),
        &[
            "tile/entries/002.p/188 is missing (entries 512 to 699): the export was cut, or it was removed; export again",
        ],
    ),
    (
        "cut: before the checkpoint",
        |copy| {
            fs::remove_file(copy.path("checkpoint")).unwrap();
            fs::remove_file(copy.path("checkpoints")).unwrap();
        },
        &[
            "there is no file checkpoints: only the newest one was compared",
            "there is no checkpoint of this key: the export was cut before its end, or this is no copy of the log; export again",
        ],
    ),
    (
        "cut: in the file of checkpoints",
        |copy| copy.change("checkpoints", |bytes| bytes.truncate(bytes.len() - 9)),
        &["the file checkpoints ends in the middle of checkpoint 3; if the export was cut, export again"],
    ),
    (
        "the end, and all that speaks of it but the tiles",
        |copy| {
            let notes = fs::read_to_string(copy.path("checkpoints")).unwrap();
            let notes: Vec<_> = notes.split_inclusive("\n\n").collect();
            fs::write(copy.path("checkpoints"), notes[..6].concat()).unwrap();
            fs::write(copy.path("checkpoint"), notes[4..6].concat().trim_end().to_owned() + "\n").unwrap();
        },
        &[
            "tile/entries/002.p/88 is missing (entries 512 to 599): the export was cut, or it was removed; export again",
            "personal/002.p/188 has entries beyond the newest checkpoint, which nobody signed: the export was cut, or they were added; export again",
        ],
    ),
    (
        "personal data",
        |copy| copy.change("personal/001", |bytes| *bytes.last_mut().unwrap() ^= 1),
        &["the personal data of entry 511 was changed: it is not what the entry commits to"],
    ),
    (
        "personal data removed whole",
        |copy| fs::remove_file(copy.path("personal/001")).unwrap(),
        &["personal/001 is missing (entries 256 to 511): the export was cut, or it was removed; export again"],
    ),
    (
        "a signature",
        |copy| {
            copy.change("checkpoint", |bytes| {
                let at = bytes.len() - 20;
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            });
        },
        &["the file checkpoint: the checkpoint has no valid signature of this key"],
    ),
    (
        "checkpoints in another order",
        |copy| {
            let notes = fs::read_to_string(copy.path("checkpoints")).unwrap();
            let notes: Vec<_> = notes.split_inclusive("\n\n").collect();
            fs::write(copy.path("checkpoints"), [&notes[2..4], &notes[..2], &notes[4..]].concat().concat()).unwrap();
        },
        &["checkpoint 1 of the file checkpoints is of 300 entries, the one before of 305: checkpoints were reordered"],
    ),
    (
        "a stray file",
        |copy| fs::write(copy.path("tile/notes.txt"), "x").unwrap(),
        &["tile/notes.txt is no part of a copy and was not looked at"],
    ),
];

#[tokio::test]
async fn each_attack_is_named() {
    let mut otherwise = Vec::new();
    for (name, attack, said) in ATTACKS {
        let copy = copy().await;
        attack(&copy);
        let texts = copy.texts();
        let as_said = texts.len() == said.len() && texts.iter().zip(*said).all(|(text, said)| text.starts_with(said));
        otherwise.extend((!as_said).then_some((name, texts)));
    }
    assert!(otherwise.is_empty(), "{otherwise:#?}");
}

/// The end taken away from the last entries and their hashes alike, which then fit each other.
#[tokio::test]
async fn an_end_cut_from_entries_and_tile_alike_is_told() {
    for left in [0, 1, 100, 187] {
        let copy = copy().await;
        copy.change("tile/0/002.p/188", |bytes| bytes.truncate(32 * left));
        copy.change("tile/entries/002.p/188", |bytes| {
            let kept: usize = Entry::leaves(2, bytes).unwrap().iter().take(left).map(|leaf| leaf.len() + 2).sum();
            bytes.truncate(kept);
        });
        let report = verify(copy.dir.path(), &copy.log.key(), &Known::default()).unwrap();
        assert_eq!(report.worst(), Some(Grade::Broken), "{left}: {:?}", report.findings);
        let told = format!("tile/entries/002.p/188 has {left} entries, not 188");
        assert!(copy.texts().contains(&told), "{left}: {:?}", copy.texts());
    }
}

/// Whatever is missing or short, in whatever combination: only what was compared with the newest signed root is as it was signed.
#[tokio::test]
async fn nothing_is_as_signed_unless_the_newest_checkpoint_was_compared() {
    let log = LogOf::events(200).await;
    let dir = tempfile::tempdir().unwrap();
    copied(&log, dir.path()).await;
    let copy = Copy { dir, log };
    for path in ["tile/0/000.p/200", "tile/entries/000.p/200", "personal/000.p/200"] {
        copy.change(path, Vec::clear);
    }
    let report = verify(copy.dir.path(), &copy.log.key(), &Known::default()).unwrap();
    assert_eq!((report.worst(), report.checkpoints), (Some(Grade::Broken), 0), "{:?}", report.findings);
}

/// Entries of no length, of which a file of the largest size has very many.
#[tokio::test]
async fn a_file_of_nothing_but_lengths_takes_no_memory_of_its_own() {
    let copy = copy().await;
    let many = vec![0; 32 << 20];
    assert_eq!(Entry::split_leaves(0, &many).0.len(), 257, "one more than a bundle has, to tell that there are more");
    assert_eq!(Entry::personal_parts(0, &many).unwrap().len(), 257);
    for path in ["tile/entries/000", "personal/000"] {
        fs::write(copy.path(path), &many).unwrap();
    }
    let told = copy.texts();
    for file in ["tile/entries/000", "personal/000"] {
        assert!(told.contains(&format!("{file} has 257 entries, not 256")), "{told:?}");
    }
}

/// A pipe that nobody writes to, a device, a socket: a crafted archive may hold them where files are expected.
#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    for path in ["key", "checkpoints", "tile/entries/001", "tile/0/001", "personal/000"] {
        let copy = copy().await;
        fs::remove_file(copy.path(path)).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(copy.path(path)).status().unwrap().success());
        let (verified, done) = std::sync::mpsc::channel();
        let (dir, key) = (copy.dir.path().to_owned(), copy.log.key());
        std::thread::spawn(move || {
            let told = verify(&dir, &key, &Known::default()).map_err(|error| error.to_string());
            verified.send(told).is_ok()
        });
        let told = done.recv_timeout(Duration::from_secs(20)).expect("it waits for the pipe").unwrap_err();
        assert!(told.ends_with(path), "{told}");
    }
}

/// Others on the machine who read what was exported, or put a link where the next export writes.
#[tokio::test]
async fn personal_data_is_exported_for_its_owner_alone_and_through_no_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let log = LogOf::events(10).await;
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "theirs").unwrap();
    let to = dir.path().join("copy");
    fs::create_dir_all(to.join("personal/000.p")).unwrap();
    for path in ["key.new", "personal/000.p/10.new"] {
        symlink(&elsewhere, to.join(path)).unwrap();
    }
    copied(&log, &to).await;
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "theirs");
    for path in ["personal/000.p/10", "personal/erasures"] {
        let mode = fs::metadata(to.join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}
