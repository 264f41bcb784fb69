//! An audit sink that keeps what it was given, and fails as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::suite::sink::{Arrived, Destination, Outage};
use crate::audit::{AuditEvent, AuditSink, EventSeq, SealedEvent, SinkError, SinkName};

/// Keeps every event that it is offered, also what comes twice. It confirms everything, unless a test has said otherwise. Cheap to
/// clone; every clone is the same shelf.
#[derive(Debug, Clone)]
pub struct Shelf {
    name: SinkName,
    kept: watch::Sender<Vec<SealedEvent>>,
    next: Arc<Mutex<VecDeque<Result<EventSeq, SinkError>>>>,
    outage: watch::Sender<Option<SinkError>>,
}

impl Shelf {
    /// An empty one of this name.
    pub fn new(name: &str) -> Self {
        let name = SinkName(name.into());
        Self { name, kept: watch::Sender::new(Vec::new()), next: Arc::default(), outage: watch::Sender::new(None) }
    }

    /// Says what one more of the next calls answers; what it does not confirm it does not keep.
    pub fn answer(&self, outcome: Result<EventSeq, SinkError>) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).push_back(outcome);
    }

    /// Answers every call like this, until it is told `None`.
    pub fn break_down(&self, outage: Option<SinkError>) {
        self.outage.send_replace(outage);
    }

    /// What is kept so far.
    pub fn so_far(&self) -> Vec<SealedEvent> {
        self.kept.borrow().clone()
    }

    /// Waits until so many events are kept, and gives them all.
    pub async fn kept(&self, events: usize) -> Vec<SealedEvent> {
        let mut kept = self.kept.subscribe();
        match kept.wait_for(|kept| kept.len() >= events).await {
            Ok(kept) => kept.clone(),
            Err(_) => self.so_far(), // not while `self` holds the sender
        }
    }
}

#[async_trait]
impl AuditSink for Shelf {
    fn name(&self) -> &SinkName {
        &self.name
    }

    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        if let Some(error) = self.outage.borrow().clone() {
            return Err(error);
        }
        let scripted = self.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let last = events.last().map_or(EventSeq(0), |last| last.seq);
        let safe = scripted.unwrap_or(Ok(last))?;
        self.kept.send_modify(|kept| kept.extend(events.iter().filter(|event| event.seq <= safe).cloned()));
        Ok(safe)
    }
}

fn json(event: &AuditEvent) -> String {
    serde_json::to_string(event).expect("an event is JSON")
}

#[async_trait]
impl Destination for Shelf {
    async fn arrived(&self) -> Vec<Arrived> {
        let arrived = |event: SealedEvent| Arrived { seq: event.seq, text: json(&event.event) };
        self.so_far().into_iter().map(arrived).collect()
    }

    async fn fail(&self, outage: Outage) -> bool {
        self.break_down(Some(match outage {
            Outage::Gone => SinkError::later("the shelf is locked"),
            Outage::Refuses => SinkError::never("the shelf is not yours"),
        }));
        true
    }

    async fn mend(&self) {
        self.break_down(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::sink_suite!(shelf, async {
        let shelf = Shelf::new("shelf");
        (shelf.clone(), shelf)
    });
}
