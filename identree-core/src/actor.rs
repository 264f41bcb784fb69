//! Proof that a person stands behind a call.

use crate::id::UserName;
use crate::time::Timestamp;

/// A person, as vouched for by whoever checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    by: &'static str,
    name: UserName,
    at: Timestamp,
    strength: Strength,
}

/// How strongly a person was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Strength {
    /// A host says so under its own credential. Enough to ask and to take back, never to vote.
    Stated,
    /// The person signed in.
    SignedIn,
}

impl Actor {
    /// The only constructor: searching for `vouched` lists all ways in. `by` names the way and is kept with every event;
    /// `at` is when the person proved themselves (for OpenID Connect the `auth_time`), not when they clicked.
    pub const fn vouched(by: &'static str, name: UserName, at: Timestamp, strength: Strength) -> Self {
        Self { by, name, at, strength }
    }

    /// Which way in vouched.
    pub const fn by(&self) -> &'static str {
        self.by
    }

    /// Who.
    pub const fn name(&self) -> &UserName {
        &self.name
    }

    /// When the person proved themselves.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// How strongly.
    pub const fn strength(&self) -> Strength {
        self.strength
    }
}
