//! PostgreSQL in a directory of its own, on a free port of the loopback interface, as an unprivileged user.

use std::ffi::CString;
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use crate::Kind;

/// Where Debian keeps the server's programs, newest first: they are in nobody's PATH.
const PROGRAMS: [&str; 3] = ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"];
/// Who runs it when root asks for it, which it refuses to be run by.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// The role that owns the database.
const ROLE: &str = "identree";
/// The name of the database.
const DATABASE: &str = "identree";
/// A role that may do anything.
const ADMIN: &str = "admin";

/// Ends the server and removes its directory once standard input ends: with the process that started it, however that ends.
const KEEPER: &str = r#"cat >/dev/null; "$1"/pg_ctl -s -D "$2"/data -m immediate stop; rm -rf "$2""#;
/// The same for a server whose data is on a file system of its own, which only root may take away.
const ROOT_KEEPER: &str = r#"cat >/dev/null; setpriv --reuid "$3" --regid "$4" --clear-groups "$1"/pg_ctl -s -D "$2"/data/of -m immediate stop
umount "$2"/data; rm -rf "$2""#;

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections end, what is under way is undone.
    Fast,
    /// As if it had been killed: the next start recovers.
    Immediate,
}

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Cluster {
    programs: &'static Path,
    directory: PathBuf,
    /// Its data is on a small file system of its own.
    confined: bool,
    user: Option<(u32, u32)>,
    port: u16,
    settings: String,
    password: String,
    schemas: AtomicU32,
    keeper: Child,
}

impl Cluster {
    /// The one of this process, started when it is first asked for. `None`, and a printed reason, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it does not start, or is not installed and must be (`CI=true`).
    pub fn shared() -> Option<&'static Self> {
        static OURS: OnceLock<Option<Cluster>> = OnceLock::new();
        // What a killed process loses is in the page cache still.
        OURS.get_or_init(|| Self::start(&["fsync=off", "max_connections=400"])).as_ref()
    }

    /// One of its own, with these settings: for tests that stop it, and benchmarks.
    ///
    /// # Panics
    /// If it does not start, or is not installed and must be (`CI=true`).
    pub fn start(settings: &[&str]) -> Option<Self> {
        Self::make_one(settings, None)
    }

    /// The same with so many MiB of room and no more, which [`Cluster::fill`] takes: on a file system that only this thread sees,
    /// and what it starts from now on. Wants root.
    ///
    /// # Panics
    /// If it does not start, or if nothing may be mounted here.
    pub fn start_within(room: usize, settings: &[&str]) -> Option<Self> {
        unshare(CloneFlags::CLONE_NEWNS).expect("root may have a mount namespace of its own");
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .expect("mounts can be kept to ourselves");
        Self::make_one(settings, Some(room))
    }

    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    fn make_one(settings: &[&str], room: Option<usize>) -> Option<Self> {
        let Some(programs) = PROGRAMS.iter().map(Path::new).find(|path| path.join("initdb").exists()) else {
            assert!(!super::must(), "PostgreSQL is not installed: .ci/install");
            eprintln!("not run: PostgreSQL is not installed");
            return None;
        };
        let user = unprivileged();
        let directory =
            tempfile::Builder::new().prefix("identree-postgres-").tempdir().expect("a directory can be made");
        let directory = directory.keep();
        if let Some((user, group)) = user {
            chown(&directory, Some(user), Some(group)).expect("root gives a directory away");
        }
        let mut keeper = Command::new("sh");
        keeper.args(["-c", if room.is_some() { ROOT_KEEPER } else { KEEPER }, "keeper"]).arg(programs).arg(&directory);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        if let Some(room) = room {
            let (user, group) = user.expect("root has somebody to run PostgreSQL as");
            keeper.args([user.to_string(), group.to_string()]);
            confine(&directory.join("data"), room, (user, group));
        } else {
            run_as(&mut keeper, user);
        }
        let keeper = keeper.spawn().expect("sh runs");
        let password = password();
        crate::secret(Kind::Database, &password);
        let settings = settings.iter().map(|setting| format!(" -c {setting}")).collect();
        let (port, schemas) = (0, AtomicU32::new(0));
        let mut cluster =
            Self { programs, directory, confined: room.is_some(), user, port, settings, password, schemas, keeper };
        cluster.make();
        Some(cluster)
    }

    /// Makes its files, starts it, and makes our role and database.
    fn make(&mut self) {
        let secret = self.directory.join("password");
        std::fs::write(&secret, &self.password).expect("a file can be written");
        if let Some((user, group)) = self.user {
            chown(&secret, Some(user), Some(group)).expect("root gives a file away");
        }
        let mut initdb = self.program("initdb");
        // Small pieces: on a full disk the next one is missed soon.
        initdb.args(if self.confined { &["--wal-segsize=1"][..] } else { &[] });
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username", ADMIN]);
        initdb.arg("--pwfile").arg(&secret).arg("-D").arg(self.data());
        done("initdb", &initdb.output().expect("initdb runs"));
        // Somebody else may take a free port before it does.
        let started = (0..5).any(|_| {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
            self.port = free.expect("a free port").port();
            self.try_up()
        });
        assert!(started, "PostgreSQL does not start: {}", self.log());
        let password = &self.password;
        self.admin("postgres", &format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'"));
        self.admin("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"));
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a new, empty schema of our database, as the role that owns both.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn schema(&self) -> String {
        let schema = format!("s{}", self.schemas.fetch_add(1, Ordering::Relaxed));
        self.admin(DATABASE, &format!("CREATE SCHEMA {schema} AUTHORIZATION {ROLE}"));
        format!("{}?options[search_path]={schema}", self.address(DATABASE))
    }

    /// The address of a database, as our role.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://{ROLE}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Runs statements in a database as an administrator; gives what they print, columns apart by `|`, without titles.
    ///
    /// # Panics
    /// If they fail.
    pub fn admin(&self, database: &str, statements: &str) -> String {
        self.psql(&["-U", ADMIN, "-d", database], statements)
    }

    /// Runs statements where an address of [`Cluster::schema`] or [`Cluster::address`] leads.
    ///
    /// # Panics
    /// If they fail.
    pub fn sql(&self, address: &str, statements: &str) -> String {
        let (address, path) = address.split_once("?options[search_path]=").unwrap_or((address, "public"));
        let database = address.rsplit('/').next().unwrap_or_default();
        self.psql(&["-U", ROLE, "-d", database], &format!("SET search_path = {path}; {statements}"))
    }

    fn psql(&self, arguments: &[&str], statements: &str) -> String {
        let mut psql = self.program("psql");
        psql.env("PGPASSWORD", &self.password).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).args(arguments).args(["-c", statements]);
        done("psql", &psql.output().expect("psql runs"))
    }

    /// One of PostgreSQL's programs (`pg_dump`, `psql`), run by the user who runs the server, with the password in its environment.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        run_as(&mut command, self.user);
        command.current_dir(&self.directory).env("PGPASSWORD", &self.password).stdin(Stdio::null());
        command
    }

    /// Speaks TLS with this certificate (PEM) from now on, and nothing else over the network.
    ///
    /// # Panics
    /// If it does not start anew.
    pub fn require_tls(&self, certificate: &str, key: &str) {
        let hba = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
        for (name, text) in [("server.crt", certificate), ("server.key", key), ("pg_hba.conf", hba)] {
            let path = self.data().join(name);
            std::fs::write(&path, text).expect("a file can be written");
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode can be set");
            if let Some((user, group)) = self.user {
                chown(&path, Some(user), Some(group)).expect("root gives a file away");
            }
        }
        self.admin("postgres", "ALTER SYSTEM SET ssl = on");
        self.down(Stop::Fast);
        self.up();
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn up(&self) {
        assert!(self.try_up(), "PostgreSQL does not start: {}", self.log());
    }

    fn try_up(&self) -> bool {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c deadlock_timeout=200ms{}",
            self.port, self.settings
        );
        let mut start = self.program("pg_ctl");
        start.args(["-s", "-w", "-t", "60", "-D"]).arg(self.data()).args(["-o", &options, "-l"]);
        start.arg(self.directory.join("log")).arg("start");
        start.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("pg_ctl runs").success()
    }

    /// Stops it; returns when it is gone.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn down(&self, how: Stop) {
        let mode = if how == Stop::Fast { "fast" } else { "immediate" };
        let mut stop = self.program("pg_ctl");
        stop.args(["-s", "-w", "-m", mode, "-D"]).arg(self.data()).arg("stop");
        done("pg_ctl", &stop.output().expect("pg_ctl runs"));
    }

    /// Takes all the room that is left on its file system.
    ///
    /// # Panics
    /// If it has none of its own.
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file can be made");
        let full = loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    }

    /// Gives it its room back, and starts it again if it ended without.
    ///
    /// # Panics
    /// If it does not start.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("there is a filler");
        // While it recovers by itself there is nothing to start.
        let goes_on = (0..600).any(|_| self.answers() || self.try_up());
        assert!(goes_on, "PostgreSQL does not go on: {}", self.log());
    }

    /// Whether it takes statements.
    fn answers(&self) -> bool {
        let mut ready = self.program("pg_isready");
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status().expect("pg_isready runs").success()
    }

    fn filler(&self) -> PathBuf {
        assert!(self.confined, "only a file system of its own is filled");
        self.directory.join("data/filler")
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?.lines().next()?.parse().ok()
    }

    /// What it wrote about itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Its directory of data: `pg_hba.conf`, `postgresql.conf`.
    pub fn data(&self) -> PathBuf {
        self.directory.join(if self.confined { "data/of" } else { "data" })
    }
}

/// A file system of so many MiB.
fn confine(at: &Path, room: usize, (user, group): (u32, u32)) {
    std::fs::create_dir(at).expect("a directory can be made");
    let options = CString::new(format!("size={room}m,mode=700,uid={user},gid={group}")).expect("no NUL in it");
    mount("tmpfs", at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(&*options))
        .expect("root mounts in its own namespace");
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn run_as(command: &mut Command, user: Option<(u32, u32)>) {
    if let Some((user, group)) = user {
        command.uid(user).gid(group).env("HOME", "/nonexistent");
    }
}

/// Whom root runs it as; `None` for anybody else.
fn unprivileged() -> Option<(u32, u32)> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .is_some_and(|line| line.split_whitespace().nth(2) == Some("0"));
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |name: &&str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(*name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    if root { USERS.iter().find_map(user) } else { None }
}

/// Letters and digits that are like nothing else.
fn password() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    (0..2).map(|n| format!("{:016x}", RandomState::new().hash_one(n))).collect()
}

fn done(name: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_starts_stops_and_leaves_nothing() {
        let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
        stops_and_leaves_nothing(cluster);
        if rustix::process::geteuid().is_root()
            && let Some(cluster) = Cluster::start_within(200, &["fsync=off"])
        {
            let address = cluster.schema();
            cluster.sql(&address, "CREATE TABLE t (n int, text text)");
            cluster.fill();
            let more = "INSERT INTO t SELECT 1, repeat('x', 1000) FROM generate_series(1, 100000)";
            assert!(std::panic::catch_unwind(|| cluster.sql(&address, more)).is_err(), "there is no room for it");
            cluster.free();
            assert_eq!(cluster.sql(&address, "SELECT count(*) FROM t"), "0");
            cluster.sql(&address, "DROP TABLE t");
            stops_and_leaves_nothing(cluster);
        }
    }

    fn stops_and_leaves_nothing(cluster: Cluster) {
        let (one, two) = (cluster.schema(), cluster.schema());
        cluster.sql(&one, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
        assert_eq!(cluster.sql(&one, "SELECT n FROM t"), "7");
        assert_eq!(cluster.sql(&two, "SELECT to_regclass('t')"), "");
        for how in [Stop::Fast, Stop::Immediate] {
            cluster.down(how);
            assert_eq!(cluster.pid(), None);
            cluster.up();
            assert_eq!(cluster.sql(&one, "SELECT n FROM t"), "7");
        }
        let (directory, pid) = (cluster.directory.clone(), cluster.pid().expect("it runs"));
        drop(cluster);
        assert!(!directory.exists());
        // What has ended and was not waited for yet is a zombie (proc(5), `State`).
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        assert!(status.is_empty() || status.contains("State:\tZ"), "{status}");
    }
}
