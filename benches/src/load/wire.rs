//! The barest asynchronous HTTP/1.1 client: one buffer per connection, responses with a length.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a task may fail with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A kept connection.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    received: Vec<u8>,
}

/// A response; its text is good until the next one is read.
#[derive(Debug, Clone, Copy)]
pub struct Response<'w> {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: &'w str,
}

impl Response<'_> {
    /// The text after `"name":"` in a body of JSON.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("\"{name}\":\""))?;
        rest.split_once('"').map(|(text, _)| text)
    }
}

impl Wire<TcpStream> {
    /// Plain TCP.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn plain(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a connection that stands.
    pub const fn over(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends a request: its head without the last empty line and without a length, and its body.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn send(&mut self, head: &str, body: &str) -> Result<(), Failure> {
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(request.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads the response to what was sent.
    ///
    /// # Errors
    /// If the connection breaks or the response has no length.
    pub async fn receive(&mut self) -> Result<Response<'_>, Failure> {
        self.received.clear();
        let end = self.until(b"\r\n\r\n").await?;
        let head = std::str::from_utf8(&self.received[..end])?;
        let status = head.get(9..12).ok_or("no status line")?.parse()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then_some(value)
        });
        let length: usize = length.ok_or("no length")?.parse()?;
        while self.received.len() < end + length {
            self.more().await?;
        }
        Ok(Response { status, body: std::str::from_utf8(&self.received[end..end + length])? })
    }

    /// Reads the head of a response that does not end; what follows stays to be read.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn head(&mut self) -> Result<u16, Failure> {
        let end = self.until(b"\r\n\r\n").await?;
        let status = std::str::from_utf8(&self.received[..end])?.get(9..12).ok_or("no status line")?.parse()?;
        self.received.drain(..end);
        Ok(status)
    }

    /// Waits until this text has arrived, and forgets all that came up to it.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn skip_past(&mut self, text: &str) -> Result<(), Failure> {
        let end = self.until(text.as_bytes()).await?;
        self.received.drain(..end);
        Ok(())
    }

    async fn until(&mut self, pattern: &[u8]) -> Result<usize, Failure> {
        loop {
            if let Some(at) = self.received.windows(pattern.len()).position(|bytes| bytes == pattern) {
                return Ok(at + pattern.len());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }
}
