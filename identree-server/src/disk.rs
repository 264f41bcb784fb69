//! Whether the places that this server writes to take anything, and have room.
//!
//! A disk that hangs holds one thread of those for blocking calls, and nobody who asks waits for longer than `WITHIN`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use identree_core::time::{Clock, Timestamp};
use tokio::sync::watch;

use crate::config::{Database, Settings};

/// Less free than this share of the file system, in bytes or in files, is little: time to make room before writes fail.
const LITTLE_PERCENT: u64 = 5;
/// How long a look counts: whoever asks more often costs no write.
const COUNTS: Duration = Duration::from_secs(5);
/// What takes longer is as good as not writable.
const WITHIN: Duration = Duration::from_secs(2);
/// What is written and removed again, in the place looked at.
const PROBE: &str = ".write-probe";

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// There is room.
    Enough,
    /// Less than 5 % is free, of the bytes or of the files.
    Little,
    /// Nothing can be written, or not in time.
    None,
}

/// Looks when it is asked. Cheap to clone; all clones share one look.
#[derive(Clone)]
pub struct Disk {
    look: Arc<dyn Fn() -> Room + Send + Sync>,
    /// What a look that does not end in time comes to.
    late: Room,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    seen: Option<(Timestamp, Room)>,
    looking: bool,
}

impl Disk {
    /// Of the data directory, and of the database where it is a file.
    pub fn of(settings: &Settings, clock: Arc<dyn Clock>) -> Self {
        let (database, needed) = match &settings.database {
            Database::Sqlite(file) => (file.parent().filter(|folder| !folder.as_os_str().is_empty()), true),
            Database::Postgres { .. } => (None, false),
        };
        let places = [Some(&*settings.data_dir), database].into_iter().flatten().map(Path::to_owned);
        Self::looking(places.collect(), needed, clock)
    }

    /// Of these folders. Where the database is elsewhere nothing that is decided needs them: then a read-only one is as it should be, and
    /// what cannot be written is [`Room::Little`].
    pub fn looking(places: BTreeSet<PathBuf>, needed: bool, clock: Arc<dyn Clock>) -> Self {
        let late = if needed { Room::None } else { Room::Little };
        Self::with(move || places.iter().map(|place| room(place, needed)).max().unwrap_or(Room::Enough), late, clock)
    }

    fn with(look: impl Fn() -> Room + Send + Sync + 'static, late: Room, clock: Arc<dyn Clock>) -> Self {
        Self { look: Arc::new(look), late, clock, state: Arc::default(), ended: watch::Sender::default() }
    }

    /// How it is now, or was up to five seconds ago. Answers within two.
    pub async fn room(&self) -> Room {
        let mut ended = self.ended.subscribe();
        if let Some(room) = self.seen_or_begun() {
            return room;
        }
        let late = self.clock.sleep_until(self.clock.now() + WITHIN);
        tokio::select! {
            _ = ended.changed() => self.state().seen.map_or(self.late, |(_, room)| room),
            () = late => self.late,
        }
    }

    /// What was seen a moment ago; else a look is under way, begun here or before: there is never more than one.
    fn seen_or_begun(&self) -> Option<Room> {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some((at, room)) = state.seen
            && at <= now
            && now.since(at) < COUNTS
        {
            return Some(room);
        }
        if !std::mem::replace(&mut state.looking, true) {
            let own = self.clone();
            tokio::task::spawn_blocking(move || {
                let room = (own.look)();
                let mut state = own.state();
                *state = State { seen: Some((own.clock.now(), room)), looking: false };
                drop(state);
                own.ended.send_modify(|count| *count += 1);
            });
        }
        None
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

fn room(place: &Path, needed: bool) -> Room {
    match (written(place), needed) {
        (Ok(()), _) => {}
        (Err(_), true) => return Room::None,
        (Err(error), false) if error.kind() == ErrorKind::ReadOnlyFilesystem => return Room::Enough,
        (Err(_), false) => return Room::Little,
    }
    // A file system that does not tell its size is not called full.
    let Ok(told) = rustix::fs::statvfs(place) else { return Room::Enough };
    if is_little(told.f_bavail, told.f_blocks) || is_little(told.f_favail, told.f_files) {
        Room::Little
    } else {
        Room::Enough
    }
}

/// Writes a block and has it brought to the disk.
fn written(place: &Path) -> Result<(), Error> {
    let probe = place.join(PROBE);
    // Of a process that was killed here.
    remove(&probe)?;
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe) {
        // Another server on this directory looks too.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        opened => opened?,
    };
    let done = file.write_all(&[0; 4096]).and_then(|()| File::sync_data(&file));
    let removed = remove(&probe);
    done.and(removed)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether so little of so much is free. What has no size has no share.
const fn is_little(free: u64, all: u64) -> bool {
    all > 0 && (free as u128) * 100 < (all as u128) * (LITTLE_PERCENT as u128)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use identree_core::time::ManualClock;

    use super::*;

    fn looking(place: &Path, needed: bool) -> Disk {
        Disk::looking(BTreeSet::from([place.to_owned()]), needed, Arc::new(ManualClock::default()))
    }

    #[test]
    fn less_than_a_twentieth_is_little() {
        assert!(!is_little(5, 100) && is_little(4, 100));
        assert!(!is_little(50_000, 1_000_000) && is_little(49_999, 1_000_000));
        assert!(is_little(0, 1) && !is_little(0, 0));
        assert!(!is_little(u64::MAX, u64::MAX));
    }

    #[tokio::test]
    async fn what_is_written_leaves_nothing_and_what_cannot_be_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(PROBE), "of a process that was killed").unwrap();
        assert_ne!(looking(dir.path(), true).room().await, Room::None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let gone = dir.path().join("gone");
        assert_eq!(looking(&gone, true).room().await, Room::None);
        assert_eq!(looking(&gone, false).room().await, Room::Little);
        let both = BTreeSet::from([dir.path().to_owned(), gone]);
        assert_eq!(Disk::looking(both, true, Arc::new(ManualClock::default())).room().await, Room::None, "the worst");
    }

    #[tokio::test]
    async fn one_look_serves_whoever_asks_for_five_seconds() {
        let (looks, clock) = (Arc::new(AtomicUsize::new(0)), ManualClock::default());
        let counted = Arc::clone(&looks);
        let look = move || if counted.fetch_add(1, Ordering::Relaxed) == 0 { Room::Enough } else { Room::None };
        let disk = Disk::with(look, Room::None, Arc::new(clock.clone()));
        for _ in 0..3 {
            assert_eq!(disk.room().await, Room::Enough);
        }
        clock.advance(COUNTS);
        assert_eq!(disk.room().await, Room::None);
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_one_thread_and_nobody_for_long() {
        hangs(Room::None).await;
        hangs(Room::Little).await;
    }

    async fn hangs(late: Room) {
        let ((answers, answer), (begun, beginning)) = (channel::<()>(), channel());
        let (clock, answer) = (ManualClock::default(), Mutex::new(answer));
        let look = move || {
            begun.send(()).unwrap();
            answer.lock().unwrap().recv().unwrap();
            Room::Enough
        };
        let disk = Disk::with(look, late, Arc::new(clock.clone()));
        for _ in 0..3 {
            let asked = tokio::spawn({
                let disk = disk.clone();
                async move { disk.room().await }
            });
            while disk.ended.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance(WITHIN);
            assert_eq!(asked.await.unwrap(), late);
        }
        beginning.recv().unwrap();
        assert!(beginning.try_recv().is_err(), "one look");
        let mut ended = disk.ended.subscribe();
        answers.send(()).unwrap();
        ended.changed().await.unwrap();
        assert_eq!(disk.room().await, Room::Enough, "it goes on");
    }
}
