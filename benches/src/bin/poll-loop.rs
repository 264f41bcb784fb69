//! Budget: none, it is the yardstick of `approve-latency`: a host that asks every 2 s, the first time after 2 s.
//!
//! usage: `poll-loop CLIENT-CONF` - opens a question, prints its address, ends with 0 when it is settled.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use identree_benches::Result;
use identree_benches::host::{Host, question};
use identree_benches::http::Connection;
use identree_core::wire::v1::{CHALLENGES, Reply, Status};

const INTERVAL: Duration = Duration::from_secs(2);

fn main() -> Result<ExitCode> {
    let path = std::env::args().nth(1).ok_or("usage: poll-loop CLIENT-CONF")?;
    let host = Host::read(Path::new(&path))?;
    let mut connection = Connection::tls(host.authority.parse()?, &host.ca)?;
    let mut call = |method: &str, target: &str, body: &[u8]| -> Result<Reply> {
        let authorization = host.authorization(method, target, body)?;
        let headers = format!("Authorization: {authorization}\r\nContent-Type: application/json\r\n");
        let response = connection.call(method, target, &headers, body)?;
        if response.status >= 300 {
            return Err(String::from_utf8_lossy(&response.body).into_owned().into());
        }
        Ok(serde_json::from_slice(&response.body)?)
    };
    let opened = call("POST", CHALLENGES, &question()?)?;
    writeln!(std::io::stdout(), "  Approve  {}", opened.verification_url.ok_or("no address")?)?;
    let target = format!("{CHALLENGES}/{}?wait=0", opened.challenge_id);
    loop {
        std::thread::sleep(INTERVAL);
        if call("GET", &target, b"")?.status != Status::Pending {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
