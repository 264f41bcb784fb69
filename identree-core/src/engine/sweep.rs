//! Ends questions whose time is over, and forgets what has been kept long enough.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Engine, Inner, plan, prune};
use crate::challenge::ChallengeRecord;
use crate::store::{LeaseName, StoreError};
use crate::time::Timestamp;

/// How soon an end that could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often it looks whether the clock was set forward, past a deadline.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the store is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How long the lease of whoever sweeps is held: longer than the pause, so that it changes hands only when its holder is gone.
pub(super) const SWEEP_HELD: Duration = Duration::from_secs(150);
/// The most that one sweep removes, so that it never blocks the writer for long.
const SWEEP_LIMIT: u32 = 500;

/// Starts the task. It holds the engine weakly: an engine that everybody has dropped is gone.
pub(super) fn start(engine: &Engine) {
    let weak = Arc::downgrade(&engine.0);
    let stopped = engine.0.tasks.stopped();
    engine.0.tasks.spawn(async move {
        tokio::select! {
            () = stopped => {}
            () = run(weak) => {}
        }
    });
}

async fn run(weak: Weak<Inner>) {
    let (mut next_sweep, mut next_prune) = (Timestamp::default(), None);
    loop {
        let (alarm, sleep) = {
            let Some(inner) = weak.upgrade() else { return };
            let engine = Engine(inner);
            let now = engine.0.clock.now();
            for record in engine.0.live.overdue(now) {
                end(&engine, record, now).await;
            }
            if now >= next_sweep {
                let more = sweep(&engine, now).await;
                next_sweep = now + if more { TRY_AGAIN } else { SWEEP_EVERY };
            }
            if now >= *next_prune.get_or_insert(now + prune::FIRST) {
                prune::run(&engine).await;
                next_prune = Some(now + prune::EVERY);
            }
            let due = engine.0.live.next_due().map_or(next_sweep, |due| due.min(next_sweep)).min(now + LOOK_EVERY);
            let sleep = engine.0.clock.sleep_until(due);
            let live = Arc::clone(&engine.0.live);
            (async move { live.alarm.notified().await }, sleep)
        };
        tokio::select! {
            () = alarm => {}
            () = sleep => {}
        }
    }
}

/// Writes the end of one question. Somebody else may have been faster: then their state counts.
pub(super) async fn end(engine: &Engine, record: Arc<ChallengeRecord>, now: Timestamp) {
    let id = record.question().id;
    if engine.check_clock().await.is_err() {
        engine.0.live.postpone(id, now + TRY_AGAIN); // nobody here knows whether its time is over
        return;
    }
    let Some(plan) = plan::expire(&record, engine.event_id(), now) else {
        return;
    };
    match engine.commit(plan).await {
        Ok(_) => {}
        Err(super::EngineError::Store(StoreError::Conflict)) => match engine.0.store.challenge(id).await {
            Ok(Some(stored)) => drop(engine.0.live.learn(stored)),
            Ok(None) => engine.0.live.forget(id),
            Err(_) => engine.0.live.postpone(id, now + TRY_AGAIN),
        },
        Err(error) => {
            tracing::warn!(challenge.id = %id, error = &error as &dyn std::error::Error, "an expiry could not be written; trying again");
            engine.0.live.postpone(id, now + TRY_AGAIN);
        }
    }
}

/// Removes what is over; true if there may be more. Of several servers one does, and by a clock that is right.
async fn sweep(engine: &Engine, now: Timestamp) -> bool {
    if engine.check_clock().await.is_err() {
        return false;
    }
    match engine.0.store.hold(&LeaseName::SWEEP, &engine.0.replica, SWEEP_HELD).await {
        Ok(Some(_)) => {}
        Ok(None) => return false,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "nobody knows who sweeps the store; trying again");
            return false;
        }
    }
    let settled_before = now - engine.0.settings.retention;
    match engine.0.store.sweep(now, settled_before, SWEEP_LIMIT).await {
        Ok(gone) => gone >= u64::from(SWEEP_LIMIT),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store could not be swept; trying again");
            false
        }
    }
}
