//! Reading the log in pieces that a sink takes at once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{AT_ONCE, BUNDLES, BYTES_AT_ONCE};
use crate::audit::{Entry, EntryError, EventSeq, SealedEvent};
use crate::store::{Bundle, Store, StoreError, TILE};

/// Bytes of bundles that are read without leaving the thread: under a millisecond.
const INLINE: usize = 32 << 10;

/// Why there is no next piece.
#[derive(Debug, thiserror::Error)]
pub(in crate::audit) enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept is not what was sealed.
    #[error("the log is damaged in bundle {bundle}: {source}")]
    Damaged {
        /// Where.
        bundle: u64,
        /// How.
        source: EntryError,
    },
}

/// Reads on from a place in the log.
pub(in crate::audit) struct Reader {
    store: Arc<dyn Store>,
    /// The place after the last one in the queue.
    next: u64,
    queue: VecDeque<(SealedEvent, usize)>,
    missing: u64,
}

impl Reader {
    /// From this place on.
    pub(in crate::audit) fn at(store: Arc<dyn Store>, next: u64) -> Self {
        Self { store, next, queue: VecDeque::new(), missing: 0 }
    }

    /// The place after the last event that was read.
    pub(in crate::audit) const fn next(&self) -> u64 {
        self.next
    }

    /// How many events were not there any more, since the last time this was asked.
    pub(in crate::audit) const fn missing(&mut self) -> u64 {
        std::mem::replace(&mut self.missing, 0)
    }

    /// The next events: none at the end of the log.
    ///
    /// # Cancel safety
    /// Nothing is skipped.
    pub(in crate::audit) async fn batch(&mut self) -> Result<Vec<SealedEvent>, ReadError> {
        self.fill().await?;
        let (mut batch, mut bytes) = (Vec::with_capacity(AT_ONCE.min(self.queue.len())), 0);
        while let Some((event, size)) = self.queue.pop_front() {
            bytes += size;
            if !batch.is_empty() && (batch.len() == AT_ONCE || bytes > BYTES_AT_ONCE) {
                self.queue.push_front((event, size));
                break;
            }
            batch.push(event);
        }
        Ok(batch)
    }

    /// Reads ahead, so that the next batch is there at once.
    ///
    /// # Cancel safety
    /// Nothing is skipped.
    pub(in crate::audit) async fn fill(&mut self) -> Result<(), ReadError> {
        while self.queue.len() < AT_ONCE {
            let bundles = self.store.bundles(self.next / TILE, BUNDLES).await?;
            let from = self.next;
            let bytes: usize = bundles.iter().map(|bundle| bundle.entries.len() + bundle.personal.len()).sum();
            let read = move || read(&bundles, from);
            let events = if bytes <= INLINE {
                read()
            } else {
                // It does not panic; a runtime that ends gives an error.
                let read = tokio::task::spawn_blocking(read).await;
                read.map_err(|error| StoreError::Unavailable(Box::new(error)))?
            }?;
            let (Some((first, _)), Some((last, _))) = (events.first(), events.last()) else { break };
            self.missing += first.seq.0 - self.next;
            self.next = last.seq.0 + 1;
            self.queue.extend(events);
        }
        Ok(())
    }
}

/// The events of these bundles from this place on, each with its bytes.
fn read(bundles: &[Bundle], from: u64) -> Result<Vec<(SealedEvent, usize)>, ReadError> {
    let mut events = Vec::with_capacity(bundles.len() * 256);
    for bundle in bundles {
        let damaged = |source| ReadError::Damaged { bundle: bundle.number, source };
        let places = bundle.number * TILE..;
        for (seq, entry) in places.zip(Entry::split(bundle).map_err(damaged)?).filter(|(seq, _)| *seq >= from) {
            let sealed = entry.sealed(EventSeq(seq)).map_err(damaged)?;
            events.push((sealed, entry.leaf.len() + entry.personal.len()));
        }
    }
    Ok(events)
}
