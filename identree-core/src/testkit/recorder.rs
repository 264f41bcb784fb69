//! A notifier that keeps what it was given, and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::notify::{ChannelName, DeliveryRef, Notice, Notifier, NotifyError};

/// One call of [`Notifier::deliver`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What was told.
    pub notice: Notice,
    /// What the last delivery had left.
    pub prior: Option<DeliveryRef>,
}

type Outcome = Result<Option<DeliveryRef>, NotifyError>;

/// Keeps every notice. It answers `Ok` with a new reference each time (`1`, `2`, …), unless a test has said otherwise. Cheap
/// to clone; every clone is the same recorder.
#[derive(Debug, Clone)]
pub struct Recorder {
    name: ChannelName,
    received: watch::Sender<Vec<Received>>,
    next: Arc<Mutex<VecDeque<Outcome>>>,
}

impl Recorder {
    /// A channel of this name that has received nothing.
    ///
    /// # Panics
    /// If the text is not a channel name.
    pub fn new(name: &str) -> Self {
        let name = ChannelName::parse(name).expect("a valid channel name");
        Self { name, received: watch::Sender::new(Vec::new()), next: Arc::default() }
    }

    /// Says what one more of the next calls answers.
    pub fn answer(&self, outcome: Outcome) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).push_back(outcome);
    }

    /// What was received so far.
    pub fn so_far(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// Waits until so many calls were received, and gives them all.
    pub async fn received(&self, calls: usize) -> Vec<Received> {
        let mut received = self.received.subscribe();
        match received.wait_for(|received| received.len() >= calls).await {
            Ok(received) => received.clone(),
            Err(_) => self.so_far(), // not while `self` holds the sender
        }
    }
}

#[async_trait]
impl Notifier for Recorder {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    async fn deliver(&self, notice: &Notice, prior: Option<&DeliveryRef>) -> Outcome {
        let received = Received { notice: notice.clone(), prior: prior.cloned() };
        let scripted = self.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut calls = 0;
        self.received.send_modify(|all| {
            all.push(received);
            calls = all.len();
        });
        scripted.unwrap_or_else(|| Ok(Some(DeliveryRef(calls.to_string()))))
    }
}
