//! One request out, one answer back: the contract.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::retry::Retry;

/// No answer came. No text holds a path, a query or a header, where credentials may stand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The name leads to an address that no request may go to, and to no other.
    #[error("{host} is {address}, which is {why}: no request goes there")]
    Forbidden {
        /// The host of the URL.
        host: String,
        /// Its address.
        address: IpAddr,
        /// What the address is.
        why: &'static str,
    },
    /// There was no connection.
    #[error("{host} cannot be reached")]
    Connect {
        /// The host of the URL.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer did not come in time.
    #[error("{host} did not answer in time")]
    TimedOut {
        /// The host of the URL.
        host: String,
    },
    /// The connection ended before the answer did.
    #[error("{host} broke off")]
    Broken {
        /// The host of the URL.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is longer than it may be.
    #[error("{host} answered more than {most} bytes")]
    TooLarge {
        /// The host of the URL.
        host: String,
        /// The limit.
        most: usize,
    },
    /// The request is none: not an http or https URL, or one with a user and a password in it.
    #[error("the request cannot be made: {0}")]
    Request(&'static str),
}

impl TransportError {
    /// What the caller may do. A forbidden address is one of today's: a name may lead elsewhere tomorrow.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Request(_) => Retry::Never,
            _ => Retry::Later,
        }
    }
}

/// Sends requests. Tests script it; [`HttpClient`](super::HttpClient) is the real one.
///
/// # What it must guarantee
///
/// - Nothing is followed: whoever asked sees a 3xx as it came. It is never success.
/// - It ends: there is a deadline, and a limit to the answer.
#[async_trait]
pub trait HttpTransport: Send + Sync + 'static {
    /// Sends the request and takes the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`TransportError`] if no whole answer came. The request may have been acted on.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError>;
}

#[async_trait]
impl<T: HttpTransport + ?Sized> HttpTransport for Arc<T> {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        (**self).send(request).await
    }
}
