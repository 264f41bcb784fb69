//! The last word of each host, and how the host stands by it.

use identree_core::id::HostName;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Page, Put, StoreError};
use identree_core::time::Timestamp;
use identree_core::wire::heartbeat::{Finding, Heartbeat, Level, silence};
use serde::{Deserialize, Serialize};

use crate::hosts::Hosts;
use crate::parts::Parts;

const HEARTBEATS: Collection = Collection("heartbeats");

/// Two heartbeats of one host at the same moment: the later one stands, and one repetition is enough.
const TRIES: usize = 2;

/// A heartbeat as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// When it came.
    pub received_at: Timestamp,
    /// Of which registration of the name: a host that was removed and added anew has said nothing yet.
    pub added_at: Timestamp,
    /// What it said.
    pub heartbeat: Heartbeat,
}

/// How a host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStatus {
    /// Which.
    pub name: HostName,
    /// The worst of the findings.
    pub level: Level,
    /// What there is to do.
    pub findings: Vec<Finding>,
    /// The last heartbeat, if there was one.
    pub beat: Option<Beat>,
}

/// All of them.
#[derive(Debug, Clone)]
pub struct Heartbeats {
    parts: Parts,
    hosts: Hosts,
}

impl Heartbeats {
    /// Over the same store as the registry.
    pub const fn new(parts: Parts, hosts: Hosts) -> Self {
        Self { parts, hosts }
    }

    /// Keeps what a registered host says, and how it stands by it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn keep(&self, name: &HostName, heartbeat: Heartbeat) -> Result<Level, StoreError> {
        let added_at = self.hosts.find(name).map_or_else(|| self.parts.now(), |host| host.added_at);
        let beat = Beat { received_at: self.parts.now(), added_at, heartbeat };
        let bytes = serde_json::to_vec(&beat).map_err(corrupt)?;
        let key = DocumentKey::new(HEARTBEATS, name.as_str());
        let mut tried = 0;
        loop {
            tried += 1;
            let expect = self.parts.store.document(&key, self.parts.now()).await?.map(|document| document.revision);
            let put = Some(Put { bytes: bytes.clone(), expires_at: None });
            let change = Change::Document { key: key.clone(), expect, put };
            match self.parts.store.commit(Batch::unrecorded(vec![change])).await {
                Err(StoreError::Conflict) if tried < TRIES => {}
                done => break done?,
            }
        }
        Ok(Level::of(&findings(&beat, self.parts.now())))
    }

    /// Every registered host by name, and how it stands.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn statuses(&self) -> Result<Vec<HostStatus>, StoreError> {
        let now = self.parts.now();
        let mut beats = std::collections::HashMap::new();
        let mut page = Page::first(1000);
        loop {
            let paged = self.parts.store.documents(HEARTBEATS, now, page).await?;
            for document in paged.items {
                beats.insert(document.key, serde_json::from_slice::<Beat>(&document.bytes).map_err(corrupt)?);
            }
            match paged.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        let status = |(name, host): (HostName, crate::hosts::Host)| {
            let beat = beats.remove(name.as_str()).filter(|beat| beat.added_at == host.added_at);
            let findings = beat.as_ref().map_or_else(|| vec![Finding::Never], |beat| findings(beat, now));
            HostStatus { name, level: Level::of(&findings), findings, beat }
        };
        Ok(self.hosts.list().into_iter().map(status).collect())
    }
}

fn findings(beat: &Beat, now: Timestamp) -> Vec<Finding> {
    let (received, now) = (beat.received_at.as_millis() / 1000, now.as_millis() / 1000);
    let mut found = beat.heartbeat.findings(now);
    found.extend(beat.heartbeat.clock_off(received));
    found.extend(silence(received, now));
    found
}

fn corrupt(source: serde_json::Error) -> StoreError {
    StoreError::Corrupt { table: "heartbeats", source: Box::new(source) }
}
