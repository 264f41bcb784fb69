//! Files: what stands in them after a restart, a rotation, a full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use identree_core::retry::Retry;
use identree_core::sink_suite;
use identree_core::testkit::suite::sink::{Arrived, Destination, Outage};
use rustix::fs::Mode;
use tempfile::TempDir;

use super::*;
use crate::tests::{arrived, missing, parsed, some};

fn settings(path: &Path) -> FileSettings {
    FileSettings { path: path.to_owned(), max_size: None, max_files: 5, fsync: Fsync::Batch }
}

fn open(path: &Path) -> JsonLines {
    JsonLines::file(settings(path)).unwrap()
}

fn seqs(text: &str) -> Vec<u64> {
    arrived(text).iter().map(|one| one.seq.0).collect()
}

/// The file and its rotated ones, oldest first.
fn all(path: &Path) -> String {
    let rotated = (1..=9).rev().map(|n| fs::read_to_string(format!("{}.{n}", path.display())).unwrap_or_default());
    rotated.collect::<String>() + &fs::read_to_string(path).unwrap_or_default()
}

struct Disk {
    directory: TempDir,
}

#[async_trait]
impl Destination for Disk {
    async fn arrived(&self) -> Vec<Arrived> {
        arrived(&all(&self.directory.path().join("audit.jsonl")))
    }
    async fn fail(&self, outage: Outage) -> bool {
        if outage == Outage::Refuses {
            return false; // whatever is wrong with a file may be mended without us
        }
        // Its directory goes, as when a volume is not mounted.
        fs::rename(self.directory.path(), self.directory.path().with_extension("away")).unwrap();
        true
    }
    async fn mend(&self) {
        fs::rename(self.directory.path().with_extension("away"), self.directory.path()).unwrap();
    }
}

async fn on_disk(max_size: Option<u64>) -> (JsonLines, Disk) {
    let directory = TempDir::new().unwrap();
    let settings = FileSettings { max_size, ..settings(&directory.path().join("audit.jsonl")) };
    (JsonLines::file(settings).unwrap(), Disk { directory })
}
sink_suite!(file_suite, on_disk(None));
sink_suite!(rotating_suite, on_disk(Some(1_000_000)));

/// What a stream was given.
#[derive(Clone, Default)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<Mutex<bool>>,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = if *self.full.lock().unwrap() { 0 } else { bytes.len().min(1000) };
        self.bytes.lock().unwrap().extend_from_slice(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Destination for Kept {
    async fn arrived(&self) -> Vec<Arrived> {
        let text = String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap();
        // Where a write was broken off, the next one begins a new line.
        arrived(&text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect::<String>())
    }
    async fn fail(&self, outage: Outage) -> bool {
        let gone = outage == Outage::Gone;
        *self.full.lock().unwrap() = gone;
        gone
    }
    async fn mend(&self) {
        *self.full.lock().unwrap() = false;
    }
}

sink_suite!(stream_suite, async {
    let kept = Kept::default();
    (JsonLines::stream(kept.clone()), kept)
});

#[tokio::test]
async fn files_are_rotated_by_size_and_number_and_none_is_longer() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    let sink = JsonLines::file(FileSettings { max_size: Some(3000), max_files: 3, ..settings(&path) }).unwrap();
    fs::write(directory.path().join("audit.jsonl.4"), "of a time with more files\n").unwrap();
    for part in some(0, 40).chunks(9) {
        sink.write(part).await.unwrap();
    }
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        let found = fs::metadata(directory.path().join(&name)).unwrap();
        assert!(found.len() <= 3000 && found.len() > 500, "{name:?}: {}", found.len());
        assert_eq!(found.permissions().mode() & 0o777 & !0o640, 0, "{name:?}");
    }
    let kept = seqs(&all(&path));
    assert_eq!(kept, (kept[0]..40).collect::<Vec<_>>(), "what is left is the end, without gaps");
}

#[tokio::test]
async fn a_start_after_a_crash_repeats_nothing_and_cuts_off_what_was_not_finished() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    open(&path).write(&some(0, 6)).await.unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let start = whole.trim_end().rfind('\n').unwrap() + 1;
    for cut in (start..whole.len()).step_by(37).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..cut]).unwrap();
        let sink = open(&path);
        sink.write(&some(2, 7)).await.unwrap();
        assert_eq!(seqs(&fs::read_to_string(&path).unwrap()), (0..9).collect::<Vec<_>>(), "cut at {cut}");
    }
    // Zeros, as a power cut leaves them.
    fs::write(&path, whole.clone() + "\0\0\0\0\0\0").unwrap();
    open(&path).write(&some(6, 1)).await.unwrap();
    assert_eq!(seqs(&fs::read_to_string(&path).unwrap()), (0..7).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_rotation_repeats_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    open(&path).write(&some(0, 6)).await.unwrap();
    fs::rename(&path, directory.path().join("audit.jsonl.1")).unwrap();
    open(&path).write(&some(3, 5)).await.unwrap();
    assert_eq!(seqs(&all(&path)), (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_log_that_began_anew_is_written_though_its_places_are_known() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    open(&path).write(&some(0, 6)).await.unwrap();
    let mut others = some(0, 3);
    others.iter_mut().for_each(|event| event.event.id = EventId::from_bytes([9; 16]));
    open(&path).write(&others).await.unwrap();
    assert_eq!(seqs(&fs::read_to_string(&path).unwrap()), [0, 1, 2, 3, 4, 5, 0, 1, 2]);
}

#[tokio::test]
async fn what_is_not_ours_is_never_cut_off() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notes");
    fs::write(&path, "a note of somebody's, without an end").unwrap();
    open(&path).write(&some(0, 1)).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("a note of somebody's, without an end\n{\"seq\":0,"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_moved_or_emptied_by_others_is_followed() {
    let directory = TempDir::new().unwrap();
    let (path, moved) = (directory.path().join("audit.jsonl"), directory.path().join("moved"));
    let sink = open(&path);
    sink.write(&some(0, 3)).await.unwrap();
    fs::rename(&path, &moved).unwrap();
    sink.write(&some(3, 3)).await.unwrap();
    assert_eq!(seqs(&fs::read_to_string(&moved).unwrap()), [0, 1, 2]);
    assert_eq!(seqs(&fs::read_to_string(&path).unwrap()), [3, 4, 5]);
    // logrotate's copytruncate.
    fs::write(&path, "").unwrap();
    sink.write(&some(6, 1)).await.unwrap();
    fs::remove_file(&path).unwrap();
    sink.write(&some(7, 1)).await.unwrap();
    assert_eq!(seqs(&fs::read_to_string(&path).unwrap()), [7]);
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let (link, fifo) = (directory.path().join("link"), directory.path().join("fifo"));
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for (path, why) in
        [(&link, "symbolic link"), (&fifo, "not a regular file"), (&directory.path().to_owned(), "directory")]
    {
        let error = JsonLines::file(settings(path)).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("IDENTREE_AUDIT_LOG"), "{error}");
    }
    assert!(!directory.path().join("elsewhere").exists());
    // Put there while it runs.
    let path = directory.path().join("audit.jsonl");
    let sink = open(&path);
    fs::rename(&link, &path).unwrap();
    let error = sink.write(&some(0, 1)).await.unwrap_err();
    assert!(error.text.contains("symbolic link") && error.retry == Retry::Later, "{error}");
}

#[tokio::test]
async fn a_full_disk_leaves_whole_lines_and_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let mounted =
        rustix::mount::mount("tmpfs", directory.path(), "tmpfs", rustix::mount::MountFlags::empty(), Some(c"size=64k"));
    if mounted.is_err() {
        return missing("the right to mount a small file system");
    }
    let path = directory.path().join("audit.jsonl");
    let sink = open(&path);
    let (mut written, mut refused) = (0, None);
    while refused.is_none() {
        match sink.write(&some(written, 7)).await {
            Ok(_) => written += 7,
            Err(error) => refused = Some(error),
        }
    }
    let refused = refused.unwrap();
    assert!(refused.retry == Retry::Later && refused.text.contains("No space"), "{refused}");
    assert_eq!(seqs(&fs::read_to_string(&path).unwrap()), (0..written).collect::<Vec<_>>());
    fs::remove_file(&path).unwrap();
    sink.write(&some(written, 7)).await.unwrap();
    assert_eq!(seqs(&fs::read_to_string(&path).unwrap()), (written..written + 7).collect::<Vec<_>>());
    drop(sink);
    rustix::mount::unmount(directory.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_answer_holds_one_thread_and_nothing_comes_twice() {
    /// Takes nothing until it may.
    struct Slow(Kept, std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<()>);
    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.2.send(());
            let _ = self.1.recv();
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (go, may) = std::sync::mpsc::channel();
    let (began, beginning) = std::sync::mpsc::channel();
    let kept = Kept::default();
    let sink = Arc::new(JsonLines::stream(Slow(kept.clone(), may, began)));
    let first = tokio::spawn({
        let sink = Arc::clone(&sink);
        async move { sink.write(&some(0, 3)).await }
    });
    tokio::task::block_in_place(|| beginning.recv().unwrap());
    first.abort();
    assert!(first.await.is_err(), "the caller has given up");
    let again = tokio::spawn({
        let sink = Arc::clone(&sink);
        async move { sink.write(&some(0, 4)).await }
    });
    drop(go); // from now on it answers
    assert_eq!(again.await.unwrap().unwrap(), EventSeq(3));
    assert_eq!(kept.arrived().await.len(), 4);
}

#[tokio::test]
async fn a_line_is_whole_json_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("audit.jsonl");
    open(&path).write(&some(0, 2)).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n') && text.lines().all(|line| parsed(line)["source"] == "identree"));
}
