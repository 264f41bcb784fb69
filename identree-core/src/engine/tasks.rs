//! Background tasks and the stop.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

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
    /// Where tasks run, whoever calls.
    runtime: Handle,
}

impl Tasks {
    /// On the runtime of whoever calls.
    pub(super) fn new() -> Self {
        let (phase, alive) = (watch::Sender::new(Phase::Running), watch::Sender::new(()));
        Self { phase, alive, runtime: Handle::current() }
    }

    /// Runs work where it is waited for, and if it is no longer waited for, to its end as a task: a commit and the wake-up
    /// after it belong together.
    pub(super) fn finish<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Finish<T> {
        Finish { work: Some(Box::pin(work)), alive: self.alive.subscribe(), runtime: self.runtime.clone() }
    }

    /// Runs a task to its end even when the caller goes away. What it logs belongs to the caller's span.
    pub(super) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let alive = self.alive.subscribe();
        let task = async move {
            let result = task.await;
            drop(alive);
            result
        };
        tokio::spawn(task.in_current_span())
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

/// See [`Tasks::finish`].
pub(super) struct Finish<T: Send + 'static> {
    /// None once it has ended, or while it runs: what has panicked is not run again.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    alive: watch::Receiver<()>,
    runtime: Handle,
}

impl<T: Send> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Polled again after its end it never ends.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            let alive = self.alive.clone();
            let rest = async move {
                drop(work.await);
                drop(alive);
            };
            drop(self.runtime.spawn(rest.in_current_span())); // it runs on
        }
    }
}

async fn reached(mut phase: watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the engine itself is gone, which is a stop too.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn what_is_begun_ends_although_nobody_waits_for_it() {
        let tasks = Tasks::new();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (told, tells) = tokio::sync::oneshot::channel();
        let mut work = Box::pin(tasks.finish(async move {
            gone.await.unwrap();
            told.send(7).unwrap();
        }));
        assert!(std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await);
        drop(work);
        let stop = tokio::spawn(async move {
            tasks.shutdown().await;
            tasks
        });
        go.send(()).unwrap();
        assert_eq!(tells.await, Ok(7));
        stop.await.unwrap();
        assert_eq!(Tasks::new().finish(async { 8 }).await, 8);
    }

    #[tokio::test]
    async fn what_a_task_logs_belongs_to_the_request_that_began_it() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let tasks = Tasks::new();
        let begun = tracing::error_span!("request", id = "r-1").in_scope(|| {
            tasks.spawn(async {
                tokio::task::yield_now().await;
                tracing::warn!("written");
            })
        });
        begun.await.unwrap();
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("request{id=\"r-1\"}") && text.contains("written"), "{text}");
    }
}
