//! Background tasks and the stop.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How far the stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Stopped,
}

/// Every task of an engine is started here, ends on the stop, and is awaited by it.
pub(super) struct Tasks {
    phase: watch::Sender<Phase>,
    /// One receiver lives in each running task; the stop waits until all are gone.
    alive: watch::Sender<()>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running), alive: watch::Sender::new(()) }
    }

    /// Runs a task to its end even when the caller goes away: a commit and the wake-up after it belong together.
    pub(super) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let alive = self.alive.subscribe();
        tokio::spawn(async move {
            let result = task.await;
            drop(alive);
            result
        })
    }

    /// Completes when waiting is over for everybody.
    pub(super) fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        reached(self.phase.subscribe(), Phase::Draining)
    }

    /// Completes when background work must end.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        reached(self.phase.subscribe(), Phase::Stopped)
    }

    pub(super) fn drain(&self) {
        self.phase.send_if_modified(|phase| std::mem::replace(phase, (*phase).max(Phase::Draining)) < Phase::Draining);
    }

    pub(super) async fn shutdown(&self) {
        self.phase.send_replace(Phase::Stopped);
        self.alive.closed().await;
    }
}

async fn reached(mut phase: watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the engine itself is gone, which is a stop too.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}
