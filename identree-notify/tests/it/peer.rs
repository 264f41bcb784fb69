//! Programs and ports that the tests need.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

/// A port of the loopback that nobody has, for a program that takes a number only. Both for streams and for datagrams.
pub(crate) fn free_port() -> u16 {
    loop {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = stream.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program without which there is nothing to test.
pub(crate) fn need(file: &str) {
    assert!(Path::new(file).exists(), "{file} is not installed: run .ci/install");
}
