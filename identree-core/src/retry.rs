//! What a caller may do after an error.

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call may succeed later.
    Later,
    /// The same call will fail again.
    Never,
}
