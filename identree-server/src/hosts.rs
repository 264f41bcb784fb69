//! The managed hosts: who may ask, under which generation of their secret.
//!
//! A removed host leaves a tombstone, so that a name registered again gets a higher generation: an old secret never works
//! again. The registry is read as a whole into memory; a change by another process is seen within a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::credential::{HostSecret, MasterSecret};
use identree_core::id::{HostName, Target, UserName};
use identree_core::store::{Batch, Change, Collection, DocumentKey, Page, Put, StoreError};
use identree_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::parts::Parts;

const HOSTS: Collection = Collection("hosts");

/// One empty document whose revision counts the changes of the registry: looking whether it moved is one small read,
/// however many hosts there are.
const CHANGES: Collection = Collection("hosts-changes");

/// How soon a change made elsewhere is in force.
const REFRESH: Duration = Duration::from_secs(1);

/// One registered host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Raised by each rotation and each registration; goes into the derivation of the host's secret.
    pub generation: u32,
    /// Who may ask on it; everybody if there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<UserName>>,
    /// The group that rules match with `match_host_groups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When it was registered.
    pub added_at: Timestamp,
    /// When it was removed: then this is a tombstone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

/// Why the registry was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// The name is taken.
    #[error("host {0} is registered already; `identree rotate-host-secret {0}` gives it a new secret")]
    Exists(HostName),
    /// No such host.
    #[error("host {0} is not registered; `identree list-hosts` shows those that are")]
    Unknown(HostName),
    /// The store failed.
    #[error("the host registry could not be read or written")]
    Store(#[from] StoreError),
}

/// The registry.
#[derive(Debug, Clone)]
pub struct Hosts {
    parts: Parts,
    master: MasterSecret,
    known: Arc<ArcSwap<Known>>,
}

/// The registry as read, and how many changes it had seen by then.
#[derive(Debug, Default)]
struct Known {
    changes: u64,
    hosts: HashMap<HostName, Host>,
}

impl Hosts {
    /// Reads the registry.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn load(parts: Parts, master: MasterSecret) -> Result<Self, StoreError> {
        let hosts = Self { parts, master, known: Arc::default() };
        hosts.refresh().await?;
        Ok(hosts)
    }

    /// A registered host, from memory.
    pub fn find(&self, name: &HostName) -> Option<Host> {
        self.known.load().hosts.get(name).filter(|host| host.removed_at.is_none()).cloned()
    }

    /// How many hosts are registered, as last read.
    pub fn count(&self) -> usize {
        self.known.load().hosts.values().filter(|host| host.removed_at.is_none()).count()
    }

    /// The registered hosts by name, as last read.
    pub fn list(&self) -> Vec<(HostName, Host)> {
        let mut hosts: Vec<_> =
            self.known.load().hosts.iter().map(|(name, host)| (name.clone(), host.clone())).collect();
        hosts.retain(|(_, host)| host.removed_at.is_none());
        hosts.sort_by(|(a, _), (b, _)| a.cmp(b));
        hosts
    }

    /// The secret that a request of this host must be signed with. For an unknown host it is one that nobody holds, so
    /// that both cost the same.
    pub fn secret(&self, name: &HostName) -> (Option<Host>, HostSecret) {
        let host = self.find(name);
        let generation = host.as_ref().map_or(0, |host| host.generation);
        let secret = self.master.host_secret(name, generation);
        (host, secret)
    }

    /// Registers a host.
    ///
    /// # Errors
    /// [`HostsError::Exists`] if it is registered.
    pub async fn add(
        &self,
        name: &HostName,
        users: Option<Vec<UserName>>,
        group: Option<String>,
        by: Option<&UserName>,
    ) -> Result<HostSecret, HostsError> {
        let (revision, stored) = self.stored(name).await?;
        if stored.as_ref().is_some_and(|host| host.removed_at.is_none()) {
            return Err(HostsError::Exists(name.clone()));
        }
        let generation = stored.map_or(0, |host| host.generation) + 1;
        let host = Host { generation, users, group, added_at: self.parts.now(), removed_at: None };
        self.write(name, revision, host, EventKind::HostAdded, by).await
    }

    /// Gives a host a new secret; the old one stops working within a second.
    ///
    /// # Errors
    /// [`HostsError::Unknown`] if it is not registered.
    pub async fn rotate(&self, name: &HostName, by: Option<&UserName>) -> Result<HostSecret, HostsError> {
        let (revision, host) = self.registered(name).await?;
        let host = Host { generation: host.generation + 1, ..host };
        self.write(name, revision, host, EventKind::HostSecretRotated, by).await
    }

    /// Removes a host; its secret stops working within a second, and never works again.
    ///
    /// # Errors
    /// [`HostsError::Unknown`] if it is not registered.
    pub async fn remove(&self, name: &HostName, by: Option<&UserName>) -> Result<(), HostsError> {
        let (revision, host) = self.registered(name).await?;
        let host = Host { removed_at: Some(self.parts.now()), ..host };
        self.write(name, revision, host, EventKind::HostRemoved, by).await.map(|_| ())
    }

    /// Reads the registry anew, now and then. Ends when the future is dropped.
    pub async fn follow(&self) {
        loop {
            self.parts.clock.sleep_until(self.parts.now() + REFRESH).await;
            if let Err(error) = self.refresh().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the host registry could not be read; the last state stays in force"
                );
            }
        }
    }

    /// Reads the registry anew.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read; the last state stays.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        // Counted before the hosts are read: a change in between is seen the next time.
        let changes = self.changes().await?.unwrap_or(0);
        if changes == self.known.load().changes {
            return Ok(());
        }
        let mut hosts = HashMap::new();
        let mut page = Page::first(1000);
        loop {
            let paged = self.parts.store.documents(HOSTS, self.parts.now(), page).await?;
            for document in paged.items {
                let name = HostName::parse(&document.key).map_err(corrupt)?;
                hosts.insert(name, serde_json::from_slice(&document.bytes).map_err(corrupt)?);
            }
            match paged.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        self.known.store(Arc::new(Known { changes, hosts }));
        Ok(())
    }

    async fn changes(&self) -> Result<Option<u64>, StoreError> {
        let counter = self.parts.store.document(&counter(), self.parts.now()).await?;
        Ok(counter.map(|document| document.revision))
    }

    async fn stored(&self, name: &HostName) -> Result<(Option<u64>, Option<Host>), HostsError> {
        let Some(document) = self.parts.store.document(&key(name), self.parts.now()).await? else {
            return Ok((None, None));
        };
        let host = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
        Ok((Some(document.revision), Some(host)))
    }

    async fn registered(&self, name: &HostName) -> Result<(Option<u64>, Host), HostsError> {
        match self.stored(name).await? {
            (revision, Some(host)) if host.removed_at.is_none() => Ok((revision, host)),
            _ => Err(HostsError::Unknown(name.clone())),
        }
    }

    async fn write(
        &self,
        name: &HostName,
        expect: Option<u64>,
        host: Host,
        kind: EventKind,
        by: Option<&UserName>,
    ) -> Result<HostSecret, HostsError> {
        let event = AuditEvent {
            target: Some(Target::Host(name.clone())),
            actor: by.cloned(),
            via: Some("command line".to_owned()),
            ..self.parts.event(kind)
        }
        .with("generation", host.generation.to_string());
        let bytes = serde_json::to_vec(&host).map_err(corrupt)?;
        let change = Change::Document { key: key(name), expect, put: Some(Put { bytes, expires_at: None }) };
        let put = Some(Put { bytes: Vec::new(), expires_at: None });
        let counted = Change::Document { key: counter(), expect: self.changes().await?, put };
        self.parts.store.commit(Batch::of(change, event).and(counted, None)).await?;
        self.refresh().await?;
        Ok(self.master.host_secret(name, host.generation))
    }
}

fn counter() -> DocumentKey {
    DocumentKey::new(CHANGES, "all")
}

fn key(name: &HostName) -> DocumentKey {
    DocumentKey::new(HOSTS, name.as_str())
}

fn corrupt(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Corrupt { table: "hosts", source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use identree_core::rng::SeededEntropy;
    use identree_core::store::{Journal as _, MemoryStore};
    use identree_core::time::ManualClock;

    use super::*;

    async fn hosts() -> Hosts {
        let parts = Parts {
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        Hosts::load(parts, MasterSecret::parse(&"m".repeat(32)).unwrap()).await.unwrap()
    }

    fn web1() -> HostName {
        HostName::parse("web1").unwrap()
    }

    #[tokio::test]
    async fn a_secret_once_gone_never_works_again() {
        let hosts = hosts().await;
        let mut seen = vec![hosts.add(&web1(), None, None, None).await.unwrap().reveal().expose().clone()];
        assert!(matches!(hosts.add(&web1(), None, None, None).await, Err(HostsError::Exists(_))));
        seen.push(hosts.rotate(&web1(), None).await.unwrap().reveal().expose().clone());
        hosts.remove(&web1(), None).await.unwrap();
        assert!(hosts.find(&web1()).is_none());
        assert!(matches!(hosts.rotate(&web1(), None).await, Err(HostsError::Unknown(_))));
        seen.push(hosts.add(&web1(), None, None, None).await.unwrap().reveal().expose().clone());
        let (_, current) = hosts.secret(&web1());
        assert_eq!(seen.iter().filter(|secret| *secret == current.reveal().expose()).count(), 1);
        assert_eq!(seen.last(), Some(current.reveal().expose()));
        let journal = hosts.parts.store.unsealed(Page::first(10)).await.unwrap().items;
        assert_eq!(journal.len(), 4);
    }

    /// The same work for both: a derived secret to check against, whether there is such a host or not.
    #[tokio::test]
    async fn an_unknown_host_costs_what_a_wrong_secret_costs() {
        let hosts = hosts().await;
        let known = hosts.add(&web1(), None, None, None).await.unwrap();
        let (none, unknown) = hosts.secret(&HostName::parse("stranger").unwrap());
        assert!(none.is_none());
        assert_ne!(unknown.reveal().expose(), known.reveal().expose());
        hosts.remove(&web1(), None).await.unwrap();
        let (none, removed) = hosts.secret(&web1());
        assert!(none.is_none(), "a removed host is an unknown one");
        assert_ne!(removed.reveal().expose(), known.reveal().expose());
    }

    #[tokio::test]
    async fn a_change_made_by_another_process_is_seen() {
        let hosts = hosts().await;
        let other = Hosts::load(hosts.parts.clone(), hosts.master.clone()).await.unwrap();
        other.add(&web1(), None, Some("edge".into()), None).await.unwrap();
        assert!(hosts.find(&web1()).is_none());
        hosts.refresh().await.unwrap();
        assert_eq!(hosts.find(&web1()).unwrap().group.as_deref(), Some("edge"));
    }
}
