//! Everything that leaves over HTTP: one contract, one client, and the addresses that nothing may go to.

#[cfg(feature = "http")]
mod client;
pub mod guard;
#[cfg(test)]
mod tests;
#[cfg(feature = "http")]
mod transport;

#[cfg(feature = "http")]
pub use self::client::{HttpClient, HttpClientError, HttpLimits};
#[cfg(feature = "http")]
pub use self::transport::{HttpTransport, TransportError};
