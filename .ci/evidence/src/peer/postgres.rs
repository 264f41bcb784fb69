//! PostgreSQL in a directory of its own, on a free port of the loopback interface, as an unprivileged user.

use std::fs::Permissions;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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
    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    pub fn start(settings: &[&str]) -> Option<Self> {
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
        keeper.args(["-c", KEEPER, "keeper"]).arg(programs).arg(&directory).stdin(Stdio::piped()).stdout(Stdio::null());
        keeper.stderr(Stdio::null()).process_group(0);
        run_as(&mut keeper, user);
        let keeper = keeper.spawn().expect("sh runs");
        let password = password();
        crate::secret(Kind::Database, &password);
        let settings = settings.iter().map(|setting| format!(" -c {setting}")).collect();
        let (port, schemas) = (0, AtomicU32::new(0));
        let mut cluster = Self { programs, directory, user, port, settings, password, schemas, keeper };
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
        self.directory.join("data")
    }
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
