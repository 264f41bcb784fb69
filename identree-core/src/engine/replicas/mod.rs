//! Several servers over one store: what another one commits becomes known here.
//!
//! The store tells which questions another server changed ([`Nudge`]). Whatever was told in one go is read with one query and
//! published as if it had been committed here. A lost nudge is told as such; then, and twice a minute in any case, everything
//! that waits is read.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{Engine, Inner};
use crate::id::ChallengeId;
use crate::retry::Backoff;
use crate::store::{ChallengeFilter, Nudge, Page, StoreError};
use crate::time::{BoxFuture, Timestamp};

/// At most this many questions are read with one query.
const AT_ONCE: usize = 1000;
/// How often everything that waits is read, whatever was told.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Between tries of reading.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// What was told and is not read yet.
#[derive(Debug, Default)]
struct News {
    ids: HashSet<ChallengeId>,
    /// More than is known: everything must be looked at.
    missed: bool,
}

/// The store tells no more.
struct Closed;

impl News {
    fn take(&mut self, told: &Result<Nudge, RecvError>) -> Result<(), Closed> {
        match told {
            Ok(Nudge::Question(id)) => drop(self.ids.insert(*id)),
            Ok(Nudge::Document { .. }) => {}
            Ok(Nudge::Missed) | Err(RecvError::Lagged(_)) => self.missed = true,
            Err(RecvError::Closed) => return Err(Closed),
        }
        Ok(())
    }

    /// Takes along whatever was told meanwhile.
    fn gather(&mut self, nudges: &mut broadcast::Receiver<Nudge>) {
        while self.ids.len() < AT_ONCE {
            let told = match nudges.try_recv() {
                Ok(nudge) => Ok(nudge),
                Err(TryRecvError::Lagged(by)) => Err(RecvError::Lagged(by)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            let _ = self.take(&told); // it cannot be closed
        }
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.missed
    }
}

/// Follows what other servers commit, while the engine lives. The receiver is older than what the engine was built with, so
/// that nothing falls between.
pub(super) fn start(engine: &Engine, nudges: Option<broadcast::Receiver<Nudge>>) {
    let Some(nudges) = nudges else { return };
    let weak = Arc::downgrade(&engine.0);
    let stopped = engine.0.tasks.stopped();
    engine.0.tasks.spawn(async move {
        tokio::select! {
            () = stopped => {}
            () = run(weak, nudges) => {}
        }
    });
}

async fn run(weak: Weak<Inner>, mut nudges: broadcast::Receiver<Nudge>) {
    let (mut news, mut tries) = (News::default(), 0);
    let (mut look_at, mut look) = match weak.upgrade() {
        Some(inner) => until_look(&inner),
        None => return,
    };
    loop {
        if news.is_empty() {
            tokio::select! {
                biased;
                told = nudges.recv() => if news.take(&told).is_err() { return },
                () = &mut look => news.missed = true,
            }
            news.gather(&mut nudges);
        }
        if news.is_empty() {
            continue;
        }
        let pause = {
            let Some(inner) = weak.upgrade() else { return };
            let engine = Engine(inner);
            let missed = news.missed;
            match engine.catch_up(&mut news).await {
                Ok(()) => {
                    tries = 0;
                    if missed || engine.0.clock.now() >= look_at {
                        (look_at, look) = until_look(&engine.0);
                    }
                    continue;
                }
                Err(error) => {
                    if tries == 0 {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "what other servers did could not be read; trying again"
                        );
                    }
                    let due = engine.0.clock.now() + BACKOFF.after(tries);
                    tries += 1;
                    engine.0.clock.sleep_until(due)
                }
            }
        };
        pause.await;
        news.gather(&mut nudges);
    }
}

fn until_look(inner: &Inner) -> (Timestamp, BoxFuture<'static, ()>) {
    let due = inner.clock.now() + LOOK_EVERY;
    (due, inner.clock.sleep_until(due))
}

impl Engine {
    /// Reads what was told, and forgets it once it is known here.
    async fn catch_up(&self, news: &mut News) -> Result<(), StoreError> {
        if news.missed {
            // Those that wait here first: somebody may rest on them.
            news.ids.extend(self.0.live.waiting());
        }
        let ids: Vec<_> = news.ids.iter().copied().collect();
        for ids in ids.chunks(AT_ONCE) {
            self.read_told(ids).await?;
            for id in ids {
                news.ids.remove(id);
            }
        }
        if news.missed {
            self.read_waiting().await?;
            news.missed = false;
        }
        Ok(())
    }

    /// Reads these with one query. One that was known here and is not there any more was removed elsewhere.
    async fn read_told(&self, ids: &[ChallengeId]) -> Result<(), StoreError> {
        let mut gone: HashSet<_> = ids.iter().copied().filter(|id| self.0.live.is_known(*id)).collect();
        for record in self.0.store.challenges_by_id(ids).await? {
            gone.remove(&record.question().id);
            self.learn(record);
        }
        for id in gone {
            self.0.live.forget(id);
        }
        Ok(())
    }

    async fn read_waiting(&self) -> Result<(), StoreError> {
        let filter = ChallengeFilter { pending: Some(true), requester: None };
        let mut page = Page::first(1000);
        loop {
            let paged = self.0.store.challenges(&filter, page).await?;
            for record in paged.items {
                self.learn(record);
            }
            match paged.next {
                Some(next) => page.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn learn(&self, record: Arc<crate::challenge::ChallengeRecord>) {
        let (id, waits) = (record.question().id, record.is_pending());
        let updates = self.0.live.learn(record);
        if waits {
            self.tell(id, &updates);
        }
    }
}

#[cfg(test)]
mod tests;
