//! From commits to deliveries. Each waiting question has one lane per channel: a task that follows the question's own place
//! in the live table, so that a commit does nothing but wake it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::delivery::{DELIVERIES, Delivery, Next};
use super::notice::deciders;
use super::{ChannelName, DeliveryRef, Notice, Notifier, NotifyError, Routes, Stage};
use crate::audit::{AuditEvent, EventKind};
use crate::challenge::ChallengeRecord;
use crate::directory::Directory;
use crate::foreign::caught;
use crate::id::{ChallengeId, EventId, GroupName};
use crate::retry::{Backoff, Retry};
use crate::rng::{self, Entropy};
use crate::store::{Page, Store, StoreError};
use crate::time::{Clock, Timestamp};

/// Deliveries at once per channel: enough for a burst, too few to be taken for an attack.
const AT_ONCE: usize = 8;
/// How long one delivery may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long after a question's end its last notice is tried.
const LAST_NOTICE: Duration = Duration::from_secs(600);
/// How long a delivery under way may still take when the engine stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long beyond all that its document is kept, if nobody removes it.
const KEPT: Duration = Duration::from_secs(3600);
/// Between tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// Gives the address where a question is decided.
pub(crate) type PageUrl = dyn Fn(ChallengeId) -> String + Send + Sync;

type Updates = watch::Receiver<Arc<ChallengeRecord>>;

/// The channels of an engine and what it takes to tell them something.
pub(crate) struct Dispatch {
    pub(crate) channels: Vec<Arc<Channel>>,
    pub(crate) routes: Arc<dyn Routes>,
    pub(crate) page_url: Option<Arc<PageUrl>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) admin_groups: Vec<GroupName>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// One way to tell people, with its places.
pub(crate) struct Channel {
    notifier: Arc<dyn Notifier>,
    name: ChannelName,
    places: Semaphore,
}

impl Channel {
    pub(crate) fn new(notifier: Arc<dyn Notifier>) -> Self {
        let name = notifier.name().clone();
        Self { notifier, name, places: Semaphore::new(AT_ONCE) }
    }

    pub(crate) const fn name(&self) -> &ChannelName {
        &self.name
    }
}

impl Dispatch {
    /// The questions of which somebody was told and whose end may be missing: for the start.
    pub(crate) async fn unfinished(&self) -> Result<Vec<ChallengeId>, StoreError> {
        let (mut found, mut page) = (Vec::new(), Page::first(1000));
        loop {
            let paged = self.store.documents(DELIVERIES, self.clock.now(), page).await?;
            found.extend(paged.items.iter().filter_map(Delivery::question));
            match paged.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn event(&self, kind: EventKind, record: &ChallengeRecord, channel: &Channel) -> AuditEvent {
        let question = record.question();
        let mut event = AuditEvent::new(EventId::from_bytes(rng::bytes(&self.entropy)), self.clock.now(), kind)
            .with("kind", question.kind.as_str())
            .with("channel", channel.name.as_str());
        event.challenge = Some(question.id);
        event.subject = Some(question.requester.clone());
        event.target = Some(question.target.clone());
        event
    }

    /// The notice for this channel, unless no route names it.
    fn notice(&self, record: &ChallengeRecord, told: bool, channel: &Channel) -> Option<Notice> {
        let mut notice = Notice::about(record, told);
        notice.url = self.page_url.as_ref().map(|page_url| page_url(notice.id));
        notice.recipients = deciders(record, &self.directory.snapshot(), &self.admin_groups, self.clock.now());
        let mut named = self.routes.routes(&notice);
        named.retain(|route| route.channel == channel.name);
        if named.is_empty() && !told {
            return None;
        }
        notice.recipients.clear();
        for name in named.into_iter().flat_map(|route| route.recipients) {
            if !notice.recipients.contains(&name) {
                notice.recipients.push(name);
            }
        }
        Some(notice)
    }
}

/// One question on one channel.
pub(crate) struct Lane<S> {
    dispatch: Arc<Dispatch>,
    channel: Arc<Channel>,
    updates: Updates,
    stopping: Stopping<S>,
}

/// The engine's stop, which may be waited for again and again.
struct Stopping<S> {
    stop: Pin<Box<S>>,
    reached: bool,
}

impl<S: Future<Output = ()>> Stopping<S> {
    async fn reached(&mut self) {
        if !self.reached {
            self.stop.as_mut().await;
            self.reached = true;
        }
    }
}

/// The engine stops, or is gone: the lane ends where it is.
struct Stop;

impl<S: Future<Output = ()> + Send> Lane<S> {
    /// A lane that ends at the latest when `stop` completes.
    pub(crate) fn new(dispatch: Arc<Dispatch>, channel: Arc<Channel>, updates: Updates, stop: S) -> Self {
        Self { dispatch, channel, updates, stopping: Stopping { stop: Box::pin(stop), reached: false } }
    }

    /// Tells the channel until the question is over or the engine stops.
    pub(crate) async fn run(mut self) {
        let _: Result<(), Stop> = self.follow().await;
    }

    async fn follow(&mut self) -> Result<(), Stop> {
        let (dispatch, channel) = (Arc::clone(&self.dispatch), Arc::clone(&self.channel));
        let mut delivery = self.load().await?;
        let (mut tries, mut last_error) = (0, None);
        loop {
            let next = delivery.next(&self.updates.borrow());
            let place = match next {
                Next::Tell => self.unless_stopped(channel.places.acquire()).await?.map_err(|_| Stop)?,
                Next::Rest => {
                    self.changed().await?;
                    continue;
                }
                Next::Over => break,
            };
            let record = Arc::clone(&self.updates.borrow_and_update());
            if delivery.next(&record) != Next::Tell {
                continue; // it moved on while a place was waited for
            }
            let Some(notice) = dispatch.notice(&record, delivery.told(), &channel) else {
                drop(place);
                self.changed().await?;
                continue;
            };
            let outcome = self.deliver(&notice, delivery.prior()).await?;
            drop(place);
            match outcome {
                Ok(reference) => {
                    let event = dispatch.event(EventKind::NoticeDelivered, &record, &channel);
                    let event = event.with("stage", stage(&notice));
                    delivery = self.record(delivery.delivered(&record, reference), &record, event).await?;
                    (tries, last_error) = (0, None);
                }
                Err(error) if error.retry == Retry::Later && !self.is_too_late(&record) => {
                    if tries == 0 {
                        tracing::warn!(channel = %channel.name, challenge.id = %notice.id, "{error}; trying again until the question ends");
                    }
                    let due = dispatch.clock.now() + BACKOFF.after(tries);
                    tries += 1;
                    last_error = Some(error);
                    self.pause(&record, due).await?;
                }
                Err(error) => {
                    tracing::warn!(channel = %channel.name, challenge.id = %notice.id, "{error}; given up");
                    let event = self.failed(&record, &error).with("stage", stage(&notice));
                    delivery = self.record(delivery.given_up(&record), &record, event).await?;
                    (tries, last_error) = (0, None);
                }
            }
        }
        // It ended before anybody could be told.
        if let Some(error) = last_error {
            let record = Arc::clone(&self.updates.borrow());
            let event = self.failed(&record, &error).with("stage", "opened");
            self.record(delivery.given_up(&record), &record, event).await?;
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<Delivery, Stop> {
        let (dispatch, mut tries) = (Arc::clone(&self.dispatch), 0);
        let key = Delivery::key(self.updates.borrow().question().id, &self.channel.name);
        loop {
            let read = dispatch.store.document(&key, dispatch.clock.now()).await;
            match read.and_then(|document| Delivery::read(document.as_ref())) {
                Ok(delivery) => return Ok(delivery),
                Err(error) if error.retry() == Retry::Later => {
                    let due = dispatch.clock.now() + BACKOFF.after(tries);
                    tries += 1;
                    self.unless_stopped(dispatch.clock.sleep_until(due)).await?;
                }
                Err(error) => {
                    tracing::error!(channel = %self.channel.name, key = %key.key, error = &error as &dyn std::error::Error, "what was told cannot be read; this question is not told");
                    return Err(Stop);
                }
            }
        }
    }

    /// One delivery, with its deadline. A stop gives it a moment to finish.
    async fn deliver(
        &mut self,
        notice: &Notice,
        prior: Option<DeliveryRef>,
    ) -> Result<Result<Option<DeliveryRef>, NotifyError>, Stop> {
        let clock = Arc::clone(&self.dispatch.clock);
        let channel = Arc::clone(&self.channel);
        let mut delivery = pin!(caught(channel.notifier.deliver(notice, prior.as_ref()), || {
            NotifyError::never("the channel panicked")
        }));
        let late = clock.sleep_until(clock.now() + DEADLINE);
        tokio::select! {
            biased;
            outcome = &mut delivery => return Ok(outcome),
            () = late => return Ok(Err(NotifyError::later(format!("no answer within {} s", DEADLINE.as_secs())))),
            () = self.stopping.reached() => {}
        }
        tokio::select! {
            biased;
            outcome = &mut delivery => Ok(outcome),
            () = clock.sleep_until(clock.now() + STOP_GRACE) => Err(Stop),
        }
    }

    /// Writes the outcome down, and tries until it is written: the notice is not delivered again for that.
    async fn record(&mut self, next: Delivery, record: &ChallengeRecord, event: AuditEvent) -> Result<Delivery, Stop> {
        let dispatch = Arc::clone(&self.dispatch);
        let ends = record.question().expires_at + LAST_NOTICE + KEPT;
        let mut tries = 0;
        loop {
            let Ok((batch, written)) = next.clone().commit(record, &self.channel.name, ends, event.clone()) else {
                return Err(Stop);
            };
            match dispatch.store.commit(batch).await {
                Ok(()) => return Ok(written),
                // Somebody else tells this channel too: what they wrote counts.
                Err(StoreError::Conflict) => return self.load().await,
                Err(error) => {
                    tracing::warn!(channel = %self.channel.name, error = &error as &dyn std::error::Error, "the outcome of a notice could not be written; trying again");
                    let due = dispatch.clock.now() + BACKOFF.after(tries);
                    tries += 1;
                    self.unless_stopped(dispatch.clock.sleep_until(due)).await?;
                }
            }
        }
    }

    fn failed(&self, record: &ChallengeRecord, error: &NotifyError) -> AuditEvent {
        self.dispatch.event(EventKind::NoticeFailed, record, &self.channel).with("error", error.text.clone())
    }

    fn is_too_late(&self, record: &ChallengeRecord) -> bool {
        record.settled_at().is_some_and(|at| self.dispatch.clock.now() >= at + LAST_NOTICE)
    }

    /// Until it is time to try again, or the question has moved on.
    async fn pause(&mut self, record: &ChallengeRecord, due: Timestamp) -> Result<(), Stop> {
        let clock = Arc::clone(&self.dispatch.clock);
        if !record.is_pending() {
            return self.unless_stopped(clock.sleep_until(due)).await;
        }
        tokio::select! {
            () = clock.sleep_until(due) => Ok(()),
            ended = self.updates.wait_for(|record| !record.is_pending()) => ended.map(drop).map_err(|_| Stop),
            () = self.stopping.reached() => Err(Stop),
        }
    }

    async fn changed(&mut self) -> Result<(), Stop> {
        tokio::select! {
            changed = self.updates.changed() => changed.map_err(|_| Stop),
            () = self.stopping.reached() => Err(Stop),
        }
    }

    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T> + Send) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.stopping.reached() => Err(Stop),
            done = work => Ok(done),
        }
    }
}

const fn stage(notice: &Notice) -> &'static str {
    match notice.stage {
        Stage::Opened => "opened",
        Stage::Updated => "updated",
        Stage::Settled { .. } => "settled",
    }
}
