//! Proof that a person stands behind a call.

use std::net::IpAddr;
use std::sync::Arc;

use crate::id::UserName;
use crate::time::Timestamp;

/// A person, as vouched for by whoever checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    by: &'static str,
    name: UserName,
    at: Timestamp,
    strength: Strength,
    whence: Whence,
}

/// Where a call came from: each event of the call tells it. It decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whence {
    /// Which way, where no [`Actor`] says it.
    pub via: Option<&'static str>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The id of the request, as the log has it.
    pub request: Option<Arc<str>>,
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
        Self { by, name, at, strength, whence: Whence { via: None, address: None, request: None } }
    }

    /// The same person, calling from there.
    #[must_use]
    pub fn calling_from(self, whence: Whence) -> Self {
        Self { whence, ..self }
    }

    /// Where the person calls from, as far as it was told.
    pub const fn whence(&self) -> &Whence {
        &self.whence
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
