//! The barest HTTP/1.1 client over TCP or TLS 1.3: what a yardstick may cost at least.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::Result;

/// A connection that is kept.
pub struct Connection<S> {
    stream: S,
    authority: String,
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and headers as they came.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The values of a header; `name` in lower case.
    pub fn headers<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r str> {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Connection<TcpStream> {
    /// Plain TCP.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn plain(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, authority: address.to_string() })
    }
}

impl Connection<StreamOwned<ClientConnection, TcpStream>> {
    /// TLS 1.3 with ring; the only trust is the certificate in the file. The handshake happens with the first request.
    ///
    /// # Errors
    /// If nobody listens there or the file holds no certificate.
    pub fn tls(address: SocketAddr, ca_pem: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem)?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let session = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))?;
        Ok(Self { stream: StreamOwned::new(session, stream), authority: address.to_string() })
    }
}

impl<S: Read + Write> Connection<S> {
    /// Sends a request; `headers` are whole lines, each ended by `\r\n`.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn send(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{headers}\r\n",
            self.authority,
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        self.stream.flush()
    }

    /// Reads the response to what was sent.
    ///
    /// # Errors
    /// If the connection breaks, or the peer does not speak HTTP.
    pub fn receive(&mut self) -> Result<Response> {
        let mut received = Vec::with_capacity(4096);
        let end = loop {
            if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut received)?;
        };
        let head = String::from_utf8(received[..end].to_vec())?;
        let status = head.get(9..12).ok_or("no status line")?.parse()?;
        let mut response = Response { status, head, body: received.split_off(end) };
        let length = response.headers("content-length").next().map(str::parse::<usize>).transpose()?;
        let chunked = response.headers("transfer-encoding").any(|coding| coding.eq_ignore_ascii_case("chunked"));
        if let Some(length) = length {
            while response.body.len() < length {
                self.more(&mut response.body)?;
            }
        } else if chunked {
            while !response.body.ends_with(b"\r\n0\r\n\r\n") && response.body != b"0\r\n\r\n" {
                self.more(&mut response.body)?;
            }
            response.body = joined(&response.body)?;
        }
        Ok(response)
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// Those of both.
    pub fn call(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Result<Response> {
        self.send(method, target, headers, body)?;
        self.receive()
    }

    fn more(&mut self, into: &mut Vec<u8>) -> Result<()> {
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer)? {
            0 => Err("the server closed the connection".into()),
            length => {
                into.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }
}

/// The body out of its chunks (RFC 9112 §7.1).
fn joined(mut chunks: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|bytes| bytes == b"\r\n").ok_or("a chunk without its size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end])?, 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(chunks.get(end + 2..end + 2 + size).ok_or("a chunk that is cut")?);
        chunks = chunks.get(end + 4 + size..).ok_or("a chunk without its end")?;
    }
}
