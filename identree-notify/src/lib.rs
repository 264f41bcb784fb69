#![doc = include_str!("../README.md")]

#[cfg(feature = "jsonl")]
pub mod jsonl;
pub mod line;

#[cfg(test)]
mod tests;
