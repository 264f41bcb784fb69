//! The last word of each host, and how the host stands by it.

use std::time::Duration;

use identree_core::actor::Whence;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::{HostName, Target};
use identree_core::store::{Batch, Change, Collection, DocumentKey, Page, Put, StoreError};
use identree_core::time::Timestamp;
use identree_core::wire::heartbeat::{Finding, Heartbeat, Level, silence};
use serde::{Deserialize, Serialize};

use crate::hosts::Hosts;
use crate::parts::Parts;

const HEARTBEATS: Collection = Collection("heartbeats");

/// How often somebody looks who fell silent.
const LOOK_EVERY: Duration = Duration::from_secs(60);

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
    /// How the host was last recorded to stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
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
    pub async fn keep(&self, name: &HostName, heartbeat: Heartbeat, whence: &Whence) -> Result<Level, StoreError> {
        let added_at = self.hosts.find(name).map_or_else(|| self.parts.now(), |host| host.added_at);
        let mut beat = Beat { received_at: self.parts.now(), added_at, heartbeat, level: None };
        let level = Level::of(&findings(&beat, self.parts.now()));
        beat.level = Some(level);
        let key = key(name);
        let mut tried = 0;
        loop {
            tried += 1;
            let before = self.parts.store.document(&key, self.parts.now()).await?;
            let was = before.as_ref().and_then(|document| serde_json::from_slice::<Beat>(&document.bytes).ok());
            let was = was.filter(|was| was.added_at == added_at).and_then(|was| was.level);
            let whence = Whence { via: Some("host credential"), ..whence.clone() };
            let event = self.changed(name, was, level).map(|event| event.from(&whence));
            let batch = written(&key, before.map(|document| document.revision), &beat, event)?;
            match self.parts.store.commit(batch).await {
                Err(StoreError::Conflict) if tried < TRIES => {}
                done => break done.map(|()| level),
            }
        }
    }

    /// Looks for ever for hosts that stand otherwise than was recorded, though they said nothing: those that fell silent.
    pub async fn follow(&self) {
        loop {
            self.parts.clock.sleep_until(self.parts.now() + LOOK_EVERY).await;
            if let Err(error) = self.look().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "how the hosts stand could not be looked after; trying again"
                );
            }
        }
    }

    /// Records each host that stands otherwise than was recorded. Whoever is faster, a heartbeat or another server, counts.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or written.
    pub async fn look(&self) -> Result<(), StoreError> {
        for HostStatus { name, level, beat, .. } in self.statuses().await? {
            let Some(beat) = beat.filter(|beat| beat.level != Some(level)) else { continue };
            let key = DocumentKey::new(HEARTBEATS, name.as_str());
            let Some(document) = self.parts.store.document(&key, self.parts.now()).await? else { continue };
            let same = serde_json::from_slice::<Beat>(&document.bytes).is_ok_and(|now| now == beat);
            let event = self.changed(&name, beat.level, level);
            let batch = written(&key, Some(document.revision), &Beat { level: Some(level), ..beat }, event)?;
            match if same { self.parts.store.commit(batch).await } else { Ok(()) } {
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is recorded where a host stands otherwise than before.
    fn changed(&self, name: &HostName, was: Option<Level>, level: Level) -> Option<AuditEvent> {
        if was == Some(level) {
            return None;
        }
        let target = Some(Target::Host(name.clone()));
        let event = AuditEvent { target, ..self.parts.event(EventKind::HostStatusChanged) };
        let event = event.with("status", level.as_str());
        Some(match was {
            Some(was) => event.with("was", was.as_str()),
            None => event,
        })
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

fn written(
    key: &DocumentKey,
    expect: Option<u64>,
    beat: &Beat,
    event: Option<AuditEvent>,
) -> Result<Batch, StoreError> {
    let put = Some(Put { bytes: serde_json::to_vec(beat).map_err(corrupt)?, expires_at: None });
    Ok(Batch::default().and(Change::Document { key: key.clone(), expect, put }, event))
}

/// Where the last word of a host is kept.
pub(crate) fn key(name: &HostName) -> DocumentKey {
    DocumentKey::new(HEARTBEATS, name.as_str())
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
