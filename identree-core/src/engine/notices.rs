//! Which questions have lanes to the channels: see [`crate::notify`].
//!
//! Of several servers over one store one tells, whoever opened the question: the one that holds the lease. When it is gone
//! another gets the lease, and goes on with what waits and with what was told and has ended. What was told stands in the store,
//! so that only a notice whose outcome was not written any more is told twice.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::{Engine, EngineError, Inner};
use crate::challenge::ChallengeRecord;
use crate::id::ChallengeId;
use crate::notify::dispatch::Lane;
use crate::store::{Fence, LeaseName, StoreError};
use crate::time::Timestamp;

/// The lease of whoever tells.
const NOTICES: LeaseName = LeaseName(std::borrow::Cow::Borrowed("notices"));
/// How long it is held without being renewed: a server that is gone is replaced as late as this.
const HELD: Duration = Duration::from_secs(15);
/// How often it is renewed, or asked for.
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// Whether this server tells. Each time it begins to is a new term, and lanes end with theirs.
#[derive(Debug)]
pub(super) struct Telling {
    term: watch::Sender<Option<u64>>,
    terms: std::sync::atomic::AtomicU64,
}

impl Telling {
    pub(super) fn new() -> Self {
        Self { term: watch::Sender::new(None), terms: std::sync::atomic::AtomicU64::new(0) }
    }

    fn term(&self) -> Option<u64> {
        *self.term.borrow()
    }

    fn begin(&self) {
        let term = self.terms.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        self.term.send_replace(Some(term));
    }

    fn end(&self) {
        self.term.send_replace(None);
    }
}

impl Engine {
    /// Has a question told on every channel from now on, if this server tells. Costs nothing without channels.
    pub(super) fn tell(&self, id: ChallengeId, updates: &watch::Receiver<Arc<ChallengeRecord>>) {
        let Some(dispatch) = &self.0.dispatch else { return };
        let Some(term) = self.0.telling.term() else { return };
        if !self.0.live.take_lanes(id, term) {
            return;
        }
        for channel in &dispatch.channels {
            let (stopped, mut terms) = (self.0.tasks.stopped(), self.0.telling.term.subscribe());
            let stop = async move {
                tokio::select! {
                    () = stopped => {}
                    // An error means that the engine itself is gone.
                    _ = terms.wait_for(|now| *now != Some(term)) => {}
                }
            };
            let lane = Lane::new(Arc::clone(dispatch), Arc::clone(channel), updates.clone(), stop);
            self.0.tasks.spawn(lane.run());
        }
    }
}

/// Begins to tell: at once where nobody else is over the store, else as soon as the lease is got.
pub(super) async fn start(engine: &Engine, shared: bool) -> Result<(), StoreError> {
    if engine.0.dispatch.is_none() {
        return Ok(());
    }
    if !shared {
        engine.0.telling.begin();
        return resume(engine).await;
    }
    let weak = Arc::downgrade(&engine.0);
    let stopped = engine.0.tasks.stopped();
    engine.0.tasks.spawn(async move {
        let mut fence = None;
        tokio::select! {
            () = stopped => {}
            () = run(&weak, &mut fence) => {}
        }
        // The next one need not wait until it ends by itself.
        if let (Some(fence), Some(inner)) = (fence, weak.upgrade()) {
            let _ = inner.store.release(&fence).await;
        }
    });
    Ok(())
}

async fn run(weak: &Weak<Inner>, fence: &mut Option<Fence>) {
    let mut until = Timestamp::default();
    loop {
        let sleep = {
            let Some(inner) = weak.upgrade() else { return };
            let engine = Engine(inner);
            let clock = &engine.0.clock;
            let asked_at = clock.now();
            let answer = tokio::select! {
                biased;
                answer = hold(&engine, fence.as_ref()) => answer.ok(),
                () = clock.sleep_until(until.max(asked_at + RENEW_EVERY)) => None,
            };
            match answer {
                Some(held) => (*fence, until) = (held, asked_at + HELD),
                // What was got is held until its end; afterwards others may get it.
                None if clock.now() < until => {}
                None => *fence = None,
            }
            let tells = engine.0.telling.term().is_some();
            if fence.is_none() && tells {
                engine.0.telling.end();
            } else if fence.is_some() && !tells {
                engine.0.telling.begin();
                if let Err(error) = resume(&engine).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what is to be told could not be read; trying again"
                    );
                    engine.0.telling.end();
                }
            }
            clock.sleep_until(clock.now() + RENEW_EVERY)
        };
        sleep.await;
    }
}

/// Gets or keeps the lease. A server whose clock is off gives it back.
async fn hold(engine: &Engine, fence: Option<&Fence>) -> Result<Option<Fence>, EngineError> {
    match (engine.check_clock().await, fence) {
        (Err(EngineError::ClockOff(_)), Some(fence)) => {
            engine.0.store.release(fence).await?;
            Ok(None)
        }
        (Err(EngineError::ClockOff(_)), None) => Ok(None),
        _ => Ok(engine.0.store.hold(&NOTICES, &engine.0.replica, HELD).await?),
    }
}

/// What waits, and what ended while nobody could tell.
async fn resume(engine: &Engine) -> Result<(), StoreError> {
    let Some(dispatch) = &engine.0.dispatch else { return Ok(()) };
    for record in engine.0.live.pending() {
        let id = record.question().id;
        engine.tell(id, &engine.0.live.recall(record));
    }
    for id in dispatch.unfinished().await? {
        if let Some(record) = engine.0.store.challenge(id).await?.filter(|record| !record.is_pending()) {
            engine.tell(id, &engine.0.live.recall(record));
        }
    }
    Ok(())
}
