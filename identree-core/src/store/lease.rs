//! Leases: of several servers over one store, one at a time seals, sweeps, ships.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::time::Timestamp;

/// What a lease is for: `seal`, `sweep`, `sink:splunk`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseName(pub Cow<'static, str>);

impl LeaseName {
    /// Sealing the journal.
    pub const SEAL: Self = Self(Cow::Borrowed("seal"));
    /// Removing what is over.
    pub const SWEEP: Self = Self(Cow::Borrowed("sweep"));

    /// Shipping to this sink.
    pub fn sink(name: &str) -> Self {
        Self(Cow::Owned(format!("sink:{name}")))
    }
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One running server: random, new with each start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(Box<str>);

impl ReplicaId {
    /// A new one.
    pub fn random(entropy: &dyn crate::rng::Entropy) -> Self {
        Self(crate::text::hex(&crate::rng::bytes::<8>(entropy)).into())
    }

    /// As text: 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A lease as it was got. Its number rises each time the lease changes hands: whatever is written under it is refused once
/// somebody else has got it, however late the writer wakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Which lease.
    pub lease: LeaseName,
    /// Who got it.
    pub holder: ReplicaId,
    /// The number.
    pub number: u64,
}

/// Leases, on the store's own clock.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Gets or keeps a lease until `ttl` from now. `None`: somebody else has it. Whoever keeps it in time keeps its number.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be told; then nothing is held.
    async fn hold(&self, lease: &LeaseName, holder: &ReplicaId, ttl: Duration) -> Result<Option<Fence>, StoreError>;

    /// Gives a lease back before its time. One that somebody else has got meanwhile stays theirs.
    ///
    /// # Errors
    /// [`StoreError`] if it did not work; it ends by itself.
    async fn release(&self, fence: &Fence) -> Result<(), StoreError>;

    /// The store's clock.
    ///
    /// # Errors
    /// [`StoreError`] if it does not answer.
    async fn clock(&self) -> Result<Timestamp, StoreError>;
}
