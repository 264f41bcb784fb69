//! Budget: none, it is the yardstick of `helper-cost`: one POST over TLS 1.3 (rustls with ring) and out.
//!
//! usage: `bare-post ADDRESS CA-FILE AUTHORIZATION BODY` - ends with 0 when the response is a success.

use std::process::ExitCode;

use identree_benches::http::Connection;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().unwrap_or_default();
    let (address, ca, authorization, body) = (argument(), argument(), argument(), argument());
    let post = || -> identree_benches::Result<u16> {
        let mut connection = Connection::tls(address.parse()?, &std::fs::read(ca)?)?;
        let headers = format!("Authorization: {authorization}\r\nContent-Type: application/json\r\n");
        Ok(connection.call("POST", "/api/challenge", &headers, body.as_bytes())?.status)
    };
    match post() {
        Ok(200 | 201) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
