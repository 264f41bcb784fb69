#![doc = include_str!("../README.md")]

#[cfg(any(feature = "loki", feature = "splunk"))]
mod http;
#[cfg(feature = "jsonl")]
pub mod jsonl;
pub mod line;
#[cfg(feature = "loki")]
pub mod loki;
#[cfg(feature = "splunk")]
pub mod splunk;
#[cfg(feature = "syslog")]
pub mod syslog;

#[cfg(any(feature = "loki", feature = "splunk"))]
pub use self::http::EndpointError;

#[cfg(test)]
mod tests;
