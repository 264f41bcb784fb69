//! A host as its `client.conf` describes it: signs requests and makes questions, for yardsticks that do less than the helper.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use identree_core::challenge::{CommandSource, RunAs, SudoFacts};
use identree_core::credential::{HostSecret, Request};
use identree_core::id::{HostName, Nonce, ServiceName, UserName};
use identree_core::wire::v1::OpenRequest;

use crate::Result;

/// What a host knows.
#[derive(Debug)]
pub struct Host {
    /// The server, as `ADDRESS:PORT`.
    pub authority: String,
    /// The authority to trust, in PEM.
    pub ca: Vec<u8>,
    name: HostName,
    secret: HostSecret,
}

impl Host {
    /// Reads `client.conf`.
    ///
    /// # Errors
    /// If something is missing in it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let settings: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let setting = |name: &str| settings.get(name).copied().ok_or(format!("{name} is not set"));
        Ok(Self {
            authority: setting("IDENTREE_SERVER_URL")?.strip_prefix("https://").ok_or("not https")?.to_owned(),
            ca: fs::read(setting("IDENTREE_CA_CERT")?)?,
            name: HostName::parse(setting("IDENTREE_HOSTNAME")?)?,
            secret: HostSecret::parse(setting("IDENTREE_SHARED_SECRET")?)?,
        })
    }

    /// The value of the Authorization header, good for 90 s.
    ///
    /// # Errors
    /// If the clock stands before 1970.
    pub fn authorization(&self, method: &str, target: &str, body: &[u8]) -> Result<String> {
        let time_secs = now_secs()?;
        let request = Request { method, authority: &self.authority, target, host: &self.name, time_secs, body };
        Ok(self.secret.authorize(&request).to_string())
    }
}

/// The body that opens a new question of root's.
///
/// # Errors
/// If there is no randomness.
pub fn question() -> Result<Vec<u8>> {
    let facts = SudoFacts {
        service: ServiceName::parse("sudo")?,
        requester: UserName::parse("root")?,
        run_as: RunAs { user: UserName::parse("root")?, group: None },
        source: CommandSource::CallerCommandLine,
        argv: vec![b"sudo".to_vec(), b"whoami".to_vec()],
        cwd: None,
        tty: None,
        reason: None,
        run: None,
    };
    let mut nonce = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    Ok(serde_json::to_vec(&OpenRequest::new(Nonce::from_bytes(nonce), &facts))?)
}

#[expect(clippy::disallowed_methods, reason = "the time in the credential is the real one")]
fn now_secs() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}
