//! How the log's own tasks end: each is told that the engine stops, and may finish what it has begun.

use std::time::Duration;

use tokio::sync::watch;

use crate::time::Clock;

/// How long that may take.
const GRACE: Duration = Duration::from_secs(5);

/// `true` once the engine stops.
pub(super) type Stopping = watch::Receiver<bool>;

/// Runs a task that ends by itself once it is told to; whether it did in time.
pub(super) async fn until_stopped<T: Future<Output = ()>>(
    clock: &dyn Clock,
    stopped: impl Future<Output = ()>,
    task: impl FnOnce(Stopping) -> T,
) -> bool {
    let stopping = watch::Sender::new(false);
    let grace = async {
        stopped.await;
        stopping.send_replace(true);
        clock.sleep_until(clock.now() + GRACE).await;
    };
    tokio::select! {
        () = task(stopping.subscribe()) => true,
        () = grace => false,
    }
}
