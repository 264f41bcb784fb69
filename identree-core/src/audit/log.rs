//! The sealed log, for whoever reads it beside the engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pump::{Counts, ReadError, Reader};
use super::{EventSeq, LogKey, SealedEvent, SinkName, SinkStanding};
use crate::store::{LogHead, Page, ReaderName, Store, StoreError, StoredCheckpoint};
use crate::time::Clock;

/// The log of an engine: what is in it, and how it stands. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    key: LogKey,
    sealed: Arc<watch::Sender<u64>>,
    sinks: Vec<(SinkName, Arc<Counts>)>,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").field("key", &self.0.key).finish_non_exhaustive()
    }
}

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept is not what was sealed: `identree audit verify` says where.
    #[error("{0}")]
    Damaged(String),
}

/// How the log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStanding {
    /// Events in it.
    pub size: u64,
    /// Events that wait in the journal to be sealed.
    pub unsealed: u64,
    /// How long the oldest of them waits.
    pub lag: Duration,
    /// The last checkpoint.
    pub checkpoint: Option<StoredCheckpoint>,
    /// The sinks of this engine.
    pub sinks: Vec<SinkStanding>,
}

impl AuditLog {
    pub(crate) fn new(
        (store, clock): (Arc<dyn Store>, Arc<dyn Clock>),
        key: LogKey,
        sealed: Arc<watch::Sender<u64>>,
        sinks: Vec<(SinkName, Arc<Counts>)>,
    ) -> Self {
        Self(Arc::new(Inner { store, clock, key, sealed, sinks }))
    }

    /// Its name and the public half of its key: all that a verifier needs.
    pub fn key(&self) -> &LogKey {
        &self.0.key
    }

    /// Where it stands.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn head(&self) -> Result<LogHead, StoreError> {
        self.0.store.head().await
    }

    /// The last signed statement of where it stood.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.0.store.last_checkpoint().await
    }

    /// Events from this place on, in order, some hundreds at once; none at the end of the log. What was pruned is not there: then the
    /// first one's place is later.
    ///
    /// # Errors
    /// [`LogError`] if they cannot be read.
    pub async fn events(&self, from: EventSeq) -> Result<Vec<SealedEvent>, LogError> {
        let batch = Reader::at(Arc::clone(&self.0.store), from.0).batch().await;
        batch.map_err(|error| match error {
            ReadError::Store(error) => error.into(),
            error @ ReadError::Damaged { .. } => LogError::Damaged(error.to_string()),
        })
    }

    /// The size of the log whenever this engine has sealed something: another over the same store does not tell here.
    pub fn sealed(&self) -> watch::Receiver<u64> {
        self.0.sealed.subscribe()
    }

    /// How it stands: a few small queries.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn standing(&self) -> Result<LogStanding, StoreError> {
        let Inner { store, sinks, .. } = &*self.0;
        let lag = self.waits().await?;
        let unsealed = if lag.is_some() { store.unsealed_count().await? } else { 0 };
        let lag = lag.unwrap_or_default();
        let size = store.head().await?.size;
        let mut standing = Vec::with_capacity(sinks.len());
        for (name, counts) in sinks {
            let cursor = store.cursor(&ReaderName(name.0.clone())).await?;
            standing.push(counts.standing(name.clone(), size.saturating_sub(cursor)));
        }
        let checkpoint = store.last_checkpoint().await?;
        Ok(LogStanding { size, unsealed, lag, checkpoint, sinks: standing })
    }

    /// How long the oldest event waits in the journal to be sealed.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn lag(&self) -> Result<Duration, StoreError> {
        Ok(self.waits().await?.unwrap_or_default())
    }

    async fn waits(&self) -> Result<Option<Duration>, StoreError> {
        let oldest = self.0.store.unsealed(Page::first(1)).await?.items.pop();
        Ok(oldest.map(|oldest| self.0.clock.now().since(oldest.event.at)))
    }

    /// Under which names the sinks of this engine keep their places.
    pub(crate) fn readers(&self) -> Vec<ReaderName> {
        self.0.sinks.iter().map(|(name, _)| ReaderName(name.0.clone())).collect()
    }

    /// The sinks that refuse this server for good.
    pub fn parked(&self) -> impl Iterator<Item = &SinkName> {
        self.0.sinks.iter().filter(|(_, counts)| counts.is_parked()).map(|(name, _)| name)
    }
}
