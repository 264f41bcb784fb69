//! What one server over a store is told of another's commits.

use crate::id::ChallengeId;

/// Something changed elsewhere: read it. Names only, never content; the same may come twice, and a loss is told as
/// [`Nudge::Missed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Nudge {
    /// A question.
    Question(ChallengeId),
    /// A document, by collection and key.
    Document {
        /// The collection.
        collection: Box<str>,
        /// The key.
        key: Box<str>,
    },
    /// The connection that tells was gone for a while: anything may have changed.
    Missed,
}
