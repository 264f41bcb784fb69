//! The managed hosts: who may ask, and what each of them proves itself with.
//!
//! A removed host leaves a tombstone, so that a name registered again gets a higher generation: an old secret never works
//! again, and neither does an old key. After a month the tombstone goes too (`forget`). The registry is read as a whole into memory; a change by another process is seen
//! within a second.

mod enrol;
pub mod file;
mod forget;
mod import;
mod prove;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use identree_core::Engine;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::credential::{HostSecret, HostVerifier, MasterSecret};
use identree_core::grant::PublicKey;
use identree_core::id::{HostName, Target, TokenId, UserName};
use identree_core::store::{Batch, Change, Collection, DocumentKey, Page, Put, StoreError};
use identree_core::text::visible;
use identree_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::enrol::{EnrolRefusal, Revoke};
pub use self::import::{Act, HostsImport, Others, Step};
use self::prove::Nobody;
use crate::heartbeats::Heartbeats;
use crate::parts::Parts;

const HOSTS: Collection = Collection("hosts");

/// One empty document whose revision counts the changes of the registry: looking whether it moved is one small read,
/// however many hosts there are.
pub(crate) const CHANGES: Collection = Collection("hosts-changes");

/// What people and terminals are told of a question whose host is gone.
const REVOKED: &str = "this host may not ask any more";

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
    /// What it proves itself with.
    #[serde(default, skip_serializing_if = "HostCredential::is_secret")]
    pub credential: HostCredential,
    /// A token by which it may make a key of its own known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Invitation>,
    /// When it was registered.
    pub added_at: Timestamp,
    /// When it was removed: then this is a tombstone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

/// What a host proves itself with. Never two things at once: what was given up never works again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostCredential {
    /// A secret derived from the master.
    #[default]
    Secret,
    /// A key that the host made.
    Key {
        /// Its public half.
        public: PublicKey,
        /// Since when.
        since: Timestamp,
        /// With which token it was enrolled; none after the host itself has replaced it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<TokenId>,
    },
    /// Nothing yet, or nothing any more: it has to enrol.
    Awaited,
}

impl Host {
    /// Who may ask on it and what it proves itself with, in one line.
    pub fn summary(&self) -> String {
        let users = self.users.as_ref().map_or_else(|| "*".to_owned(), |users| names(users));
        let group = self.group.as_ref().map(|group| format!(" group={}", visible(group))).unwrap_or_default();
        let key = match &self.credential {
            HostCredential::Key { public, .. } => format!(" key={public}"),
            HostCredential::Secret | HostCredential::Awaited => String::new(),
        };
        let (credential, generation) = (self.credential.as_str(), self.generation);
        format!("users={users}{group} credential={credential}{key} generation={generation}")
    }
}

fn names(users: &[UserName]) -> String {
    users.iter().map(UserName::as_str).collect::<Vec<_>>().join(",")
}

impl HostCredential {
    const fn is_secret(&self) -> bool {
        matches!(self, Self::Secret)
    }

    /// One word, for lists: `key`, `secret`, `none`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Key { .. } => "key",
            Self::Awaited => "none",
        }
    }
}

/// A token that was given out. Nothing here lets anybody enrol: the token is derived from the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Which.
    pub token: TokenId,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Why the registry was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// The name is taken.
    #[error(
        "host {0} is registered already; `identree rotate-host-secret {0}` gives it a new secret, with `--enroll` a token"
    )]
    Exists(HostName),
    /// No such host.
    #[error("host {0} is not registered; `identree list-hosts` shows those that are")]
    Unknown(HostName),
    /// It has no secret to give it a new one.
    #[error("host {0} has a key of its own; enrol it anew with a token, or remove and add it")]
    HasKey(HostName),
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
    /// What a proof is held against where there is nothing of its kind.
    nobody: Nobody,
}

/// The registry as read, and how many changes it had seen by then.
#[derive(Debug, Default)]
struct Known {
    changes: u64,
    hosts: HashMap<HostName, Kept>,
}

impl Known {
    /// Whether this host was registered, and has been removed or revoked.
    fn is_gone(&self, name: &HostName) -> bool {
        let may_ask = |host: &Host| host.credential != HostCredential::Awaited;
        self.hosts.get(name).is_some_and(|kept| !kept.registered().is_some_and(may_ask))
    }
}

/// A host with its key or its secret ready for use: to decompress or derive it for each request would cost as much again as
/// checking.
#[derive(Debug, Clone)]
struct Kept {
    host: Host,
    key: Option<HostVerifier>,
    secret: Option<HostSecret>,
}

impl Kept {
    fn new(name: &HostName, host: Host, master: &MasterSecret) -> Self {
        let (key, secret) = match &host.credential {
            HostCredential::Key { public, .. } => (HostVerifier::new(public), None),
            HostCredential::Secret => (None, Some(master.host_secret(name, host.generation))),
            HostCredential::Awaited => (None, None),
        };
        Self { host, key, secret }
    }

    fn registered(&self) -> Option<&Host> {
        Some(&self.host).filter(|host| host.removed_at.is_none())
    }
}

impl Hosts {
    /// Reads the registry.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn load(parts: Parts, master: MasterSecret) -> Result<Self, StoreError> {
        let nobody = Nobody::new(&*parts.entropy);
        let hosts = Self { parts, master, known: Arc::default(), nobody };
        hosts.refresh().await?;
        Ok(hosts)
    }

    /// A registered host, from memory.
    pub fn find(&self, name: &HostName) -> Option<Host> {
        self.known.load().hosts.get(name).and_then(Kept::registered).cloned()
    }

    /// What the hosts said of themselves.
    pub fn heartbeats(&self) -> Heartbeats {
        Heartbeats::new(self.parts.clone(), self.clone())
    }

    /// How many hosts are registered, as last read.
    pub fn count(&self) -> usize {
        self.known.load().hosts.values().filter_map(Kept::registered).count()
    }

    /// The registered hosts by name, as last read.
    pub fn list(&self) -> Vec<(HostName, Host)> {
        let known = self.known.load();
        let mut hosts: Vec<_> =
            known.hosts.iter().filter_map(|(name, kept)| Some((name.clone(), kept.registered()?.clone()))).collect();
        hosts.sort_by(|(a, _), (b, _)| a.cmp(b));
        hosts
    }

    /// Whether any host still proves itself with a secret.
    pub fn any_secret(&self) -> bool {
        self.known.load().hosts.values().filter_map(Kept::registered).any(|host| host.credential.is_secret())
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
        let (revision, host) = self.fresh(name, users, group).await?;
        self.write(name, revision, host, EventKind::HostAdded, by).await
    }

    /// A registration under the next generation of the name.
    async fn fresh(
        &self,
        name: &HostName,
        users: Option<Vec<UserName>>,
        group: Option<String>,
    ) -> Result<(Option<u64>, Host), HostsError> {
        let (revision, stored) = self.stored(name).await?;
        if stored.as_ref().is_some_and(|host| host.removed_at.is_none()) {
            return Err(HostsError::Exists(name.clone()));
        }
        let last = stored.map_or(0, |host| host.generation).max(self.forgotten_generation().await?);
        let host = Host {
            generation: last + 1,
            users,
            group,
            credential: HostCredential::Secret,
            invitation: None,
            added_at: self.parts.now(),
            removed_at: None,
        };
        Ok((revision, host))
    }

    /// Gives a host a new secret; the old one stops working within a second.
    ///
    /// # Errors
    /// [`HostsError::Unknown`] if it is not registered, [`HostsError::HasKey`] if it has no secret.
    pub async fn rotate(&self, name: &HostName, by: Option<&UserName>) -> Result<HostSecret, HostsError> {
        let (revision, host) = self.registered(name).await?;
        if !host.credential.is_secret() {
            return Err(HostsError::HasKey(name.clone()));
        }
        let host = Host { generation: host.generation + 1, ..host };
        self.write(name, revision, host, EventKind::HostSecretRotated, by).await
    }

    /// Removes a host; what it proves itself with stops working within a second, and never works again.
    ///
    /// # Errors
    /// [`HostsError::Unknown`] if it is not registered.
    pub async fn remove(&self, name: &HostName, by: Option<&UserName>) -> Result<(), HostsError> {
        let (revision, host) = self.registered(name).await?;
        let host = Host { removed_at: Some(self.parts.now()), ..host };
        self.write(name, revision, host, EventKind::HostRemoved, by).await.map(|_| ())
    }

    /// Reads the registry anew, now and then, and ends what waits for hosts that may not ask any more. Ends when the future is
    /// dropped.
    pub async fn follow(&self, engine: &Engine) {
        let (mut seen, mut look_at) = (0, self.parts.now());
        loop {
            self.parts.clock.sleep_until(self.parts.now() + REFRESH).await;
            if self.parts.now() >= look_at {
                look_at = self.parts.now() + forget::LOOK_EVERY;
                self.try_to_forget().await;
            }
            if let Err(error) = self.refresh().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the host registry could not be read; the last state stays in force"
                );
            }
            let known = self.known.load_full();
            if known.changes == seen {
                continue;
            }
            let gone = |target: &Target| matches!(target, Target::Host(name) if known.is_gone(name));
            match engine.withdraw(gone, REVOKED).await {
                Ok(ended) => {
                    seen = known.changes;
                    if ended > 0 {
                        tracing::info!(ended, "questions of hosts that may not ask any more have ended");
                    }
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "questions of hosts that may not ask any more could not be ended yet"
                ),
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
        let read = self.all().await?.into_iter();
        let hosts = read.map(|(name, (_, host))| (name.clone(), Kept::new(&name, host, &self.master))).collect();
        self.known.store(Arc::new(Known { changes, hosts }));
        Ok(())
    }

    /// All of them as stored, tombstones too, each with its revision.
    async fn all(&self) -> Result<HashMap<HostName, (u64, Host)>, StoreError> {
        let (mut hosts, mut page) = (HashMap::new(), Page::first(1000));
        loop {
            let paged = self.parts.store.documents(HOSTS, self.parts.now(), page).await?;
            for document in paged.items {
                let name = HostName::parse(&document.key).map_err(corrupt)?;
                hosts.insert(name, (document.revision, serde_json::from_slice(&document.bytes).map_err(corrupt)?));
            }
            match paged.next {
                Some(next) => page.after = Some(next),
                None => return Ok(hosts),
            }
        }
    }

    async fn changes(&self) -> Result<Option<u64>, StoreError> {
        let counter = self.parts.store.document(&counter(), self.parts.now()).await?;
        Ok(counter.map(|document| document.revision))
    }

    async fn stored(&self, name: &HostName) -> Result<(Option<u64>, Option<Host>), StoreError> {
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
        let generation = host.generation;
        let event = self.event(kind, name, generation, by, "command line");
        self.save(name, expect, &host, event).await?;
        Ok(self.master.host_secret(name, generation))
    }

    fn event(&self, kind: EventKind, name: &HostName, generation: u32, by: Option<&UserName>, via: &str) -> AuditEvent {
        AuditEvent {
            target: Some(Target::Host(name.clone())),
            actor: by.cloned(),
            via: Some(via.to_owned()),
            ..self.parts.event(kind)
        }
        .with("generation", generation.to_string())
    }

    async fn save(
        &self,
        name: &HostName,
        expect: Option<u64>,
        host: &Host,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(host).map_err(corrupt)?;
        // If it is not the state of the revision that is expected, nothing is written.
        let (_, before) = self.stored(name).await?;
        let event = told(event, before.as_ref(), host);
        let change = Change::Document { key: key(name), expect, put: Some(Put { bytes, expires_at: None }) };
        let put = Some(Put { bytes: Vec::new(), expires_at: None });
        let counted = Change::Document { key: counter(), expect: self.changes().await?, put };
        self.parts.store.commit(Batch::of(change, event).and(counted, None)).await?;
        self.refresh().await
    }
}

/// The event with how the host stood before and stands now, as far as it was and is registered.
fn told(mut event: AuditEvent, before: Option<&Host>, after: &Host) -> AuditEvent {
    for (detail, host) in [("before", before), ("after", Some(after))] {
        if let Some(host) = host.filter(|host| host.removed_at.is_none()) {
            event = event.with(detail, host.summary());
        }
    }
    event
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
mod tests;
