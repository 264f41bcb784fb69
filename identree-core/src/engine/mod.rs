//! The engine: questions in, answers out. No HTTP type appears in it.
//!
//! Every decision is planned by a pure function ([`plan`](self)) and committed once, with its event. Waiting never asks the
//! store: each commit wakes whoever waits for that question.

mod answer;
mod builder;
mod caps;
mod fitness;
mod live;
mod log;
mod notices;
mod open;
mod plan;
mod prune;
mod replicas;
mod sweep;
mod tasks;
#[cfg(test)]
mod tests;
mod vote;
mod withdraw;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

pub use self::builder::EngineBuilder;
pub use self::caps::{Caps, CoolDown, Limit};
use self::fitness::Fitness;
pub use self::fitness::{ClockOff, Side};
use self::live::Live;
pub use self::live::Load;
use self::notices::Telling;
use self::tasks::Tasks;
use crate::actor::{Actor, Whence};
use crate::audit::AuditLog;
use crate::challenge::{Challenge, ChallengeRecord, UserCode};
use crate::directory::Directory;
use crate::grant::{Grant, SignError, Signer};
use crate::id::{ChallengeId, EventId, GroupName, Nonce, RuleName, UserName};
use crate::notify::dispatch::Dispatch;
use crate::policy::{Policy, PolicyError};
use crate::retry::Retry;
use crate::rng::Entropy;
use crate::store::{ChallengeFilter, Page, ReplicaId, Store, StoreError};
use crate::time::{Clock, Timestamp};

/// Opens questions, takes votes, answers. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    policy: Arc<dyn Policy>,
    directory: Arc<dyn Directory>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
    live: Arc<Live>,
    dispatch: Option<Arc<Dispatch>>,
    telling: Telling,
    fitness: Fitness,
    replica: ReplicaId,
    log: Option<AuditLog>,
    tasks: Tasks,
}

#[derive(Debug, Clone)]
struct Settings {
    admin_groups: Vec<GroupName>,
    question_life: Duration,
    grant_life: Duration,
    retention: Duration,
    log_retention: Option<Duration>,
    caps: Caps,
    /// Told, signed, with every answer.
    extras: Vec<answer::Extra>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The question.
    pub challenge: &'a dyn Challenge,
    /// The asking side's nonce; the same nonce again is the same question. Without one the engine makes one.
    pub nonce: Option<Nonce>,
    /// How long it waits; without one the engine's own time.
    pub life: Option<Duration>,
    /// Where the question comes from, for the events of its opening.
    pub whence: Option<&'a Whence>,
}

impl<'a> Ask<'a> {
    /// Asks, with the engine's own nonce and time.
    pub const fn new(challenge: &'a dyn Challenge) -> Self {
        Self { challenge, nonce: None, life: None, whence: None }
    }
}

/// An opened question.
#[derive(Debug, Clone)]
pub struct Opened {
    /// As stored.
    pub record: Arc<ChallengeRecord>,
    /// Where it stands.
    pub verdict: Verdict,
}

/// An answer, or that there is none yet.
#[expect(clippy::large_enum_variant, reason = "a verdict is made once and moved once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Granted(Grant),
    /// No.
    Refused(Refusal),
    /// Not yet.
    Pending {
        /// Approvals it has.
        have: u32,
        /// Approvals it needs.
        need: u32,
    },
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A person said no.
    #[error("denied by {by}")]
    Denied {
        /// Who.
        by: UserName,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    Expired,
    /// The asking side took it back.
    #[error("taken back by {by}")]
    Cancelled {
        /// Who.
        by: UserName,
    },
    /// A rule says no.
    #[error("refused by the policy: {text}")]
    Rule {
        /// Which rule; none when no rule matched.
        rule: Option<RuleName>,
        /// Why.
        text: String,
    },
    /// It was granted, but not claimed while the grant was good.
    #[error("it was approved, but too long ago")]
    Lapsed,
    /// The vote did not count; the question stands as it stood.
    #[error(transparent)]
    Vote(VoteRefusal),
}

/// Why a vote did not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoteRefusal {
    /// There is no such question, or it is not this person's to see.
    #[error("there is no such question")]
    NotFound,
    /// It was settled before.
    #[error("the question was already settled")]
    AlreadySettled,
    /// This person has approved already.
    #[error("you have already approved this")]
    AlreadyVoted,
    /// The rule lets only administrators approve.
    #[error("only an administrator may approve this")]
    AdminOnly,
    /// The rule does not let the requester approve.
    #[error("somebody else must approve your question")]
    NotYourOwn,
    /// The rule wants a more recent sign-in.
    #[error("sign in again to approve this")]
    StaleSignIn,
    /// The number does not match the one on the requester's terminal, or none was typed.
    #[error("the number does not match the one on the requester's terminal")]
    WrongNumber,
    /// The directory has shut this person out.
    #[error("your account is disabled")]
    Disabled,
    /// The reason is too long.
    #[error("a reason has at most {max} characters")]
    ReasonTooLong {
        /// The limit in characters.
        max: usize,
    },
}

impl VoteRefusal {
    /// A stable name, for events and problem types.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadySettled => "already_settled",
            Self::AlreadyVoted => "already_voted",
            Self::AdminOnly => "admin_only",
            Self::NotYourOwn => "not_your_own",
            Self::StaleSignIn => "stale_sign_in",
            Self::WrongNumber => "wrong_number",
            Self::Disabled => "disabled",
            Self::ReasonTooLong { .. } => "reason_too_long",
        }
    }
}

/// What a person says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// Yes.
    Approve {
        /// Why, in their words.
        reason: Option<String>,
        /// The number they read on the requester's terminal, where the rule wants it.
        number: Option<String>,
    },
    /// No.
    Deny {
        /// Why, in their words.
        reason: Option<String>,
    },
}

/// The engine could not tell; treat it as no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store failed.
    #[error("the question could not be read or written")]
    Store(#[from] StoreError),
    /// The policy failed.
    #[error("the policy could not be asked")]
    Policy(#[from] PolicyError),
    /// The signature failed.
    #[error("the answer could not be signed")]
    Sign(#[from] SignError),
    /// The nonce stands for another question already.
    #[error("the nonce was used for another question")]
    NonceReused,
    /// The question was not put to anybody.
    #[error(transparent)]
    Limited(#[from] Limit),
    /// There is no such question.
    #[error("there is no such question")]
    NotFound,
    /// This server's clock is too far off the store's to decide anything by. Another server over the same store may answer.
    #[error("{0}")]
    ClockOff(ClockOff),
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

impl EngineError {
    /// What the caller may do.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Policy(error) => error.retry(),
            Self::Sign(_) | Self::Limited(_) | Self::ClockOff(_) | Self::ShuttingDown => Retry::Later,
            Self::NonceReused | Self::NotFound => Retry::Never,
        }
    }
}

impl Engine {
    /// Starts composing an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Waits until the question is settled, `until` is reached, or the engine drains; the latter two answer
    /// [`Verdict::Pending`].
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if there is no such question; others if it cannot be told.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn wait(&self, id: ChallengeId, until: Timestamp) -> Result<Verdict, EngineError> {
        let record = self.wait_for_record(id, until).await?;
        self.verdict(&record).await
    }

    /// Waits as [`Engine::wait`] does, and gives the record instead: for whoever tells it in words of their own.
    ///
    /// # Errors
    /// As [`Engine::wait`].
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn wait_for_record(
        &self,
        id: ChallengeId,
        until: Timestamp,
    ) -> Result<Arc<ChallengeRecord>, EngineError> {
        let Some(mut updates) = self.watch(id).await? else {
            return Err(EngineError::NotFound);
        };
        let record = tokio::select! {
            biased;
            settled = updates.wait_for(|record| !record.is_pending()) => match settled {
                Ok(record) => Some(Arc::clone(&record)),
                Err(_) => return Err(EngineError::NotFound), // it was removed from the store
            },
            () = self.0.clock.sleep_until(until) => None,
            () = self.0.tasks.draining() => None,
        };
        let mut record = match record {
            Some(settled) => settled,
            // "Not yet" is said of what the store holds, not of what another server's word has not reached us of.
            None => self.newest(live::current(&updates)).await?.ok_or(EngineError::NotFound)?,
        };
        let now = self.0.clock.now();
        if plan::is_over(&record, now) {
            // The waiter's time ended together with the question's: the answer is its end, not "not yet".
            sweep::end(self, record, now).await;
            record = Arc::clone(&updates.borrow());
        }
        Ok(record)
    }

    /// Follows one question: the current record, and each later one.
    async fn watch(&self, id: ChallengeId) -> Result<Option<watch::Receiver<Arc<ChallengeRecord>>>, EngineError> {
        if let Some(updates) = self.0.live.subscribe(id) {
            return Ok(Some(updates));
        }
        Ok(self.0.store.challenge(id).await?.map(|record| self.0.live.recall(record)))
    }

    /// One question, from memory while it is live.
    ///
    /// # Errors
    /// [`EngineError::Store`] if it cannot be told whether it exists.
    pub async fn record(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, EngineError> {
        match self.0.live.get(id) {
            Some(record) => Ok(Some(record)),
            None => Ok(self.0.store.challenge(id).await?),
        }
    }

    /// The question with this id, if the person may see it.
    ///
    /// # Errors
    /// [`EngineError::Store`] if it cannot be told whether it exists.
    pub async fn question(&self, id: ChallengeId, viewer: &Actor) -> Result<Option<Arc<ChallengeRecord>>, EngineError> {
        Ok(self.record(id).await?.filter(|record| self.may_see(record, viewer)))
    }

    /// The question with this code, if the person may see it.
    ///
    /// # Errors
    /// [`EngineError::Store`] if it cannot be told whether it exists.
    pub async fn question_by_code(
        &self,
        code: &UserCode,
        viewer: &Actor,
    ) -> Result<Option<Arc<ChallengeRecord>>, EngineError> {
        let record = match self.0.live.by_code(code) {
            Some(record) => Some(record),
            None => self.0.store.challenge_by_code(code).await?,
        };
        Ok(record.filter(|record| self.may_see(record, viewer)))
    }

    /// The waiting questions that the person asked or may vote on, oldest first.
    pub fn visible(&self, viewer: &Actor) -> Vec<Arc<ChallengeRecord>> {
        let mut records = self.0.live.pending();
        records.retain(|record| self.may_see(record, viewer));
        records.sort_by_key(|record| (record.question().created_at, record.question().id));
        records
    }

    /// The newest settled questions that the person asked; an administrator sees everybody's.
    ///
    /// # Errors
    /// [`EngineError::Store`] if they cannot be read.
    pub async fn recent(&self, viewer: &Actor, limit: u32) -> Result<Vec<Arc<ChallengeRecord>>, EngineError> {
        let requester = if self.is_admin(viewer) { None } else { Some(viewer.name().clone()) };
        let filter = ChallengeFilter { pending: Some(false), requester };
        Ok(self.0.store.challenges(&filter, Page::first(limit)).await?.items)
    }

    /// Whether the person is in an administrators' group, by facts that may be believed now.
    pub fn is_admin(&self, person: &Actor) -> bool {
        let now = self.0.clock.now();
        self.0.directory.snapshot().is_member(person.name(), &self.0.settings.admin_groups, now)
    }

    /// Whether the person would be an administrator if the directory's facts about them were not too old to be believed: to
    /// such a person questions are missing that a new sign-in brings back.
    pub fn is_aged_out_admin(&self, person: &Actor) -> bool {
        let now = self.0.clock.now();
        self.0.directory.snapshot().person(person.name()).is_some_and(|known| {
            let admin = known.groups.iter().any(|group| self.0.settings.admin_groups.contains(group));
            admin && !known.disabled && now >= known.groups_until
        })
    }

    fn may_see(&self, record: &ChallengeRecord, viewer: &Actor) -> bool {
        record.question().requester == *viewer.name() || self.is_admin(viewer)
    }

    /// A number that rises whenever any question changes: for lists that follow.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.live.changes()
    }

    /// Every state that a question takes from now on, in the order in which it became known here: opened, voted on, settled.
    /// A follower who is too slow is told how much was missed.
    pub fn follow(&self) -> broadcast::Receiver<Arc<ChallengeRecord>> {
        self.0.live.follow()
    }

    /// Tells of each new state of the directory: who may see what may have changed.
    pub fn directory_changes(&self) -> watch::Receiver<crate::policy::Revision> {
        self.0.directory.changes()
    }

    /// Whether the directory has shut the person out.
    pub fn is_disabled(&self, person: &Actor) -> bool {
        self.0.directory.snapshot().is_disabled(person.name())
    }

    /// How much waits now, counted where it waits: for metrics. Looks at each live question.
    pub fn load(&self) -> Load {
        self.0.live.load()
    }

    /// Where everything is kept.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// The time the engine goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The randomness the engine uses.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.0.entropy
    }

    /// Which of several servers over one store this is, for leases.
    pub fn replica(&self) -> &ReplicaId {
        &self.0.replica
    }

    /// The public half of the decision key.
    pub fn decision_key(&self) -> crate::grant::PublicKey {
        self.0.signer.public_key()
    }

    /// A new identity for an event.
    pub fn event_id(&self) -> EventId {
        EventId::from_bytes(crate::rng::bytes(&self.0.entropy))
    }

    /// Runs work to its end even when whoever started it goes away; the stop waits for it.
    #[cfg(feature = "tower")]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Answers everybody who waits with [`Verdict::Pending`], now and from now on: the first half of a graceful stop.
    pub fn drain(&self) {
        self.0.tasks.drain();
    }

    /// Completes when [`Engine::drain`] was called: for whoever holds requests open beside the engine.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.tasks.draining()
    }

    /// Stops the background tasks and waits for commits under way. Questions stay as they are in the store.
    pub async fn shutdown(&self) {
        self.0.tasks.shutdown().await;
    }
}
