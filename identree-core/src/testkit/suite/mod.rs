//! One suite per trait: plain async functions, one per clause, and a macro that stamps them as tests.

pub mod directory;
pub mod notifier;
pub mod signer;
pub mod sink;
pub mod store;
