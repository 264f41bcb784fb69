//! Messages over TCP and TLS: counted, and sent again where the far side went away with them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use identree_core::audit::SinkError;
use identree_core::time::{Clock, Timestamp};
use rustix::net::{RecvFlags, sockopt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::SyslogAddress;

/// To have a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// To have a batch taken by the system, and by the far side as far as its buffers go.
const WRITE: Duration = Duration::from_secs(30);
/// After this time without a sign from the far side the system gives a connection up.
const SILENCE: Duration = Duration::from_secs(30);
/// How much of what was sent last is kept to be sent again: what may have stood unread in the buffers of a far side that went away.
const KEPT: usize = 256 * 1024;
/// What was sent before that is not sent again where the far side ended the connection in an orderly way: it has read it, and had the
/// time to do what it does with it. A receiver that is killed ends its connections in the same way.
const RECENT: Duration = Duration::from_secs(10);

/// A connection that is made when it is needed.
pub(super) struct Stream {
    address: SyslogAddress,
    tls: Option<Arc<rustls::ClientConfig>>,
    connection: Option<Connection>,
    /// Messages that the system has taken and the far side may not have read.
    unsure: VecDeque<(Timestamp, Vec<u8>)>,
    clock: Arc<dyn Clock>,
}

enum Connection {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// How a connection stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Open,
    /// The far side closed it after it had read everything.
    Ended,
    Broken,
}

impl Stream {
    pub(super) const fn new(
        address: SyslogAddress,
        tls: Option<Arc<rustls::ClientConfig>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { address, tls, connection: None, unsure: VecDeque::new(), clock }
    }

    /// Sends messages, each with its count. If this returns, the system has taken all of them and the far side has not been seen to
    /// go away.
    pub(super) async fn send(&mut self, messages: Vec<Vec<u8>>) -> Result<(), SinkError> {
        // Taken out: whoever drops this future drops the connection too, and no message ends in the middle of another.
        let kept = match self.connection.take().map(|mut connection| (connection.standing(), connection)) {
            Some((Standing::Open, connection)) => Some(connection),
            Some((Standing::Ended, _)) => {
                let now = self.clock.now();
                self.unsure.retain(|(sent, _)| now.since(*sent) < RECENT);
                None
            }
            Some((Standing::Broken, _)) | None => None,
        };
        let mut bytes = Vec::with_capacity(messages.iter().map(|message| message.len() + 8).sum());
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let connection = self.connect().await?;
                self.unsure.iter().for_each(|(_, message)| count(message, &mut bytes));
                connection
            }
        };
        messages.iter().for_each(|message| count(message, &mut bytes));
        let written = timeout(WRITE, connection.write(&bytes)).await;
        written.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())).map_err(|error| self.later(&error))?;
        if connection.standing() != Standing::Open {
            return Err(SinkError::later(format!("{}: the far side closed the connection", self.address)));
        }
        self.connection = Some(connection);
        self.keep(messages);
        Ok(())
    }

    fn keep(&mut self, messages: Vec<Vec<u8>>) {
        let now = self.clock.now();
        self.unsure.extend(messages.into_iter().map(|message| (now, message)));
        let mut length: usize = self.unsure.iter().map(|(_, message)| message.len()).sum();
        while length > KEPT
            && let Some((_, oldest)) = self.unsure.pop_front()
        {
            length -= oldest.len();
        }
    }

    async fn connect(&self) -> Result<Connection, SinkError> {
        let addresses = self.address.resolve().await?;
        let connected = timeout(CONNECT, async {
            let stream = TcpStream::connect(&*addresses).await?;
            stream.set_nodelay(true)?;
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_user_timeout(&stream, u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))?;
            let Some(tls) = &self.tls else { return Ok(Connection::Tcp(stream)) };
            let name = ServerName::try_from(self.address.host.clone()).map_err(io::Error::other)?;
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
            Ok(Connection::Tls(Box::new(stream)))
        });
        let connected = connected.await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        connected.map_err(|error| if refused(&error) { self.never(&error) } else { self.later(&error) })
    }

    fn later(&self, error: &io::Error) -> SinkError {
        SinkError::later(format!("{}: {error}", self.address))
    }

    fn never(&self, error: &io::Error) -> SinkError {
        SinkError::never(format!(
            "{}: {error}; if its certificate is of an authority of your own, name that by IDENTREE_AUDIT_SYSLOG_CA_FILE",
            self.address
        ))
    }
}

/// RFC 6587 §3.4.1: the length in decimal digits, a space, the message.
fn count(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(message.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(message);
}

/// Whether the far side is somebody else, or wants to know who we are: that does not pass by itself.
fn refused(error: &io::Error) -> bool {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else { return false };
    matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
}

impl Connection {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Looks at the side that is read, where nothing but an end is expected. Never waits.
    fn standing(&mut self) -> Standing {
        // What a far side says is thrown away; one that never stops is as good as broken.
        for _ in 0..64 {
            // Asked of the system itself: what the runtime has not heard of yet counts too.
            match rustix::net::recv(self.socket(), &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::AGAIN) => return Standing::Open,
                Ok((0, _)) => return self.ended(),
                Ok(_) => {}
                Err(_) => return Standing::Broken,
            }
            match self.read_now() {
                Poll::Pending => return Standing::Open,
                Poll::Ready(Ok(0)) => return self.ended(),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Standing::Broken,
            }
        }
        Standing::Broken
    }

    /// An orderly end tells that everything was read; what was sent after it comes back as an error of the socket.
    fn ended(&self) -> Standing {
        if matches!(self.socket().take_error(), Ok(None)) { Standing::Ended } else { Standing::Broken }
    }

    fn read_now(&mut self) -> Poll<io::Result<usize>> {
        let mut space = [0; 4096];
        let mut buffer = ReadBuf::new(&mut space);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let polled = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(&mut context, &mut buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(&mut context, &mut buffer),
        };
        polled.map_ok(|()| buffer.filled().len())
    }
}
