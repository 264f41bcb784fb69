//! Syslog (RFC 5424) over UDP, TCP and TLS.

mod address;
mod message;
mod stream;
mod tls;
mod udp;

use std::sync::Arc;

use async_trait::async_trait;
use identree_core::audit::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
use identree_core::time::Clock;
use tokio::sync::Mutex;

pub use self::address::{SyslogAddress, SyslogAddressError, Transport};
use self::message::Messages;
use self::stream::Stream;

/// The sink cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyslogError {
    /// The file of authorities holds no certificate.
    #[error("no certificate of an authority in PEM form was found")]
    Authorities,
    /// TLS cannot be set up, as where the system has no authorities.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// Sends each event as one message whose text is the line of JSON (see [`line`](crate::line)).
///
/// What `Ok` means. **TCP and TLS**: the system has taken the messages and the far side was not seen to go away, before or after. Syslog has
/// no receipt: what a receiver may not have read when it went away, and what it read in its last ten seconds, is sent again once it is back
/// (the last 256 KiB), and may be there twice. Not promised: what it had read before and lost itself, and what was under way when both ends
/// crashed.
/// **UDP**: the messages were sent. A message beyond 2,048 bytes goes without its details and says so (`"shortened":true`).
pub struct SyslogSink {
    name: SinkName,
    address: SyslogAddress,
    messages: Messages,
    clock: Arc<dyn Clock>,
    /// Not used over UDP.
    stream: Mutex<Stream>,
}

impl SyslogSink {
    /// A sink for this address; nothing is connected yet. `host` is the machine's own name, which each message carries. `authorities`:
    /// certificates in PEM form that alone are trusted then over TLS; without them the system's are.
    ///
    /// # Errors
    /// [`SyslogError`] if the certificates are none or TLS cannot be set up.
    pub fn new(
        address: SyslogAddress,
        host: &str,
        authorities: Option<&[u8]>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SyslogError> {
        let tls = if address.transport == Transport::Tls { Some(tls::config(authorities)?) } else { None };
        let stream = Mutex::new(Stream::new(address.clone(), tls, Arc::clone(&clock)));
        let messages = Messages::new(host);
        Ok(Self { name: SinkName("syslog".into()), address, messages, clock, stream })
    }
}

impl std::fmt::Debug for SyslogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyslogSink").field("address", &self.address).finish_non_exhaustive()
    }
}

#[async_trait]
impl AuditSink for SyslogSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        let datagrams = self.address.transport == Transport::Udp;
        let message = |event: &SealedEvent| {
            let mut message = Vec::with_capacity(1024);
            match datagrams {
                true => self.messages.write_within(event, udp::MOST, &mut message),
                false => self.messages.write(event, &mut message),
            }
            message
        };
        let messages: Vec<_> = events.iter().map(message).collect();
        if datagrams {
            udp::send(&self.address, &messages, &*self.clock).await?;
        } else {
            self.stream.lock().await.send(messages).await?;
        }
        Ok(events.last().map_or(EventSeq(0), |event| event.seq))
    }
}
