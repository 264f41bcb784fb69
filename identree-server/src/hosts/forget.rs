//! Hosts that were removed long ago are forgotten, and what they said with them. Of all of them together the highest generation is kept:
//! a name that is registered again begins above it, so that a secret that was ever given up never works again.

use std::time::Duration;

use identree_core::id::HostName;
use identree_core::store::{Batch, Change, DocumentKey, Put, StoreError};
use identree_core::time::Timestamp;

use super::{CHANGES, Host, Hosts, corrupt, counter, key};
use crate::heartbeats;

/// How long a removed host is remembered by name.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often it is looked who is to be forgotten.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// The most that are forgotten at once.
const AT_ONCE: usize = 200;

impl Hosts {
    /// Forgets whoever was removed long enough ago; tells how many.
    ///
    /// # Errors
    /// [`StoreError`] if it did not work; [`StoreError::Conflict`] if somebody changed one of them meanwhile. Then nobody is forgotten.
    pub async fn forget(&self) -> Result<usize, StoreError> {
        let before = self.parts.now() - REMEMBERED;
        let gone: Vec<HostName> = {
            let known = self.known.load();
            let long_gone = known.hosts.iter().filter(|(_, kept)| is_over(&kept.host, before));
            long_gone.map(|(name, _)| name.clone()).take(AT_ONCE).collect()
        };
        if gone.is_empty() {
            return Ok(0);
        }
        let (mut changes, mut highest) = (Vec::new(), self.forgotten().await?);
        let revision = highest.0;
        for name in &gone {
            let (Some(revision), Some(host)) = self.stored(name).await? else { continue };
            if !is_over(&host, before) {
                continue;
            }
            highest.1 = highest.1.max(host.generation);
            changes.push(Change::Document { key: key(name), expect: Some(revision), put: None });
            let said = heartbeats::key(name);
            if let Some(document) = self.parts.store.document(&said, self.parts.now()).await? {
                changes.push(Change::Document { key: said, expect: Some(document.revision), put: None });
            }
        }
        let put = |bytes| Some(Put { bytes, expires_at: None });
        let bytes = serde_json::to_vec(&highest.1).map_err(corrupt)?;
        changes.push(Change::Document { key: forgotten(), expect: revision, put: put(bytes) });
        changes.push(Change::Document { key: counter(), expect: self.changes().await?, put: put(Vec::new()) });
        self.parts.store.commit(Batch::unrecorded(changes)).await?;
        self.refresh().await?;
        Ok(gone.len())
    }

    /// The same now and then: whoever is there still is forgotten the next time.
    pub(super) async fn try_to_forget(&self) {
        match self.forget().await {
            Ok(0) | Err(StoreError::Conflict) => {}
            Ok(gone) => tracing::info!(gone, "hosts that were removed long ago are forgotten"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "hosts that were removed long ago could not be forgotten yet");
            }
        }
    }

    /// The highest generation of those that were forgotten; a new name begins above it.
    pub(super) async fn forgotten_generation(&self) -> Result<u32, StoreError> {
        Ok(self.forgotten().await?.1)
    }

    async fn forgotten(&self) -> Result<(Option<u64>, u32), StoreError> {
        let Some(document) = self.parts.store.document(&forgotten(), self.parts.now()).await? else {
            return Ok((None, 0));
        };
        Ok((Some(document.revision), serde_json::from_slice(&document.bytes).map_err(corrupt)?))
    }
}

fn is_over(host: &Host, before: Timestamp) -> bool {
    host.removed_at.is_some_and(|at| at < before)
}

fn forgotten() -> DocumentKey {
    DocumentKey::new(CHANGES, "forgotten")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use identree_core::credential::MasterSecret;
    use identree_core::rng::SeededEntropy;
    use identree_core::store::{Collection, Documents as _, MemoryStore, Page, Store as _};
    use identree_core::time::{Clock as _, ManualClock};

    use super::*;
    use crate::parts::Parts;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    async fn registry() -> (Hosts, Arc<MemoryStore>, Arc<ManualClock>) {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
        let parts = Parts {
            store: Arc::clone(&store) as _,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        (Hosts::load(parts, MasterSecret::parse(&"m".repeat(32)).unwrap()).await.unwrap(), store, clock)
    }

    #[tokio::test]
    async fn who_was_removed_long_ago_is_forgotten_and_an_old_secret_stays_worthless() {
        let (hosts, store, clock) = registry().await;
        hosts.add(&name("stays"), None, None, None).await.unwrap();
        let first = hosts.add(&name("web1"), None, None, None).await.unwrap();
        let second = hosts.rotate(&name("web1"), None).await.unwrap();
        let key = heartbeats::key(&name("web1"));
        let put = Some(Put { bytes: b"{}".to_vec(), expires_at: None });
        store.commit(Batch::unrecorded(vec![Change::Document { key: key.clone(), expect: None, put }])).await.unwrap();
        hosts.remove(&name("web1"), None).await.unwrap();
        assert_eq!(hosts.forget().await.unwrap(), 0);
        clock.advance(REMEMBERED);
        assert_eq!(hosts.forget().await.unwrap(), 0, "not before its time is over");
        clock.advance(Duration::from_millis(1));
        assert_eq!(hosts.forget().await.unwrap(), 1);
        assert_eq!(hosts.forget().await.unwrap(), 0);
        let left = store.documents(Collection("hosts"), clock.now(), Page::first(9)).await.unwrap().items;
        assert_eq!(left.iter().map(|document| &*document.key).collect::<Vec<_>>(), ["stays"]);
        assert_eq!(store.document(&key, clock.now()).await.unwrap(), None);

        let third = hosts.add(&name("web1"), None, None, None).await.unwrap();
        let texts = [&first, &second, &third].map(|secret| secret.reveal().expose().to_owned());
        assert!(texts[2] != texts[0] && texts[2] != texts[1], "a name that comes again has a secret that it never had");
        assert_eq!(hosts.find(&name("web1")).unwrap().generation, 3);
        // And so has a name whose own tombstone is there still.
        hosts.remove(&name("stays"), None).await.unwrap();
        hosts.add(&name("stays"), None, None, None).await.unwrap();
        assert_eq!(hosts.find(&name("stays")).unwrap().generation, 3);
    }
}
