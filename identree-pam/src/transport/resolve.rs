//! From a name to addresses, with a deadline. The system's resolver has none and threads are not wanted here, so a child
//! process asks it and is killed when time is over.

use std::io::{Read as _, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::PollFlags;

use super::{TransportError, Watch};
use crate::clock::Moment;
use crate::config::{OWN_PROGRAM, trusted_program};

/// The hidden option that makes the helper's binary resolve a name and print the addresses.
pub const RESOLVE: &str = "--resolve";

/// More addresses than any server has; what exceeds it is cut.
const MAX_OUTPUT: usize = 16 * 1024;

/// What the child does: prints the addresses of `name`, one per line. False if there are none.
pub fn resolve_here(name: &str, out: &mut impl Write) -> bool {
    let Ok(found) = (name, 0).to_socket_addrs() else { return false };
    found.map(|address| writeln!(out, "{}", address.ip())).all(|written| written.is_ok())
}

/// The addresses of `name`, asked for by a child process with an empty environment: `resolver`, which is this very program
/// or root's alone.
pub(super) fn addresses(
    resolver: &Path,
    name: &str,
    port: u16,
    watch: &Watch,
    until: Moment,
) -> Result<Vec<SocketAddr>, TransportError> {
    let failed = |why: &str| TransportError::Unreachable(format!("the name {name} cannot be resolved: {why}"));
    if resolver != Path::new(OWN_PROGRAM) {
        trusted_program(resolver).map_err(|e| failed(&e.to_string()))?;
    }
    let mut command = Command::new(resolver);
    command.args([RESOLVE, name]).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Reaped(command.spawn().map_err(|e| failed(&e.to_string()))?);
    let mut stdout = child.0.stdout.take().ok_or_else(|| failed("no answer"))?;
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        if !watch.wait(Some((stdout.as_fd(), PollFlags::IN)), until)? {
            return Err(failed("no answer in time"));
        }
        match stdout.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) if text.len() < MAX_OUTPUT => text.extend_from_slice(&buffer[..read]),
            Ok(_) => break,
            Err(e) => return Err(failed(&e.to_string())),
        }
    }
    let found = parse(&text, port);
    if found.is_empty() { Err(failed("no such name, or the name servers do not answer")) } else { Ok(found) }
}

fn parse(text: &[u8], port: u16) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for address in String::from_utf8_lossy(text).lines().filter_map(|line| line.parse::<IpAddr>().ok()) {
        let address = SocketAddr::new(address, port);
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// A child that does not outlive its use.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_once_each() {
        let read = parse(b"127.0.0.1\n127.0.0.1\n::1\nrubbish\n", 7);
        assert_eq!(read, ["127.0.0.1:7".parse().unwrap(), "[::1]:7".parse().unwrap()]);
    }

    #[test]
    fn an_address_resolves_to_itself() {
        let mut out = Vec::new();
        assert!(resolve_here("127.0.0.1", &mut out));
        assert_eq!(parse(&out, 1), ["127.0.0.1:1".parse().unwrap()]);
    }
}
