//! Budget: none, it is the yardstick of `approve-latency`: a host that asks every 2 s, the first time after 2 s.
//!
//! usage: `poll-loop CLIENT-CONF` - opens a question, prints its address, ends with 0 when it is settled.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use identree_benches::Result;
use identree_benches::http::Connection;
use identree_core::challenge::{CommandSource, RunAs, SudoFacts};
use identree_core::credential::{Authorization, HostSecret, Request};
use identree_core::id::{HostName, Nonce, ServiceName, UserName};
use identree_core::wire::v1::{CHALLENGES, OpenRequest, Reply, Status};

const INTERVAL: Duration = Duration::from_secs(2);

fn main() -> Result<ExitCode> {
    let path = std::env::args().nth(1).ok_or("usage: poll-loop CLIENT-CONF")?;
    let text = std::fs::read_to_string(path)?;
    let settings: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let setting = |name: &str| settings.get(name).copied().ok_or(format!("{name} is not set"));
    let authority = setting("IDENTREE_SERVER_URL")?.strip_prefix("https://").ok_or("not https")?;
    let host = HostName::parse(setting("IDENTREE_HOSTNAME")?)?;
    let secret = HostSecret::parse(setting("IDENTREE_SHARED_SECRET")?)?;
    let ca = std::fs::read(setting("IDENTREE_CA_CERT")?)?;
    let mut connection = Connection::tls(authority.parse()?, &ca)?;

    let mut call = |method: &str, target: &str, body: &[u8]| -> Result<Reply> {
        let time_secs = now_secs()?;
        let request = Request { method, authority, target, host: &host, time_secs, body };
        let authorization = Authorization { host: host.clone(), time_secs, mac: secret.mac(&request) };
        let headers = format!("Authorization: {authorization}\r\nContent-Type: application/json\r\n");
        let response = connection.call(method, target, &headers, body)?;
        if response.status >= 300 {
            return Err(String::from_utf8_lossy(&response.body).into_owned().into());
        }
        Ok(serde_json::from_slice(&response.body)?)
    };

    let facts = SudoFacts {
        service: ServiceName::parse("sudo")?,
        requester: UserName::parse("root")?,
        run_as: RunAs { user: UserName::parse("root")?, group: None },
        source: CommandSource::CallerCommandLine,
        argv: vec![b"sudo".to_vec(), b"whoami".to_vec()],
        cwd: None,
        tty: None,
        reason: None,
    };
    let mut nonce = [0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut nonce)?;
    let body = serde_json::to_vec(&OpenRequest::new(Nonce::from_bytes(nonce), &facts))?;
    let opened = call("POST", CHALLENGES, &body)?;
    writeln!(std::io::stdout(), "  Approve  {}", opened.verification_url.ok_or("no address")?)?;
    let target = format!("{CHALLENGES}/{}?wait=0", opened.challenge_id);
    loop {
        std::thread::sleep(INTERVAL);
        if call("GET", &target, b"")?.status != Status::Pending {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the time in the credential is the real one")]
fn now_secs() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}
