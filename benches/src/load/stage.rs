//! A server under load: started with its data in a directory of its own, watched through procfs, stopped by closing its input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{Ended, Told};
use crate::Result;
use crate::process::{private_directory, sibling};
use crate::server::{command, prepare};

const BUILD: &str = "cargo build --release -p identree-benches --features server --bins";

/// A few rules of each sort, and one that asks for everything else; nobody needs to type a number.
const POLICIES: &str = r#"{"policies": [
    {"name": "backups", "match_users": ["backup-*"], "match_commands": ["restic *", "borg *"], "action": "allow"},
    {"name": "no-shells", "match_commands": ["sudo -s", "sudo -i", "bash*"], "action": "refuse", "reason": "no shells"},
    {"name": "production", "match_hosts": ["prod-*"], "require_admin": true},
    {"name": "databases", "match_hosts": ["db-*", "pg-*"], "min_approvals": 2, "require_admin": true},
    {"name": "vault", "match_hosts": ["vault-1", "vault-2"], "require_fresh_oidc": "5m"},
    {"name": "default", "number_match": false}
]}"#;

/// Where the server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In memory.
    Memory,
    /// In SQLite, durably, all that waits in one transaction.
    Group,
    /// In SQLite, durably, each change in a transaction of its own.
    Each,
}

impl Store {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Memory => ["--store", "mem", "--batch", "256"],
            Self::Group => ["--store", "sqlite", "--batch", "256"],
            Self::Each => ["--store", "sqlite", "--batch", "1"],
        }
    }
}

/// What to start.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The store.
    pub store: Store,
    /// How many hosts may ask.
    pub hosts: usize,
    /// How many people ask and approve.
    pub people: usize,
    /// How many people see everything.
    pub administrators: usize,
}

/// A running server; it is stopped and its files are removed on drop.
#[derive(Debug)]
pub struct Stage {
    /// What it said.
    pub told: Told,
    child: Child,
    lines: BufReader<ChildStdout>,
    directory: tempfile::TempDir,
}

impl Stage {
    /// Starts `bench-server`: identree's own server.
    ///
    /// # Errors
    /// If it does not start.
    pub fn ours(plan: Plan) -> Result<Self> {
        Self::start("bench-server", plan, None, &[])
    }

    /// The same with more settings.
    ///
    /// # Errors
    /// If it does not start.
    pub fn ours_with(plan: Plan, settings: &[(&str, String)]) -> Result<Self> {
        Self::start("bench-server", plan, None, settings)
    }

    /// Starts `bare-probe`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn probe(plan: Plan) -> Result<Self> {
        Self::start("bare-probe", plan, None, &[])
    }

    /// Starts one of the two, `bench-server` or `bare-probe`, over a PostgreSQL database; the plan's store says how it commits.
    ///
    /// # Errors
    /// If it does not start.
    pub fn over_postgres(program: &str, plan: Plan, dsn: &str) -> Result<Self> {
        Self::start(program, plan, Some(dsn), &[])
    }

    fn start(program: &str, plan: Plan, dsn: Option<&str>, settings: &[(&str, String)]) -> Result<Self> {
        let program = sibling(program, BUILD)?;
        let directory = private_directory()?;
        prepare(directory.path(), POLICIES)?;
        let counts = [
            ("--hosts", plan.hosts.to_string()),
            ("--people", plan.people.to_string()),
            ("--administrators", plan.administrators.to_string()),
        ];
        let mut command: Command = command(&program, directory.path());
        command
            .args(["--core", "0"])
            .args(dsn.map_or(&[][..], |_| &["--store", "postgres"]))
            .args(plan.store.arguments())
            .args(counts.iter().flat_map(|(name, count)| [*name, count.as_str()]))
            .env("IDENTREE_EXTERNAL_URL", "http://127.0.0.1:8090")
            .env("IDENTREE_ADMIN_GROUPS", "admins")
            // Every limit counts, and none is met.
            .env("IDENTREE_RATE_PER_HOST", "6000000 burst 100000")
            .env("IDENTREE_RATE_PER_USER", "6000000 burst 100000")
            .env("IDENTREE_RATE_PER_ADDRESS", "6000000 burst 100000")
            .env("IDENTREE_MAX_PENDING", "20000")
            // Each client says its own address, as through a proxy: limits per address count as they would in use.
            .env("IDENTREE_TRUSTED_PROXIES", "127.0.0.1")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(dsn) = dsn {
            // Not among the arguments: it has a password.
            command.env("IDENTREE_DATABASE_DRIVER", "postgres").env("IDENTREE_DATABASE_DSN", dsn);
        }
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let told = serde_json::from_str(&line).map_err(|error| {
            let _ = child.kill(); // it may have ended already
            let _ = child.wait();
            format!("{} did not start: {error}", program.display())
        })?;
        Ok(Self { told, child, lines, directory })
    }

    /// Processor time used so far, in microseconds, user and system together.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn cpu_us(&self) -> Result<f64> {
        // Fields 14 and 15 of stat(5), in ticks of 10 ms; the name in field 2 has no blanks.
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        let ticks: u64 = stat.split(' ').skip(13).take(2).map(str::parse::<u64>).sum::<std::result::Result<_, _>>()?;
        Ok(ticks as f64 * 10_000.0)
    }

    /// What it keeps in memory now, in KiB.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn rss_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Has every question that waits approved, at once and from within: nothing but deciding and telling is measured.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn settle(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().ok_or("stopped")?;
        Ok(input.write_all(b"settle\n")?)
    }

    /// The certificate of the server.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Stops it and reads what it says in the end.
    ///
    /// # Errors
    /// If it does not end as it should.
    pub fn stop(mut self) -> Result<Ended> {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        self.child.wait()?;
        Ok(serde_json::from_str(&line)?)
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
