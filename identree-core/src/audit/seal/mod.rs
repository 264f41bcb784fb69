//! The sealer: takes events out of the journal into the log, and signs where the log stands.
//!
//! Every server over a store runs one; who holds the lease seals. Nothing rests on the lease alone: each step is written only if its
//! fence is the newest and the log stands where the sealer believes, in one transaction with the removal from the journal. So there is
//! one log, without gaps, whatever dies when.

mod edge;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument as _;

use self::edge::{Edge, SALT};
use super::stop::{Stopping, until_stopped};
use super::{Checkpoint, Origin};
use crate::grant::{SignError, Signer};
use crate::retry::Backoff;
use crate::rng::Entropy;
use crate::store::{
    Fence, LeaseName, LogHead, Page, ReplicaId, Sealing, Store, StoreError, StoredCheckpoint, Unsealed,
};
use crate::time::{Clock, Timestamp};

/// How long the lease is good: so long nobody seals after a crash.
const LEASE: Duration = Duration::from_secs(5);
/// How long events wait at most until they are looked for: the last bundle is written anew with each step.
const EVERY: Duration = Duration::from_millis(250);
/// How soon one who has not got the lease looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The most events that are sealed in one step: a transaction of some megabytes.
const AT_ONCE: usize = 4096;
/// The most bytes of details that one step takes, unless it is a single page.
const BYTES_AT_ONCE: usize = 8 << 20;
/// Events that are sealed without leaving the thread: under a millisecond.
const INLINE: usize = 128;
/// A checkpoint after so many events …
const CHECKPOINT_EVENTS: u64 = 256;
/// … or after this time, if something came.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// How long a signature may take: the log stands still meanwhile.
const SIGNATURE: Duration = Duration::from_secs(2);
/// Between tries after a signer has failed.
const SIGN_AGAIN: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
/// Between tries after the store has failed.
const STORE_AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// How a log is sealed.
#[derive(Clone)]
pub struct LogSettings {
    /// The log's key: its public half is all that a verifier needs. One that is down delays checkpoints, not sealing.
    pub signer: Arc<dyn Signer>,
    /// Which log it is, in every checkpoint.
    pub origin: Origin,
}

impl std::fmt::Debug for LogSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSettings").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What one look at the journal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Somebody else holds the lease.
    Elsewhere,
    /// Nothing waits.
    Idle,
    /// So many events were sealed, and none waited beyond them when they were read.
    Sealed(usize),
    /// The same, and more wait.
    More(usize),
}

/// Seals one store's journal.
pub(crate) struct Sealer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: LogSettings,
    replica: ReplicaId,
    held: Option<Held>,
    /// What is sealed is told here.
    sealed: Arc<watch::Sender<u64>>,
    sign_failures: u32,
    /// Not before this is a checkpoint signed for its time.
    checkpoint_due: Timestamp,
    /// Not before this is a signer asked that failed.
    sign_again: Timestamp,
}

/// The lease, and the log as it stood when it was last written under it.
struct Held {
    fence: Fence,
    renew_at: Timestamp,
    log: Option<Loaded>,
}

struct Loaded {
    edge: Edge,
    checkpoint: Option<(u64, Timestamp)>,
}

impl Sealer {
    /// Over this store; the replica's name is what leases are held under.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
        settings: LogSettings,
        (replica, sealed): (ReplicaId, Arc<watch::Sender<u64>>),
    ) -> Self {
        let due = Timestamp::default();
        Self {
            store,
            clock,
            entropy,
            settings,
            replica,
            held: None,
            sealed,
            sign_failures: 0,
            checkpoint_due: due,
            sign_again: due,
        }
    }

    /// Seals until the stop; then what is left, and gives the lease back.
    pub(crate) async fn run(mut self, stopped: impl Future<Output = ()> + Send) {
        let clock = Arc::clone(&self.clock);
        if !until_stopped(&*clock, stopped, |stopping| self.follow(stopping)).await {
            tracing::warn!("the journal could not be sealed in time for the stop; the rest stays in it");
        }
    }

    async fn follow(&mut self, mut stopping: Stopping) {
        let mut failures = 0;
        loop {
            let last = *stopping.borrow();
            if last {
                self.checkpoint_due = Timestamp::default();
            }
            let step = self.step().await;
            self.report(&step, &mut failures);
            let pause = match step {
                Ok(Step::More(_)) => Duration::ZERO,
                _ if last => break,
                // A conflict: another was faster, or erased something.
                Ok(Step::Sealed(_) | Step::Idle) | Err(StoreError::Conflict) => EVERY,
                Ok(Step::Elsewhere) => LOOK_AGAIN,
                Err(_) => STORE_AGAIN.after(failures),
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping && !last) => {}
                () = self.clock.sleep_until(self.clock.now() + pause) => {}
            }
        }
        if let Some(held) = self.held.take() {
            // An error: it ends by itself.
            let _ = self.store.release(&held.fence).await;
        }
    }

    /// Says once that the store fails, and once that it works again.
    fn report(&self, step: &Result<Step, StoreError>, failures: &mut u32) {
        match step {
            Ok(_) if *failures > 0 => {
                *failures = 0;
                tracing::info!("the journal is sealed again");
            }
            Ok(_) | Err(StoreError::Conflict) => {}
            Err(error) => {
                if *failures == 0 {
                    tracing::error!(
                        error = error as &dyn std::error::Error,
                        "the journal could not be sealed; trying again, and nothing is lost meanwhile"
                    );
                }
                *failures += 1;
            }
        }
    }

    /// Looks once at what waits, and seals it.
    ///
    /// # Cancel safety
    /// Dropped anywhere, it leaves the log as it was or one step on; the next call loads what it needs.
    pub(crate) async fn step(&mut self) -> Result<Step, StoreError> {
        let step = self.try_step().await;
        if step.is_err() {
            self.held = None; // it may be another's by now, and the log not as we believe
        }
        step
    }

    async fn try_step(&mut self) -> Result<Step, StoreError> {
        // The log is out of `self` until the step is done: whoever drops it half-way leaves nothing that may be wrong.
        let Some((fence, log)) = self.hold().await? else { return Ok(Step::Elsewhere) };
        let Loaded { edge, mut checkpoint } = match log {
            Some(log) => log,
            None => Loaded::of(&*self.store).await?,
        };
        let (waiting, more) = self.waiting().await?;
        let count = waiting.len();
        let span = self.span(&waiting);
        let sealed = async {
            let (edge, mut sealing) = self.append(edge, waiting).await?;
            sealing.checkpoint = self.checkpoint(sealing.to, checkpoint).await?;
            if let Some(signed) = &sealing.checkpoint {
                checkpoint = Some((signed.size, signed.at));
            }
            if count > 0 || sealing.checkpoint.is_some() {
                self.store.seal(&fence, sealing).await?;
            }
            Ok::<_, StoreError>(edge)
        };
        let edge = sealed.instrument(span).await?;
        let size = edge.head().size;
        self.sealed.send_if_modified(|told| std::mem::replace(told, size) != size);
        if let Some(held) = &mut self.held {
            held.log = Some(Loaded { edge, checkpoint });
        }
        Ok(match (count, more) {
            (0, _) => Step::Idle,
            (count, false) => Step::Sealed(count),
            (count, true) => Step::More(count),
        })
    }

    /// For the collector: how many events are sealed together, and for how many milliseconds the oldest of them has waited.
    fn span(&self, waiting: &[Unsealed]) -> tracing::Span {
        let Some(oldest) = waiting.iter().map(|one| one.event.at).min() else { return tracing::Span::none() };
        let lag_ms = u64::try_from(self.clock.now().since(oldest).as_millis()).unwrap_or(u64::MAX);
        tracing::error_span!(
            target: "identree_trace", parent: None, "seal", identree.seal.events = waiting.len() as u64, identree.seal.lag_ms = lag_ms,
        )
    }

    /// Gets or keeps the lease, and takes the log out, if it is as we left it.
    async fn hold(&mut self) -> Result<Option<(Fence, Option<Loaded>)>, StoreError> {
        let now = self.clock.now();
        let mut held = self.held.take();
        if held.as_ref().is_none_or(|held| now >= held.renew_at || held.renew_at > now + LEASE) {
            let fence = self.store.hold(&LeaseName::SEAL, &self.replica, LEASE).await?;
            let log = held.filter(|held| Some(&held.fence) == fence.as_ref()).and_then(|held| held.log);
            held = fence.map(|fence| Held { fence, renew_at: now + LEASE / 3, log });
        }
        let found = held.as_mut().map(|held| (held.fence.clone(), held.log.take()));
        self.held = held;
        Ok(found)
    }

    /// The oldest events of the journal, and whether there are more.
    async fn waiting(&self) -> Result<(Vec<Unsealed>, bool), StoreError> {
        let (mut all, mut page, mut bytes) = (Vec::new(), Page::first(1000), 0);
        loop {
            let paged = self.store.unsealed(page).await?;
            let details = paged.items.iter().flat_map(|one| &one.event.details);
            bytes += details.map(|(name, value)| name.len() + value.len()).sum::<usize>();
            all.extend(paged.items);
            let left = u32::try_from(AT_ONCE - all.len()).unwrap_or(0).min(1000);
            match paged.next {
                Some(next) if left > 0 && bytes < BYTES_AT_ONCE => page = Page { limit: left, after: Some(next) },
                next => return Ok((all, next.is_some())),
            }
        }
    }

    /// Appends in memory: many on a thread of their own.
    async fn append(&self, mut edge: Edge, waiting: Vec<Unsealed>) -> Result<(Edge, Sealing), StoreError> {
        let mut salts = vec![0; waiting.len() * SALT];
        self.entropy.fill(&mut salts);
        let few = waiting.len() <= INLINE;
        let append = move || {
            let sealing = edge.append(&waiting, &salts);
            (edge, sealing)
        };
        if few {
            return Ok(append());
        }
        // It does not panic; a runtime that ends gives an error.
        tokio::task::spawn_blocking(append).await.map_err(|error| StoreError::Unavailable(Box::new(error)))
    }

    /// A signed statement of where the log stands, if it is time for one.
    async fn checkpoint(
        &mut self,
        head: LogHead,
        last: Option<(u64, Timestamp)>,
    ) -> Result<Option<StoredCheckpoint>, StoreError> {
        let (now, (signed, since)) = (self.clock.now(), last.unwrap_or_default());
        let new = head.size.saturating_sub(signed);
        // A time too far ahead: the clock went back.
        let due = now >= self.checkpoint_due || self.checkpoint_due > now + CHECKPOINT_EVERY;
        if new == 0 || (new < CHECKPOINT_EVENTS && !due) || now < self.sign_again {
            return Ok(None);
        }
        let at = self.store.clock().await?.max(since);
        let origin = self.settings.origin.clone();
        let checkpoint = Checkpoint { origin, size: head.size, root: head.root, signed_at: Some(at) };
        let note = tokio::select! {
            biased;
            note = checkpoint.sign(&*self.settings.signer) => note,
            () = self.clock.sleep_until(now + SIGNATURE) => Err(SignError::Unavailable("no answer in time".into())),
        };
        match note {
            Ok(note) => {
                self.sign_failures = 0;
                self.checkpoint_due = now + CHECKPOINT_EVERY;
                Ok(Some(StoredCheckpoint { size: head.size, at, note }))
            }
            Err(error) => {
                if self.sign_failures == 0 {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the log's checkpoint could not be signed; the log goes on without, and it is tried again"
                    );
                }
                self.sign_again = now + SIGN_AGAIN.after(self.sign_failures);
                self.sign_failures += 1;
                Ok(None)
            }
        }
    }
}

impl Loaded {
    async fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let edge = Edge::load(store).await?;
        let checkpoint = store.last_checkpoint().await?;
        Ok(Self { edge, checkpoint: checkpoint.map(|last| (last.size, last.at)) })
    }
}
