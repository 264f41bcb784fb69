//! Messages as datagrams.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use identree_core::audit::SinkError;
use identree_core::time::Clock;
use tokio::net::UdpSocket;

use super::address::SyslogAddress;

/// The longest message: what every receiver shall take (RFC 5426 §3.2).
pub(super) const MOST: usize = 2048;
/// So many at once, then a pause: a receiver's buffer commonly holds some ninety of this length.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);

/// Sends each message. The name is looked up anew each time: nothing else would tell that the receiver has moved.
pub(super) async fn send(address: &SyslogAddress, messages: &[Vec<u8>], clock: &dyn Clock) -> Result<(), SinkError> {
    let failed = |error: std::io::Error| SinkError::later(format!("{address}: {error}"));
    let to = address.resolve().await?[0];
    let from = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(from).await.map_err(failed)?;
    socket.connect(to).await.map_err(failed)?;
    for (n, messages) in messages.chunks(BURST).enumerate() {
        if n > 0 {
            clock.sleep_until(clock.now() + PAUSE).await;
        }
        for message in messages {
            socket.send(message).await.map_err(failed)?;
        }
    }
    // A host that has nobody at the port says so, sometimes.
    match socket.take_error().map_err(failed)? {
        Some(error) => Err(failed(error)),
        None => Ok(()),
    }
}
