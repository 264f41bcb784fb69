//! A proxy as a child process, with the recipe for its configuration.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::lines::Lines;
use crate::recipe::{Kind, Local};

pub(crate) struct Proxy {
    child: Child,
    /// Where it writes besides.
    files: Vec<PathBuf>,
    pub(crate) log: Lines,
}

impl Kind {
    /// Whether the proxy and curl are installed; says so if not.
    pub(crate) fn is_here(self) -> bool {
        // nginx and haproxy are in a directory that only root's PATH has.
        let there = |program: &str| {
            let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
            folders.into_iter().any(|folder| Path::new(folder).join(program).exists())
        };
        let missing: Vec<_> = [self.program(), "curl"].into_iter().filter(|program| !there(program)).collect();
        if missing.is_empty() {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "whether it may be missing is told by the environment")]
        let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!must, "install {}", missing.join(" and "));
        eprintln!("not run: {} is not installed", missing.join(" and "));
        false
    }
}

impl Proxy {
    /// Starts it and waits until it listens.
    pub(crate) fn start(kind: Kind, local: &Local<'_>) -> Self {
        let mut recipe = kind.recipe(local);
        let folder = local.folder;
        let file = folder.join("recipe");
        let mut command = Command::new(kind.program());
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin").current_dir(folder);
        match kind {
            Kind::Nginx => {
                recipe = nginx_main(folder, &recipe);
                command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(&file);
            }
            Kind::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
                command.env("HOME", folder);
            }
            Kind::Haproxy => {
                let main = folder.join("global");
                std::fs::write(&main, "global\n    log stdout format raw local0\n").unwrap();
                command.args(["-db", "-f"]).arg(main).arg("-f").arg(&file);
            }
        }
        std::fs::write(&file, recipe).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Lines::default();
        log.follow(kind.program(), child.stdout.take().unwrap());
        log.follow(kind.program(), child.stderr.take().unwrap());
        let files = if kind == Kind::Nginx { vec!["identree.log", "identree-error.log"] } else { vec![] };
        let files = files.into_iter().map(|name| folder.join(name)).collect();
        let mut proxy = Self { child, files, log };
        for port in [local.https, local.http] {
            while TcpStream::connect((local.name, port)).is_err() {
                assert!(proxy.child.try_wait().unwrap().is_none(), "{kind:?} ended:\n{}", proxy.log.all());
                // It says something or it does not; either way there is a pause.
                proxy.log.within(proxy.log.count(), Duration::from_millis(20), |_| true);
            }
        }
        proxy
    }

    /// What it has written anywhere.
    pub(crate) fn written(&self) -> String {
        self.files.iter().fold(self.log.all(), |all, file| all + "\n" + &std::fs::read_to_string(file).unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A signal, so that nginx ends its workers too. It fails when the proxy has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        for file in &self.files {
            identree_evidence::text("nginx", &std::fs::read(file).unwrap_or_default());
        }
    }
}

/// What Debian's own `nginx.conf` says around a site, for a private directory.
fn nginx_main(folder: &Path, site: &str) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .collect();
    format!(
        "pid {folder}/nginx.pid;\ndaemon off;\nworker_processes 1;\nevents {{ worker_connections 768; }}\n\
         http {{\naccess_log off;\n{temporary}{site}}}\n"
    )
}

/// A port that is free on every address, below those that outgoing connections take.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 600).unwrap() * 20;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
