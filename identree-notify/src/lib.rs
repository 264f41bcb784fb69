#![doc = include_str!("../README.md")]

#[cfg(feature = "jsonl")]
pub mod jsonl;
pub mod line;
#[cfg(feature = "syslog")]
pub mod syslog;

#[cfg(test)]
mod tests;
