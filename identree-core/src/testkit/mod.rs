//! For whoever implements a contract or embeds the engine: sample data, and one conformance suite per trait.
//!
//! An implementation that has not passed its suite is not an implementation.

pub mod fakes;
pub mod history;
pub mod journal;
pub mod log;
pub mod recorder;
pub mod sealing;
pub mod shared;
pub mod shelf;
pub mod suite;
