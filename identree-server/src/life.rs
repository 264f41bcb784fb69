//! What becomes of the server itself, recorded: a database brought to another version, the start, the stop.

use std::time::Duration;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, ReplicaId, SCHEMA, StoreError};

use crate::parts::Parts;

/// Which version of the tables was last recorded: with it the event is written once, whoever has migrated them.
const SCHEMAS: Collection = Collection("schema");

/// How long a start or a stop waits for the store.
const WITHIN: Duration = Duration::from_secs(5);

/// Whether a server has started over this database before.
///
/// # Errors
/// [`StoreError`] if it cannot be read.
pub(crate) async fn served(parts: &Parts) -> Result<bool, StoreError> {
    Ok(parts.store.document(&DocumentKey::new(SCHEMAS, "recorded"), parts.now()).await?.is_some())
}

/// One running server.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) parts: Parts,
    pub(crate) replica: ReplicaId,
    /// The digest of its settings.
    pub(crate) config: String,
}

impl Life {
    /// Records the start, and before it that the tables have another version than at the last.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not take it: then this server does not start.
    pub(crate) async fn started(&self) -> Result<(), StoreError> {
        self.migrated().await?;
        let event = self.event(EventKind::ServerStarted).with("config", self.config.clone());
        self.parts.store.commit(Batch::event(event)).await
    }

    async fn migrated(&self) -> Result<(), StoreError> {
        let key = DocumentKey::new(SCHEMAS, "recorded");
        let known = self.parts.store.document(&key, self.parts.now()).await?;
        if known.as_ref().is_some_and(|known| known.bytes == SCHEMA.as_bytes()) {
            return Ok(());
        }
        let event = self.event(EventKind::DatabaseMigrated).with("to", SCHEMA);
        let event = match &known {
            Some(before) => event.with("from", String::from_utf8_lossy(&before.bytes)),
            None => event,
        };
        let put = Some(Put { bytes: SCHEMA.into(), expires_at: None });
        let change = Change::Document { key, expect: known.map(|known| known.revision), put };
        match self.parts.store.commit(Batch::of(change, event)).await {
            // Another server starts at the same moment, and has recorded it.
            Err(StoreError::Conflict) => Ok(()),
            done => done,
        }
    }

    /// Records the stop, if the store takes it in time.
    pub(crate) async fn stopped(&self) {
        let event = self.event(EventKind::ServerStopped);
        let clock = &self.parts.clock;
        let done = tokio::select! {
            done = self.parts.store.commit(Batch::event(event)) => done.map_err(|error| error.to_string()),
            () = clock.sleep_until(clock.now() + WITHIN) => Err("the store does not answer".to_owned()),
        };
        if let Err(why) = done {
            tracing::warn!("the stop is not recorded: {why}");
        }
    }

    fn event(&self, kind: EventKind) -> AuditEvent {
        let event = self.parts.event(kind).with("replica", self.replica.as_str());
        event.with("version", env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use identree_core::rng::SeededEntropy;
    use identree_core::store::{MemoryStore, Store as _};
    use identree_core::testkit::journal::{recorded, undeclared};
    use identree_core::time::ManualClock;

    use super::*;

    #[tokio::test]
    async fn a_start_records_a_new_version_once_and_itself_each_time() {
        let store = Arc::new(MemoryStore::new());
        let entropy = Arc::new(SeededEntropy::new(1));
        let replica = ReplicaId::random(&*entropy);
        let parts = Parts { store: Arc::clone(&store) as _, clock: Arc::new(ManualClock::default()), entropy };
        let life = Life { parts, replica, config: "0".repeat(64) };
        for _ in 0..2 {
            life.started().await.unwrap();
            life.stopped().await;
        }
        let old = Put { bytes: b"m0001_start".into(), expires_at: None };
        let key = DocumentKey::new(SCHEMAS, "recorded");
        let change = Change::Document { key, expect: Some(1), put: Some(old) };
        store.commit(Batch::unrecorded(vec![change])).await.unwrap();
        life.started().await.unwrap();
        let events = recorded(&*store).await;
        assert_eq!(undeclared(&events), Vec::<String>::new());
        let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
        use EventKind::{DatabaseMigrated as Migrated, ServerStarted as Started, ServerStopped as Stopped};
        assert_eq!(kinds, [Migrated, Started, Stopped, Started, Stopped, Migrated, Started]);
        let moved = |event: &AuditEvent| (event.details.get("from").cloned(), event.details["to"].clone());
        assert_eq!(moved(&events[0]), (None, SCHEMA.to_owned()));
        assert_eq!(moved(&events[5]), (Some("m0001_start".to_owned()), SCHEMA.to_owned()));
    }
}
