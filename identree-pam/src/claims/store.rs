//! Where the records are: `/run/identree`, root's own, one small file per calling process, changed under a lock of its own.
//!
//! Nothing is shared that somebody could hold: people can stop their own su or sudo (SIGSTOP, a frozen cgroup) at any step.
//! A record that cannot be read refuses its process, because it may have said so: only the process it names is hurt, and
//! the message names the file. Changes are new files put in place by rename, so that a torn one cannot appear.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::id::{Nonce, ServiceName};
use rustix::event::Timespec;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, linkat, statat};
use rustix::io::Errno;

use super::{BootKey, End, Origin, Record, Step, begin, finish};
use crate::atomic;
use crate::clock::now;
use crate::facts::{Caller, Phase, start_time_of};
use crate::folder::{Fault, Folder, errno};
use crate::lock::Patience;

/// Where the records are.
pub const DIRECTORY: &str = "/run/identree";

/// At most this many files are looked at for leftovers in one run, so that a full directory delays nobody.
const SWEEP: usize = 128;
/// Far more than a record with its answer needs.
const MAX_RECORD_BYTES: u64 = 64 * 1024;
/// Beginnings of the names of locks, and of new files before they are put in place.
const LOCK: &str = "lock-";
const NEW: &str = "new-";
/// The lock is held for microseconds; who holds it for a second is stuck.
const PATIENCE: Patience = Patience { within: Duration::from_secs(1), retry: Timespec { tv_sec: 0, tv_nsec: 200_000 } };

/// Why the records cannot be used. Every one of them means no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// The system refused.
    #[error("{}: {cause}", .path.display())]
    System {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: Errno,
    },
    /// Not root's alone.
    #[error("{}: must be a folder of uid {owner} with mode 0700 and not a link; run: rm -rf '{0}'", .path.display())]
    Directory {
        /// Which folder.
        path: PathBuf,
        /// Whose it must be.
        owner: u32,
    },
    /// Not what was written there.
    #[error("{}: is damaged, so nothing is allowed to this process; remove the file", .0.display())]
    Damaged(PathBuf),
    /// Somebody holds the lock.
    #[error("{}: is locked by another process", .0.display())]
    Locked(PathBuf),
}

impl From<Fault> for ClaimsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::System { path, cause } => Self::System { path, cause },
            Fault::Foreign { path, owner } => Self::Directory { path, owner },
            Fault::Damaged(path) => Self::Damaged(path),
            Fault::Locked(path) => Self::Locked(path),
        }
    }
}

/// The records of this host.
#[derive(Debug)]
pub struct Claims {
    folder: Folder,
    boot_id: String,
    key: BootKey,
}

impl Claims {
    /// Opens the directory, making it and the boot key where they are missing, and sweeps leftovers.
    ///
    /// # Errors
    /// [`ClaimsError`] if the directory is not `owner`'s alone or anything in it is not as it must be.
    pub fn open(path: &Path, owner: u32) -> Result<Self, ClaimsError> {
        Folder::make(path)?;
        let folder = Folder::open(path, owner)?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(|e| ClaimsError::System { path: "/proc/sys/kernel/random/boot_id".into(), cause: errno(&e) })?;
        let mut claims = Self { folder, boot_id: boot_id.trim().to_owned(), key: BootKey::new([0; 32]) };
        claims.key = claims.boot_key(owner)?;
        claims.sweep();
        Ok(claims)
    }

    /// Decides what the helper in `phase` of `caller` does, and keeps that it asks if it does.
    ///
    /// # Errors
    /// [`ClaimsError`]; then nothing is allowed.
    pub fn begin(&self, caller: Caller, phase: Phase, usable: Duration) -> Result<Step, ClaimsError> {
        let _lock = self.lock(caller)?;
        let step = begin(self.record(caller)?, phase, usable, now());
        if let Step::Ask(record) = &step {
            self.keep(caller, record)?;
        }
        Ok(step)
    }

    /// Keeps what the person typed, before anything is asked with it.
    ///
    /// # Errors
    /// [`ClaimsError`]; then nothing is allowed.
    pub fn state(&self, caller: Caller, record: &Record) -> Result<(), ClaimsError> {
        let _lock = self.lock(caller)?;
        self.keep(caller, record)
    }

    /// Keeps how the question ended; whether that end counts.
    ///
    /// # Errors
    /// [`ClaimsError`]; then nothing is allowed.
    pub fn finish(&self, caller: Caller, mine: &Record, phase: Phase, end: End) -> Result<bool, ClaimsError> {
        let _lock = self.lock(caller)?;
        let (record, counts) = finish(self.record(caller)?, mine, phase, end, now());
        if let Some(record) = record {
            self.keep(caller, &record)?;
        }
        Ok(counts)
    }

    /// The nonce of a process's question.
    pub fn nonce(&self, service: &ServiceName, caller: Caller, counter: u64) -> Nonce {
        self.key.nonce(&Origin { boot_id: &self.boot_id, service, caller, counter })
    }

    fn record(&self, caller: Caller) -> Result<Option<Record>, ClaimsError> {
        let name = file_name(caller);
        match self.folder.read(&name, MAX_RECORD_BYTES)? {
            None => Ok(None),
            Some(bytes) => Record::decode(&bytes).map(Some).map_err(|_| ClaimsError::Damaged(self.path(&name))),
        }
    }

    fn keep(&self, caller: Caller, record: &Record) -> Result<(), ClaimsError> {
        let (name, new) = (file_name(caller), format!("{NEW}{}", file_name(caller)));
        self.folder.write_new(&new, &record.encode())?;
        Ok(self.folder.rename(&new, &name)?)
    }

    fn boot_key(&self, owner: u32) -> Result<BootKey, ClaimsError> {
        const NAME: &str = "key";
        let damaged = || ClaimsError::Damaged(self.path(NAME));
        let bytes = match self.folder.read(NAME, 64)? {
            Some(bytes) => bytes,
            None => {
                self.make_key(NAME)?;
                self.folder.read(NAME, 64)?.ok_or_else(damaged)?
            }
        };
        let stat = statat(self.folder.fd(), NAME, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|cause| self.folder.failed(NAME, cause))?;
        let key = bytes.try_into().ok().filter(|_| stat.st_uid == owner && stat.st_mode & 0o077 == 0);
        key.map(BootKey::new).ok_or_else(damaged)
    }

    /// Puts a key there whole; where another process was first, that one's stays.
    fn make_key(&self, name: &str) -> Result<(), ClaimsError> {
        let random = atomic::random::<32>();
        let key = random.map_err(|e| ClaimsError::System { path: "/dev/urandom".into(), cause: errno(&e) })?;
        // A name of this thread's own, which is swept like any other once the process is gone.
        let (pid, thread) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero());
        let new = format!("{NEW}{pid}-{}-{thread}", start_time_of(pid).unwrap_or(0));
        self.folder.write_new(&new, &key)?;
        let linked = linkat(self.folder.fd(), &new, self.folder.fd(), name, AtFlags::empty());
        // What goes wrong here is left for the sweep.
        let _ = self.folder.remove(&new);
        match linked {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(cause) => Err(self.folder.failed(name, cause).into()),
        }
    }

    /// The lock of one calling process: helpers of the same one wait for each other, and nobody for anybody else.
    fn lock(&self, caller: Caller) -> Result<OwnedFd, ClaimsError> {
        Ok(self.folder.lock(&format!("{LOCK}{}", file_name(caller)), PATIENCE)?)
    }

    /// Removes records of processes that are gone. What goes wrong here hurts nobody and is left for the next run.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.folder.path()) else { return };
        for name in entries.take(SWEEP).filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let Some(caller) = named(&name) else { continue };
            if start_time_of(caller.pid) != Some(caller.start_time) {
                let _ = self.folder.remove(&name);
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn file_name(caller: Caller) -> String {
    format!("{}-{}", caller.pid, caller.start_time)
}

/// Whose a file is, locks, new files and break-glass passes included.
fn named(file: &str) -> Option<Caller> {
    let bare = [LOCK, NEW, "glass-"].iter().find_map(|kind| file.strip_prefix(kind)).unwrap_or(file);
    let mut numbers = bare.split('-');
    Some(Caller { pid: numbers.next()?.parse().ok()?, start_time: numbers.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use identree_core::grant::SignedAnswer;

    use super::*;

    const USABLE: Duration = Duration::from_secs(150);

    fn folder() -> (tempfile::TempDir, PathBuf, u32) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        (folder, path, rustix::process::geteuid().as_raw())
    }

    fn me() -> Caller {
        crate::facts::caller(std::process::id()).unwrap()
    }

    #[test]
    fn what_one_helper_keeps_the_next_one_finds() {
        let (_folder, path, owner) = folder();
        let answer = SignedAnswer { bytes: vec![1], signature: vec![2] };
        let first = Claims::open(&path, owner).unwrap();
        let Step::Ask(mine) = first.begin(me(), Phase::Auth, USABLE).unwrap() else { panic!("asks first") };
        assert!(first.finish(me(), &mine, Phase::Auth, End::Approved(answer)).unwrap());
        let second = Claims::open(&path, owner).unwrap();
        let service = ServiceName::parse("sudo").unwrap();
        assert_eq!(first.nonce(&service, me(), 0), second.nonce(&service, me(), 0), "one key per boot");
        assert!(matches!(second.begin(me(), Phase::Account, USABLE), Ok(Step::Claim(_))));
        assert_eq!(fs::metadata(path.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_record_refuses_its_process_and_says_which_file() {
        let (_folder, path, owner) = folder();
        let claims = Claims::open(&path, owner).unwrap();
        fs::write(path.join(file_name(me())), b"rubbish").unwrap();
        let error = claims.begin(me(), Phase::Auth, USABLE).unwrap_err();
        assert!(error.to_string().contains(&file_name(me())), "{error}");
        fs::write(path.join("key"), b"short").unwrap();
        assert!(matches!(Claims::open(&path, owner), Err(ClaimsError::Damaged(_))));
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let (folder, path, owner) = folder();
        Claims::open(&path, owner).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Claims::open(&path, owner), Err(ClaimsError::Directory { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(Claims::open(&path, owner + 1), Err(ClaimsError::Directory { .. })));
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(Claims::open(&link, owner), Err(ClaimsError::Directory { .. })));
    }

    #[test]
    fn records_of_dead_processes_are_swept_and_living_ones_stay() {
        let (_folder, path, owner) = folder();
        let claims = Claims::open(&path, owner).unwrap();
        claims.begin(me(), Phase::Auth, USABLE).unwrap();
        let reused = Caller { start_time: me().start_time + 1, ..me() };
        claims.begin(reused, Phase::Auth, USABLE).unwrap();
        Claims::open(&path, owner).unwrap();
        assert!(path.join(file_name(me())).exists() && !path.join(file_name(reused)).exists());
        assert!(!path.join(format!("{LOCK}{}", file_name(reused))).exists());
    }

    #[test]
    fn who_is_stopped_with_a_lock_holds_up_nobody_else() {
        let (_folder, path, owner) = folder();
        let claims = Claims::open(&path, owner).unwrap();
        let _held = claims.lock(me()).unwrap();
        let other = Caller { start_time: me().start_time + 1, ..me() };
        let claims = Claims::open(&path, owner).unwrap();
        assert!(matches!(claims.begin(other, Phase::Auth, USABLE), Ok(Step::Ask(_))));
        assert!(matches!(claims.begin(me(), Phase::Auth, USABLE), Err(ClaimsError::Locked(_))));
    }

    #[test]
    fn all_that_begin_at_once_find_one_key() {
        let (_folder, path, owner) = folder();
        let service = ServiceName::parse("sudo").unwrap();
        let open = || Claims::open(&path, owner).unwrap().nonce(&service, me(), 0);
        let nonces: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(nonces.iter().all(|nonce| *nonce == nonces[0]), "{nonces:?}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "nothing is left aside");
    }
}
