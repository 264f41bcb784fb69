//! What nearly every part of the server needs: the store, the time, randomness.

use std::sync::Arc;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::EventId;
use identree_core::rng::{Entropy, bytes};
use identree_core::store::Store;
use identree_core::time::{Clock, Timestamp};

/// The store, the time and randomness, as arguments. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Parts {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An event of this kind that happens now.
    pub fn event(&self, kind: EventKind) -> AuditEvent {
        AuditEvent::new(EventId::from_bytes(bytes(&*self.entropy)), self.now(), kind)
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
