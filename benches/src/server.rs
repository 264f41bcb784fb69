//! The real `identree serve` on loopback: SQLite, TLS 1.3 with a throw-away P-256 certificate, one registered host.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::process::private_directory;

/// Allows everything at once: what `helper-cost` asks for.
pub const ALLOW: &str = r#"{"policies": [{"name": "allow", "match_users": ["*"], "action": "allow"}]}"#;

/// Asks for everything; the requester may approve.
pub const ASK: &str = r#"{"policies": [{"name": "default"}]}"#;

/// A running server; it is stopped and its files are removed on drop.
#[derive(Debug)]
pub struct Server {
    directory: tempfile::TempDir,
    child: Child,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Server {
    /// Starts the server program with this policy file and these further settings, and registers the host `bench`.
    ///
    /// # Errors
    /// If it does not start; what it said is in the text.
    pub fn start(program: &Path, policies: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let directory = private_directory()?;
        prepare(directory.path(), policies)?;

        // Before the server runs, which notices later changes within a second.
        let host = command(program, directory.path()).args(["add-host", "bench", "--client-conf"]).output()?;
        if !host.status.success() {
            return Err(format!("add-host: {}", String::from_utf8_lossy(&host.stderr)).into());
        }

        let mut child = command(program, directory.path())
            .arg("serve")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("no pipe")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let (plain, tls) = loop {
            let Some(line) = lines.next().transpose()? else {
                child.wait()?;
                return Err(format!("the server did not start:\n{said}").into());
            };
            let address = |key: &str| line.split_once(key).and_then(|(_, rest)| rest.split_whitespace().next());
            if let (Some(plain), Some(tls)) = (address("plain=http://"), address("tls=https://")) {
                break (plain.parse()?, tls.parse()?);
            }
            said += &format!("{line}\n");
        };
        // Whatever it logs later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { directory, child, plain, tls };
        server.write_client_conf(&String::from_utf8(host.stdout)?)?;
        Ok(server)
    }

    /// Where browsers reach it, and hosts without TLS.
    pub const fn plain(&self) -> SocketAddr {
        self.plain
    }

    /// Where hosts reach it.
    pub const fn tls(&self) -> SocketAddr {
        self.tls
    }

    /// The certificate to trust.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The host's file.
    pub fn client_conf(&self) -> PathBuf {
        self.directory.path().join("client.conf")
    }

    fn write_client_conf(&self, text: &str) -> Result<()> {
        let kept = text.lines().filter(|line| !line.starts_with("IDENTREE_SERVER_URL="));
        let own =
            [format!("IDENTREE_SERVER_URL=https://{}", self.tls), format!("IDENTREE_CA_CERT={}", self.ca().display())];
        let lines: Vec<_> = own.iter().map(String::as_str).chain(kept).collect();
        write(&self.client_conf(), &(lines.join("\n") + "\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes what a server reads: a throw-away certificate with its key, and the policy file.
pub(crate) fn prepare(directory: &Path, policies: &str) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    write(&directory.join("ca.pem"), &certified.cert.pem())?;
    write(&directory.join("key.pem"), &certified.signing_key.serialize_pem())?;
    write(&directory.join("policies.json"), policies)?;
    write(&directory.join("config.toml"), "")
}

/// A server program in a prepared directory, on free ports of loopback.
pub(crate) fn command(program: &Path, directory: &Path) -> Command {
    let file = |name: &str| directory.join(name);
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("IDENTREE_TOML_CONFIG_FILE", file("config.toml"))
        .env("IDENTREE_DATA_DIR", directory)
        .env("IDENTREE_EXTERNAL_URL", "https://127.0.0.1:0")
        .env("IDENTREE_LISTEN_ADDR", "127.0.0.1:0")
        .env("IDENTREE_TLS_LISTEN_ADDR", "127.0.0.1:0")
        .env("IDENTREE_TLS_CERT_FILE", file("ca.pem"))
        .env("IDENTREE_TLS_KEY_FILE", file("key.pem"))
        .env("IDENTREE_APPROVAL_POLICIES_FILE", file("policies.json"))
        .env("IDENTREE_SHARED_SECRET", "a master secret for benchmarks only, 0123456789")
        // Nobody signs in here: the server starts without its provider and says so.
        .env("IDENTREE_OIDC_ISSUER_URL", "http://127.0.0.1:9")
        .env("IDENTREE_OIDC_CLIENT_ID", "bench")
        .env("IDENTREE_OIDC_CLIENT_SECRET", "bench")
        // What is measured is the server, not its limits.
        .env("IDENTREE_RATE_PER_HOST", "0")
        .env("IDENTREE_RATE_PER_USER", "0")
        .env("IDENTREE_RATE_PER_ADDRESS", "0")
        .env("IDENTREE_MAX_PENDING", "1000000")
        .env("IDENTREE_MAX_PENDING_PER_HOST", "1000000")
        .env("IDENTREE_MAX_PENDING_PER_USER", "1000000")
        .env("IDENTREE_DENIAL_COOLDOWN", "0s")
        .stdin(Stdio::null());
    command
}

/// A file for the owner only, as the programs demand it.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
