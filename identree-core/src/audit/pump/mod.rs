//! From the log to one sink: at least once, in order, from where the sink got to.

mod reader;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

pub(super) use self::reader::{ReadError, Reader};
use super::stop::{Stopping, until_stopped};
use super::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
use crate::foreign::caught;
use crate::retry::{Backoff, Retry};
use crate::rng::{self, Entropy};
use crate::store::{Fence, LeaseName, ReaderName, ReplicaId, Store, StoreError};
use crate::time::{Clock, Timestamp};

/// How long the lease is good: so long nobody ships after a crash.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is kept, and how soon one who has not got it looks again.
const RENEW: Duration = Duration::from_secs(5);
/// How soon it looks for events that another server has sealed.
const EVERY: Duration = Duration::from_secs(1);
/// The most events in one write.
const AT_ONCE: usize = 1024;
/// The most bytes in one write, unless it is a single event.
const BYTES_AT_ONCE: usize = 1 << 20;
/// Bundles that are read at once.
const BUNDLES: u32 = 4;
/// How long one write may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between tries after the sink or the store has failed.
const AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// Between tries of a sink that is parked.
const PARKED: Duration = Duration::from_secs(300);

/// What became of the events for one sink, counted by the server that asks.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    emitted: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    parked: AtomicBool,
}

/// How a sink stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStanding {
    /// Which.
    pub name: SinkName,
    /// Events that it has not confirmed yet, whoever ships.
    pub backlog: u64,
    /// Whether this server ships to it and is refused for good: somebody must mend it.
    pub parked: bool,
    /// Events that it has confirmed to this server.
    pub emitted: u64,
    /// Events of writes of this server that it did not take; each is offered again.
    pub failed: u64,
    /// Events that were removed from the log before it had them. The engine drops none.
    pub dropped: u64,
}

impl Counts {
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }

    pub(crate) fn standing(&self, name: SinkName, backlog: u64) -> SinkStanding {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let parked = self.is_parked();
        let (emitted, failed, dropped) = (read(&self.emitted), read(&self.failed), read(&self.dropped));
        SinkStanding { name, backlog, parked, emitted, failed, dropped }
    }
}

/// Ships to one sink.
pub(crate) struct Pump {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) replica: ReplicaId,
    pub(crate) sink: Arc<dyn AuditSink>,
    pub(crate) counts: Arc<Counts>,
    /// The size of the log, as this server's sealer tells it.
    pub(crate) sealed: watch::Receiver<u64>,
}

/// Why shipping under this lease has ended.
enum End {
    /// The engine stops.
    Stop,
    /// Another ships now.
    Lost,
    /// The store failed, or holds what is no entry.
    Read(ReadError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Lost,
            error => Self::Read(error.into()),
        }
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// The lease as it is kept.
struct Held {
    fence: Fence,
    renew_at: Timestamp,
}

impl Pump {
    /// Ships until the stop. A write under way may end; then the lease is given back.
    pub(crate) async fn run(mut self, stopped: impl Future<Output = ()> + Send) {
        let clock = Arc::clone(&self.clock);
        until_stopped(&*clock, stopped, |stopping| self.follow(stopping)).await;
    }

    async fn follow(&mut self, mut stopping: Stopping) {
        let (name, lease) = (self.sink.name().clone(), LeaseName::sink(&self.sink.name().0));
        let mut failures = 0;
        while !*stopping.borrow() {
            let held = self.store.hold(&lease, &self.replica, LEASE).await;
            let end = match held {
                Ok(Some(fence)) => {
                    let mut held = Held { fence, renew_at: self.clock.now() + RENEW };
                    let end = self.ship(&mut held, (&mut stopping, &mut failures)).await;
                    if matches!(end, End::Stop) {
                        // An error: it ends by itself.
                        let _ = self.store.release(&held.fence).await;
                        return;
                    }
                    end
                }
                Ok(None) => End::Lost,
                Err(error) => error.into(),
            };
            let pause = match end {
                End::Read(error) => {
                    if failures == 0 {
                        tracing::error!(sink = %name, error = &error as &dyn std::error::Error, "the log cannot be read for the sink; trying again, and nothing is skipped");
                    }
                    failures += 1;
                    self.counts.parked.store(matches!(error, ReadError::Damaged { .. }), Ordering::Relaxed);
                    AGAIN.after(failures - 1)
                }
                End::Stop | End::Lost => RENEW,
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = self.clock.sleep_until(self.clock.now() + pause) => {}
            }
        }
    }

    /// Ships under this lease until it ends.
    async fn ship(&mut self, held: &mut Held, (stopping, failures): (&mut Stopping, &mut u32)) -> End {
        let Err(end) = self.try_ship(held, stopping, failures).await;
        end
    }

    async fn try_ship(
        &mut self,
        held: &mut Held,
        stopping: &mut Stopping,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, End> {
        let name = ReaderName(self.sink.name().0.clone());
        let mut reader = Reader::at(Arc::clone(&self.store), self.store.cursor(&name).await?);
        let (mut batch, mut tries) = (Vec::new(), 0);
        loop {
            if batch.is_empty() {
                batch = reader.batch().await?;
                self.note_missing(reader.missing());
                *failures = 0;
            }
            if batch.is_empty() {
                self.rest(held, stopping, reader.next()).await?;
                continue;
            }
            // While one is written, the next is read.
            let ahead = async { if batch.len() == AT_ONCE { reader.fill().await } else { Ok(()) } };
            let (outcome, read) = tokio::join!(self.write(held, &batch), ahead);
            match outcome? {
                Ok(safe) if batch.first().is_some_and(|first| first.seq <= safe) => {
                    let done = batch.partition_point(|event| event.seq <= safe);
                    self.store.advance(&held.fence, &name, batch[done - 1].seq.0 + 1).await?;
                    batch.drain(..done);
                    self.counts.emitted.fetch_add(done as u64, Ordering::Relaxed);
                    self.recovered(std::mem::replace(&mut tries, 0));
                }
                Ok(_) => {
                    let pause = self.failed(&SinkError::later("it confirmed nothing"), batch.len(), &mut tries);
                    self.pause(held, stopping, pause).await?;
                }
                Err(error) => {
                    let pause = self.failed(&error, batch.len(), &mut tries);
                    self.pause(held, stopping, pause).await?;
                }
            }
            read?;
            if *stopping.borrow() {
                return Err(End::Stop);
            }
        }
    }

    /// One write, with its deadline; the lease is kept meanwhile.
    async fn write(&self, held: &mut Held, batch: &[SealedEvent]) -> Result<Result<EventSeq, SinkError>, End> {
        let mut write = pin!(caught(self.sink.write(batch), || SinkError::never("it panicked")));
        let deadline = self.clock.now() + DEADLINE;
        loop {
            let next = held.renew_at.min(deadline);
            tokio::select! {
                biased;
                outcome = &mut write => return Ok(outcome),
                () = self.clock.sleep_until(next) => {}
            }
            if self.clock.now() >= deadline {
                let late = format!("it did not answer within {} s", DEADLINE.as_secs());
                return Ok(Err(SinkError::later(late)));
            }
            self.keep(held).await?;
        }
    }

    /// Keeps the lease, if it is time.
    async fn keep(&self, held: &mut Held) -> Result<(), End> {
        let now = self.clock.now();
        if now < held.renew_at && held.renew_at <= now + LEASE {
            return Ok(());
        }
        let kept = self.store.hold(&held.fence.lease, &self.replica, LEASE).await?;
        if kept.as_ref() != Some(&held.fence) {
            return Err(End::Lost);
        }
        held.renew_at = now + RENEW;
        Ok(())
    }

    /// Until there is more than `size` in the log.
    async fn rest(&mut self, held: &mut Held, stopping: &mut Stopping, size: u64) -> Result<(), End> {
        loop {
            self.keep(held).await?;
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Err(End::Stop),
                Ok(_) = self.sealed.wait_for(|sealed| *sealed > size) => return Ok(()),
                () = self.clock.sleep_until(self.clock.now() + EVERY) => {}
            }
            if self.store.head().await?.size > size {
                return Ok(());
            }
        }
    }

    /// Waits, and keeps the lease.
    async fn pause(&self, held: &mut Held, stopping: &mut Stopping, pause: Duration) -> Result<(), End> {
        let until = self.clock.now() + pause;
        while self.clock.now() < until {
            self.keep(held).await?;
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Err(End::Stop),
                () = self.clock.sleep_until(until.min(held.renew_at)) => {}
            }
        }
        self.keep(held).await
    }

    /// Counts and tells a failure; how long to wait. Said once, until the sink takes something again.
    fn failed(&self, error: &SinkError, events: usize, tries: &mut u32) -> Duration {
        let sink = self.sink.name();
        self.counts.failed.fetch_add(events as u64, Ordering::Relaxed);
        let was_parked = self.counts.parked.swap(error.retry == Retry::Never, Ordering::Relaxed);
        let pause = match error.retry {
            Retry::Later => {
                if *tries == 0 {
                    tracing::warn!(%sink, "{error}; trying again, and nothing is skipped");
                }
                AGAIN.after(*tries)
            }
            Retry::Never => {
                if !was_parked {
                    tracing::error!(%sink, "{error}; the sink is parked until this is mended, and tried every {} s", PARKED.as_secs());
                }
                PARKED
            }
        };
        *tries += 1;
        // Several sinks of one destination shall not come back at one moment.
        let [jitter] = rng::bytes::<1>(&self.entropy);
        pause - pause * u32::from(jitter) / 1024
    }

    fn recovered(&self, tries: u32) {
        self.counts.parked.store(false, Ordering::Relaxed);
        if tries > 0 {
            tracing::info!(sink = %self.sink.name(), "the audit sink takes events again, after {tries} tries");
        }
    }

    fn note_missing(&self, missing: u64) {
        if missing > 0 {
            self.counts.dropped.fetch_add(missing, Ordering::Relaxed);
            tracing::error!(sink = %self.sink.name(), missing, "events were removed from the log before the audit sink had them; it goes on with the next");
        }
    }
}
