//! What the benchmarks share: a bare HTTP client, the programs they start, figures and how they are judged.
//!
//! Every benchmark prints what it measured on and takes its yardstick in the same run, in turn with ours: on a shared machine only
//! ratios and instruction counts hold. Missing a budget is printed, and is a failure only with `--check`.

pub mod arguments;
pub mod browser;
pub mod figures;
pub mod host;
pub mod http;
#[cfg(feature = "server")]
pub mod load;
pub mod process;
pub mod server;

/// What a benchmark may fail with; nothing is recovered.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
