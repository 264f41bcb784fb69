//! Where questions, documents and the journal are kept: the contract, and what every store promises.

mod document;
mod forward;
mod lease;
mod log;
mod memory;
mod nudge;
mod shared;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;

pub use self::document::{Collection, Document, DocumentKey};
pub use self::lease::{Fence, LeaseName, Leases, ReplicaId};
pub use self::log::{ALL_CHECKPOINTS, Bundle, Hash, Log, LogHead, ReaderName, Sealing, StoredCheckpoint, TILE, Tile};
pub use self::memory::MemoryStore;
pub use self::nudge::Nudge;
#[cfg(feature = "postgres")]
pub use self::sql::{ConnectError, PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
pub use self::sql::{Copied, CopyError, OpenError, SqliteStore};
use crate::audit::AuditEvent;
use crate::challenge::{ChallengeRecord, UserCode};
use crate::id::{ChallengeId, UserName};
use crate::retry::Retry;
use crate::time::Timestamp;

/// The version of the tables that this program works with: the newest step of the migration, where a database is built in.
pub const SCHEMA: &str = "m0002_log";

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else changed it first, or it exists already. Nothing of the batch was written: read again.
    #[error("somebody else changed it first")]
    Conflict,
    /// The store did not answer, or its disk is full. Nothing of the batch is promised; it may have been written.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read is not what this version writes.
    #[error("the store holds something unreadable in {table}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// What the caller may do.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Conflict | Self::Unavailable(_) => Retry::Later,
            Self::Corrupt { .. } => Retry::Never,
        }
    }
}

/// Changes and the events that describe them: all of it is written, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    changes: Vec<Change>,
    events: Vec<AuditEvent>,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Change {
    /// A question that must not exist yet; else [`StoreError::Conflict`].
    Open(Arc<ChallengeRecord>),
    /// A question's next state: it must stand at the revision just below this one's; else [`StoreError::Conflict`].
    Advance(Arc<ChallengeRecord>),
    /// Removes a question, whatever its state; a missing one is no conflict.
    Forget(ChallengeId),
    /// A document's next state.
    Document {
        /// Which document.
        key: DocumentKey,
        /// The revision it must stand at: `None` if it must not exist; else [`StoreError::Conflict`]. An expired document
        /// exists until it is swept: whatever expires has a random key, which is never written twice.
        expect: Option<u64>,
        /// Its new bytes and end of life, or `None` to remove it.
        put: Option<Put>,
    },
}

/// What a change is about.
#[derive(PartialEq, Eq, Hash)]
enum About<'a> {
    Question(ChallengeId),
    Document(&'a DocumentKey),
}

impl Change {
    fn about(&self) -> About<'_> {
        match self {
            Self::Open(record) | Self::Advance(record) => About::Question(record.question().id),
            Self::Forget(id) => About::Question(*id),
            Self::Document { key, .. } => About::Document(key),
        }
    }
}

/// What a document shall hold.
#[derive(Debug, Clone)]
pub struct Put {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// When it ceases to exist, if ever.
    pub expires_at: Option<Timestamp>,
}

impl Batch {
    /// A change and the event that describes it.
    pub fn of(change: Change, event: AuditEvent) -> Self {
        Self { changes: vec![change], events: vec![event] }
    }

    /// An event without a change: something that happened and left everything as it was.
    pub fn event(event: AuditEvent) -> Self {
        Self { changes: vec![], events: vec![event] }
    }

    /// Changes that are nobody's act: an idle timer, a forgotten sign-in, housekeeping.
    pub const fn unrecorded(changes: Vec<Change>) -> Self {
        Self { changes, events: vec![] }
    }

    /// The same batch with one more change and its event.
    #[must_use]
    pub fn and(mut self, change: Change, event: Option<AuditEvent>) -> Self {
        self.changes.push(change);
        self.events.extend(event);
        self
    }

    /// The same batch with one more event, which has no change of its own.
    #[must_use]
    pub fn also(mut self, event: AuditEvent) -> Self {
        self.events.push(event);
        self
    }

    /// The changes, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The events, in order.
    pub fn events(&self) -> &[AuditEvent] {
        &self.events
    }

    /// Whether two changes are about one thing: what stood after them would be a matter of their order. A store answers such a batch
    /// with [`StoreError::Conflict`].
    pub fn repeats(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.changes.len());
        self.changes.len() > 1 && !self.changes.iter().all(|change| seen.insert(change.about()))
    }
}

/// Which questions to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct ChallengeFilter {
    /// Only those that wait, or only those that are settled.
    pub pending: Option<bool>,
    /// Only those this person asked.
    pub requester: Option<UserName>,
}

/// A page of a listing: at most `limit` entries, after the given position.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// At most this many, 1 to 1,000.
    pub limit: u32,
    /// The `next` of the page before.
    pub after: Option<u64>,
}

impl Page {
    /// The first page.
    pub const fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }
}

/// One page, and where the next begins.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Give this as `after` for more; `None` at the end.
    pub next: Option<u64>,
}

/// Reading questions.
#[async_trait]
pub trait Challenges: Send + Sync {
    /// One question.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be told whether it exists.
    async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError>;

    /// Those of these questions that exist, in no order: one query, however many.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be told whether they exist.
    async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError>;

    /// The newest question with this code.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be told whether it exists.
    async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError>;

    /// Questions, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn challenges(&self, filter: &ChallengeFilter, page: Page)
    -> Result<Paged<Arc<ChallengeRecord>>, StoreError>;
}

/// Small things by key: web sessions, sign-in states, hosts, people.
#[async_trait]
pub trait Documents: Send + Sync {
    /// One document, unless it has expired by `now`.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be told whether it exists.
    async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError>;

    /// The documents of a collection that have not expired by `now`, in a stable order.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError>;
}

/// An event that is not in the log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsealed {
    /// Where it stands in the journal: the store's own number, which says nothing but which.
    pub place: u64,
    /// What happened.
    pub event: AuditEvent,
}

/// The journal: every event, in the order of commit, until the verifiable [`Log`] has sealed it.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Events in the order they were committed, with their place. What an event presupposes stands before it.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError>;

    /// How many events there are. A store that cannot count stops at 10,000.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn unsealed_count(&self) -> Result<u64, StoreError> {
        let (mut count, mut page) = (0, Page::first(1000));
        while count < 10_000 {
            let paged = self.unsealed(page).await?;
            count += paged.items.len() as u64;
            match paged.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        Ok(count)
    }
}

/// Where everything is kept. Reads are narrow traits; there is exactly one write. In the box: [`MemoryStore`] and, with the features
/// `sqlite` and `postgres`, `SqliteStore` and `PostgresStore`.
///
/// The engine reads what waits once, at the start, and whatever is not in memory when somebody names it. It writes one [`Batch`] per
/// decision, and calls [`sweep`](Self::sweep) every minute. Embedders keep their own small things as [`Documents`] in the same store.
///
/// # What it must guarantee
///
/// - A batch is written as a whole or not at all, and is safe when `commit` returns: no power cut takes it back.
/// - A batch names each question and each document at most once; one that does not is a conflict ([`Batch::repeats`]).
/// - Expected revisions are judged by what stood before the batch. Of two commits that expect the same, one wins and the other
///   gets [`StoreError::Conflict`]. This is what makes *decided once* true: it may not be weakened.
/// - Events are kept in the order of commit, as they are given: a store compares no ids. An id is 128 random bits, drawn for each event;
///   that none stands twice is up to who commits. A batch that may be offered again, since no answer came, bears a change that can be
///   made only once (a revision, or a new document under a random key): the second time is a conflict, and its events stand once. An
///   event without such a change is offered once. Two entries of one id would be called broken by [`audit::verify`](crate::audit::verify).
/// - What reads back is what was written, byte for byte.
///
/// # Errors and retry
///
/// After [`StoreError::Conflict`] the engine reads again and plans anew. After [`StoreError::Unavailable`] it does not know whether
/// the batch was written; the caller is told an error, and the same call again finds out, since revisions and nonces make each
/// write happen once. [`StoreError::Corrupt`] is never tried again.
///
/// # A toy
///
/// A store from nothing is a long page ([`MemoryStore`] is the shortest); one that adds something to another is short:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use async_trait::async_trait;
/// use identree_core::challenge::{ChallengeRecord, UserCode};
/// use identree_core::id::ChallengeId;
/// use identree_core::store::*;
/// use identree_core::time::Timestamp;
///
/// /// Counts what is written to the store behind it.
/// struct Counted<S> { store: S, commits: AtomicU64 }
///
/// #[async_trait]
/// impl<S: Store> Store for Counted<S> {
///     async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
///         self.store.commit(batch).await?;
///         self.commits.fetch_add(1, Ordering::Relaxed);
///         Ok(())
///     }
///     async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError> {
///         self.store.sweep(now, settled_before, limit).await
///     }
///     async fn probe(&self) -> Result<(), StoreError> {
///         self.store.probe().await
///     }
///     fn nudges(&self) -> Option<tokio::sync::broadcast::Receiver<Nudge>> {
///         self.store.nudges()
///     }
/// }
///
/// #[async_trait]
/// impl<S: Store> Challenges for Counted<S> {
///     async fn challenge(&self, id: ChallengeId) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
///         self.store.challenge(id).await
///     }
///     async fn challenges_by_id(&self, ids: &[ChallengeId]) -> Result<Vec<Arc<ChallengeRecord>>, StoreError> {
///         self.store.challenges_by_id(ids).await
///     }
///     async fn challenge_by_code(&self, code: &UserCode) -> Result<Option<Arc<ChallengeRecord>>, StoreError> {
///         self.store.challenge_by_code(code).await
///     }
///     async fn challenges(&self, filter: &ChallengeFilter, page: Page) -> Result<Paged<Arc<ChallengeRecord>>, StoreError> {
///         self.store.challenges(filter, page).await
///     }
/// }
///
/// #[async_trait]
/// impl<S: Store> Documents for Counted<S> {
///     async fn document(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Document>, StoreError> {
///         self.store.document(key, now).await
///     }
///     async fn documents(&self, of: Collection, now: Timestamp, page: Page) -> Result<Paged<Document>, StoreError> {
///         self.store.documents(of, now, page).await
///     }
/// }
///
/// #[async_trait]
/// impl<S: Store> Journal for Counted<S> {
///     async fn unsealed(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
///         self.store.unsealed(page).await
///     }
/// }
///
/// // What is sealed, and the leases, go through as they are.
/// identree_core::forward_log!([S: Store] Counted<S> => store);
/// ```
///
/// A store is one when it passes [`store_suite!`](crate::store_suite) (feature `testkit`): some forty clauses, stamped as tests.
///
/// # Cancel safety
/// A dropped `commit` may or may not have been written; the caller's revision tells at the next try.
#[async_trait]
pub trait Store: Challenges + Documents + Journal + Log + Leases + 'static {
    /// Applies every change and appends every event, durably, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if an expected revision is not there; the others if it cannot be told.
    async fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Removes what is over: documents that expired before `now`, questions settled before `settled_before`. At most
    /// `limit` of each; returns how many went.
    ///
    /// # Errors
    /// [`StoreError`] if it did not work; then nothing is lost.
    async fn sweep(&self, now: Timestamp, settled_before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Whether the store answers and takes writes.
    ///
    /// # Errors
    /// [`StoreError`] says why not.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Tells of what other servers over the same store commit, after it is durable; none for a store that one process has to
    /// itself. A receiver that lags ([`RecvError::Lagged`](broadcast::error::RecvError::Lagged)) treats it as [`Nudge::Missed`].
    fn nudges(&self) -> Option<broadcast::Receiver<Nudge>> {
        None
    }
}
