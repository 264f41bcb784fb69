//! The sinks against real programs where Debian has them, and against contract servers written from the vendors' documentation.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, what fails says where")]

mod events;
mod faults;
mod http;
mod loki;
mod peer;
mod rsyslog;
mod splunk;
mod syslog;
