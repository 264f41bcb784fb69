//! Composing an engine from its parts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::answer::Extra;
use super::caps::Caps;
use super::fitness::Fitness;
use super::live::Live;
use super::log::Audit;
use super::notices::Telling;
use super::tasks::Tasks;
use super::{Engine, Inner, Settings, fitness, notices, replicas, sweep};
use crate::audit::{AuditSink, LogSettings};
use crate::directory::{Directory, FixedDirectory};
use crate::grant::{LocalSigner, Signer};
use crate::id::{ChallengeId, GroupName};
use crate::notify::dispatch::{Channel, Dispatch, PageUrl};
use crate::notify::{Notifier, Routes, ToDeciders};
use crate::policy::{Outcome, Policy, PolicyError, PolicyInput, Revision};
use crate::rng::{Entropy, OsEntropy};
use crate::store::{ChallengeFilter, MemoryStore, Page, ReplicaId, Store, StoreError};
use crate::time::{Clock, SteadyClock, Timestamp};

/// The most settled questions that are looked through for denials at the start, in thousands.
const MAX_PAGES: usize = 10;

/// The parts of an engine. What is not given has a default that suits an embedder's first day: a store in memory, a
/// directory of nobody, a new key, the system's clock and randomness. Without a policy every question is refused.
pub struct EngineBuilder {
    store: Option<Arc<dyn Store>>,
    policy: Option<Arc<dyn Policy>>,
    directory: Option<Arc<dyn Directory>>,
    signer: Option<Arc<dyn Signer>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    channels: Vec<Arc<Channel>>,
    routes: Option<Arc<dyn Routes>>,
    page_url: Option<Arc<PageUrl>>,
    audit: Audit,
    settings: Settings,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            store: None,
            policy: None,
            directory: None,
            signer: None,
            clock: Arc::new(SteadyClock::new()),
            entropy: Arc::new(OsEntropy),
            channels: Vec::new(),
            routes: None,
            page_url: None,
            audit: Audit::default(),
            settings: Settings {
                admin_groups: Vec::new(),
                question_life: Duration::from_secs(120),
                grant_life: Duration::from_secs(30),
                retention: Duration::from_secs(30 * 24 * 3600),
                log_retention: None,
                caps: Caps::default(),
                extras: Vec::new(),
            },
        }
    }
}

impl EngineBuilder {
    /// Where everything is kept.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Who must approve what.
    #[must_use]
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// People and groups. Without one nobody is an administrator.
    #[must_use]
    pub fn directory(mut self, directory: impl Directory) -> Self {
        self.directory = Some(Arc::new(directory));
        self
    }

    /// The decision key. Without one the engine makes its own, which nobody outside this process can know.
    #[must_use]
    pub fn signer(mut self, signer: impl Signer) -> Self {
        self.signer = Some(Arc::new(signer));
        self
    }

    /// The time.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The randomness.
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy) -> Self {
        self.entropy = Arc::new(entropy);
        self
    }

    /// One more way to tell people about questions. Of two channels with one name the later counts.
    #[must_use]
    pub fn notifier(mut self, notifier: impl Notifier) -> Self {
        let channel = Channel::new(Arc::new(notifier));
        self.channels.retain(|known| known.name() != channel.name());
        self.channels.push(Arc::new(channel));
        self
    }

    /// Who is told what on which channel. Without it everybody who may decide is told on every channel.
    #[must_use]
    pub fn routes(mut self, routes: impl Routes) -> Self {
        self.routes = Some(Arc::new(routes));
        self
    }

    /// The page on which a question is decided, for notices. Leave its code out of the address: the number in it is what an
    /// approver must get from the requester.
    #[must_use]
    pub fn page_url(mut self, page_url: impl Fn(ChallengeId) -> String + Send + Sync + 'static) -> Self {
        self.page_url = Some(Arc::new(page_url));
        self
    }

    /// Seals the journal into the verifiable log under this key. Without it, and without [`audit`](Self::audit), nothing is sealed: every
    /// event stays in the journal, which grows until somebody reads it away.
    #[must_use]
    pub fn log(mut self, log: LogSettings) -> Self {
        self.audit.log = Some(log);
        self
    }

    /// One more destination of the log, which is shipped to it from its first event on. Of two sinks with one name the later counts.
    /// Without [`log`](Self::log) the log's checkpoints are signed with a key that nobody outside this process can know.
    #[must_use]
    pub fn audit(mut self, sink: impl AuditSink) -> Self {
        self.audit.sinks.retain(|known| known.name() != sink.name());
        self.audit.sinks.push(Arc::new(sink));
        self
    }

    /// The groups whose members are administrators (`IDENTREE_ADMIN_GROUPS`).
    #[must_use]
    pub fn admin_groups(mut self, groups: Vec<GroupName>) -> Self {
        self.settings.admin_groups = groups;
        self
    }

    /// How long a question waits (`IDENTREE_CHALLENGE_TTL`); 120 s unless told.
    #[must_use]
    pub const fn question_life(mut self, life: Duration) -> Self {
        self.settings.question_life = life;
        self
    }

    /// How long settled questions are kept for the pages; 30 days unless told. The journal has its own rule.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention = retention;
        self
    }

    /// How long the sealed log is kept (`IDENTREE_AUDIT_RETENTION`), in whole bundles, and never less than until each sink of this engine has
    /// taken it; for ever unless told.
    #[must_use]
    pub const fn log_retention(mut self, keep: Option<Duration>) -> Self {
        self.settings.log_retention = keep;
        self
    }

    /// How many questions may wait, and what denials lead to.
    #[must_use]
    pub const fn caps(mut self, caps: Caps) -> Self {
        self.settings.caps = caps;
        self
    }

    /// A text that is told, signed, with every answer, as what the asking side is to keep to.
    #[must_use]
    pub fn answer_extra(self, name: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        self.answer_extra_with(name, move || text.clone())
    }

    /// The same for a text that may change: it is asked for when an answer is made.
    #[must_use]
    pub fn answer_extra_with(mut self, name: &str, text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.settings.extras.push(Extra { name: name.to_owned(), text: Arc::new(text) });
        self
    }

    /// Loads the questions that wait and starts the background tasks. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn build(self) -> Result<Engine, StoreError> {
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        // Before anything is read: whatever changes meanwhile is told.
        let nudges = store.nudges();
        let shared = nudges.is_some();
        let replica = ReplicaId::random(&self.entropy);
        let late = shared.then(|| u64::from_be_bytes(crate::rng::bytes(&self.entropy)));
        let (live, now) = (Live::new(self.settings.grant_life, self.settings.caps, late), self.clock.now());
        let filter = ChallengeFilter { pending: Some(true), requester: None };
        let mut page = Page::first(1000);
        loop {
            let paged = store.challenges(&filter, page).await?;
            for record in paged.items {
                let question = record.question();
                let (id, foreign) = (question.id, question.created_at.is_from_the_future(now));
                live.learn(record);
                if foreign {
                    live.postpone(id, now); // its own deadline is by a clock that has gone back
                }
            }
            match paged.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        let since = now - self.settings.caps.cool_down.within;
        remember_denials(&*store, &live, (since, now), self.settings.question_life).await?;
        let directory = self.directory.unwrap_or_else(|| Arc::new(FixedDirectory::new([])));
        let names = || self.channels.iter().map(|channel| channel.name().clone()).collect();
        let routes = self.routes.unwrap_or_else(|| Arc::new(ToDeciders(names())));
        let dispatch = (!self.channels.is_empty()).then(|| {
            Arc::new(Dispatch {
                channels: self.channels,
                routes,
                page_url: self.page_url,
                store: Arc::clone(&store),
                directory: Arc::clone(&directory),
                admin_groups: self.settings.admin_groups.clone(),
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
            })
        });
        let (log, workers) = self.audit.prepare(&store, (&self.clock, &self.entropy), &replica).unzip();
        let signer = self.signer.unwrap_or_else(|| Arc::new(LocalSigner::generate(&self.entropy)));
        let engine = Engine(Arc::new(Inner {
            store,
            policy: self.policy.unwrap_or_else(|| Arc::new(NoPolicy)),
            directory,
            signer,
            clock: self.clock,
            entropy: self.entropy,
            settings: self.settings,
            live: Arc::new(live),
            dispatch,
            telling: Telling::new(),
            fitness: Fitness::new(shared),
            replica,
            log,
            tasks: Tasks::new(),
        }));
        // Before the sweep: it may end questions, and each must have one lane.
        notices::start(&engine, shared).await?;
        replicas::start(&engine, nudges);
        fitness::start(&engine);
        sweep::start(&engine);
        if let Some(workers) = workers {
            workers.start(&engine);
        }
        Ok(engine)
    }
}

/// Denials since then count as if the engine had run all the while. Questions that were given a longer life of their own
/// are not looked for.
async fn remember_denials(
    store: &dyn Store,
    live: &Live,
    (since, now): (Timestamp, Timestamp),
    question_life: Duration,
) -> Result<(), StoreError> {
    let mut page = Page::first(1000);
    for _ in 0..MAX_PAGES {
        let paged = store.challenges(&ChallengeFilter { pending: Some(false), requester: None }, page).await?;
        let counts = |at: Timestamp| at > since && !at.is_from_the_future(now);
        for record in paged.items.iter().filter(|record| record.settled_at().is_some_and(counts)) {
            live.remember(record);
        }
        let older = paged.items.last().is_none_or(|last| last.question().created_at + question_life <= since);
        match paged.next {
            Some(next) if !older => page.after = Some(next),
            _ => break,
        }
    }
    Ok(())
}

/// Deny is the default.
struct NoPolicy;

#[async_trait]
impl Policy for NoPolicy {
    async fn evaluate(&self, _: &PolicyInput<'_>) -> Result<Outcome, PolicyError> {
        Ok(Outcome::Refuse { rule: None, text: "no policy is configured".to_owned() })
    }

    fn revision(&self) -> Revision {
        Revision::default()
    }
}
