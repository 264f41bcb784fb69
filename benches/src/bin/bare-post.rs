//! Budget: none, it is the yardstick of `helper-cost`: one POST over TLS 1.3 (rustls with ring) and out.
//!
//! usage: `bare-post ADDRESS CA-FILE` - ends with 0 when any response has come.

use std::process::ExitCode;

use identree_benches::http::Connection;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(ca)) = (arguments.next(), arguments.next()) else { return ExitCode::from(2) };
    let done = || -> identree_benches::Result<u16> {
        let mut connection = Connection::tls(address.parse()?, &std::fs::read(ca)?)?;
        let headers = "Content-Type: application/json\r\nAccept: application/json\r\n";
        Ok(connection.call("POST", "/api/challenge", headers, br#"{"v":1,"command":"sudo whoami"}"#)?.status)
    };
    match done() {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
