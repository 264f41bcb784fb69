//! Telling people that a question waits, how it goes on, and how it ended.
//!
//! # Who calls whom, and when
//!
//! The engine follows its own commits. When a question was opened that waits, each channel that a [`Route`] names gets a
//! [`Notice`] of [`Stage::Opened`]; after an approval that was not enough, [`Stage::Updated`]; when the question ended,
//! [`Stage::Settled`]. A question that a rule settles at once is nobody's business and makes no notice. Notices never delay a
//! question or a vote: they are delivered beside them, and what happens to them changes no answer.
//!
//! | Promise of the engine | Meaning for a [`Notifier`] |
//! |---|---|
//! | in order | one notice of a question at a time on one channel; the next one only after the outcome of the last |
//! | the newest counts | what changed twice meanwhile is told once |
//! | `prior` | what the last delivery of this question on this channel returned |
//! | at least once | a crash between a delivery and its record repeats it: the same [`Notice::id`] and [`Notice::revision`] |
//! | settled follows opened | who was never told of a question is not told of its end |
//! | bounded | at most 8 deliveries at once per channel, each has 30 s |
//! | no secret | a notice has neither the code of the question nor the number that an approver must type |
//!
//! What was delivered is kept in the store, so that after a restart only what is missing is delivered.
//!
//! # Set-up
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! # use identree_core::notify::{ChannelName, DeliveryRef, Notice, Notifier, NotifyError, Route};
//! # struct Pager(ChannelName);
//! # #[async_trait::async_trait]
//! # impl Notifier for Pager {
//! #     fn name(&self) -> &ChannelName { &self.0 }
//! #     async fn deliver(&self, _: &Notice, _: Option<&DeliveryRef>) -> Result<Option<DeliveryRef>, NotifyError> { Ok(None) }
//! # }
//! # let pager = Pager(ChannelName::parse("pager")?);
//! use identree_core::Engine;
//!
//! let engine = Engine::builder()
//!     .notifier(pager) // repeats
//!     .page_url(|id| format!("https://approve.example.org/questions/{id}"))
//!     // Without routes everybody who may decide is told, on every channel.
//!     .routes(|notice: &Notice| match notice.kind.as_str() {
//!         "deploy" => vec![Route { channel: ChannelName::parse("pager").expect("a literal"), recipients: notice.recipients.clone() }],
//!         _ => vec![],
//!     })
//!     .build()
//!     .await?;
//! # Ok(()) }) }
//! ```
//!
//! The examples of the repository have a complete program (`custom-notifier`). A [`Notifier`] is one when it passes
//! `testkit::suite::notifier` (feature `testkit`).

mod delivery;
pub(crate) mod dispatch;
mod notice;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::notice::{Notice, Stage};
pub use crate::id::ChannelName;
use crate::id::UserName;
use crate::retry::Retry;

/// What a delivery left at the channel: the number of a message to update, a mail to thread to. Opaque to the engine, kept
/// in the store until the question is over; at most a few hundred bytes, and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRef(pub String);

/// The channel did not take the notice. The text goes into the journal and never holds a credential.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the notice was not delivered: {text}")]
pub struct NotifyError {
    /// What went wrong.
    pub text: String,
    /// Whether trying again can help.
    pub retry: Retry,
}

impl NotifyError {
    /// The channel may take the notice later: it is down, busy, or did not answer.
    pub fn later(text: impl Into<String>) -> Self {
        Self { text: text.into(), retry: Retry::Later }
    }

    /// The channel will never take this notice: its credential is refused, the room is gone.
    pub fn never(text: impl Into<String>) -> Self {
        Self { text: text.into(), retry: Retry::Never }
    }
}

/// A way to tell people: a chat room, a mail relay, a pager, a file.
///
/// # What it must guarantee
///
/// - [`name`](Self::name) never changes: the state of deliveries is kept under it.
/// - [`deliver`](Self::deliver) returns `Ok` only when the notice has arrived as far as the channel can tell.
/// - With a `prior` the earlier message is put right (edited, answered, threaded). Where that is not possible, a new message
///   is fine; a `prior` that the channel does not know any more is no error.
/// - The same notice twice ends in the same place as once, or in a second message: never in an error.
/// - Texts of a notice come from outside. Escape them for where they go; [`crate::text::visible`] and the `Display` of
///   [`Notice`] make hidden characters visible and leave no line break.
/// - Deliveries of different questions run at the same time.
/// - Dropping the future leaves the notifier usable: that is how a deadline ends a call.
///
/// # Errors and retry
///
/// [`Retry::Later`] is tried again after 1 s, then twice as long each time up to 30 s, with what is the newest state by then,
/// until the question ends (the notice of its end: for ten minutes more). [`Retry::Never`] is not tried again until the
/// question changes. The journal gets `notice_delivered` or `notice_failed` with the channel and the text of the error. A
/// panic counts as `Never`, no answer within 30 s as `Later`.
///
/// # A toy
///
/// ```
/// use std::sync::Mutex;
///
/// use async_trait::async_trait;
/// use identree_core::notify::{ChannelName, DeliveryRef, Notice, Notifier, NotifyError, Stage};
///
/// /// A board on which each question has one line that is rewritten.
/// struct Board {
///     name: ChannelName,
///     lines: Mutex<Vec<String>>,
/// }
///
/// #[async_trait]
/// impl Notifier for Board {
///     fn name(&self) -> &ChannelName {
///         &self.name
///     }
///
///     async fn deliver(&self, notice: &Notice, prior: Option<&DeliveryRef>) -> Result<Option<DeliveryRef>, NotifyError> {
///         let mut lines = self.lines.lock().map_err(|_| NotifyError::later("the board is broken"))?;
///         // `to_string` is one line of English; `stage`, `summary` and the rest are there to write your own.
///         let text = match (&notice.stage, &notice.url) {
///             (Stage::Settled { .. }, _) | (_, None) => notice.to_string(),
///             (_, Some(url)) => format!("{notice} {url}"),
///         };
///         // `prior` is what we returned last time; a line we do not know any more is written anew.
///         let known = prior.and_then(|prior| prior.0.parse::<usize>().ok()).filter(|line| *line < lines.len());
///         let line = match known {
///             Some(line) => { lines[line] = text; line }
///             None => { lines.push(text); lines.len() - 1 }
///         };
///         Ok(Some(DeliveryRef(line.to_string())))
///     }
/// }
/// ```
///
/// It goes into the engine with [`EngineBuilder::notifier`](crate::engine::EngineBuilder::notifier). Whom a channel reaches under which address is the
/// channel's own to know: a notice names people as [`UserName`]s.
///
/// # Does it keep its promises?
///
/// [`notifier_suite!`](crate::notifier_suite) stamps one test per promise. It needs `identree-core` with the feature `testkit` and `tokio` with `macros` and
/// `rt` among the `dev-dependencies`, and a closure that reads what has arrived:
///
/// ```
/// # use identree_core::notify::{ChannelName, DeliveryRef, Notice, Notifier, NotifyError};
/// # use std::sync::{Arc, Mutex};
/// # struct Board { name: ChannelName, lines: Arc<Mutex<Vec<String>>> }
/// # #[async_trait::async_trait]
/// # impl Notifier for Board {
/// #     fn name(&self) -> &ChannelName { &self.name }
/// #     async fn deliver(&self, _: &Notice, _: Option<&DeliveryRef>) -> Result<Option<DeliveryRef>, NotifyError> { Ok(None) }
/// # }
/// # #[cfg(feature = "testkit")]
/// # mod tests {
/// # use super::*;
/// async fn board() -> (Board, impl Fn() -> String) {
///     let lines = Arc::new(Mutex::new(Vec::new()));
///     let board = Board { name: ChannelName::parse("board").expect("a literal"), lines: Arc::clone(&lines) };
///     (board, move || lines.lock().expect("no panic").join("\n"))
/// }
/// identree_core::notifier_suite!(board_suite, board());
/// # }
/// # fn main() {}
/// ```
#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// The name of the channel.
    fn name(&self) -> &ChannelName;

    /// Delivers one notice. `prior` is what the last delivery about the same question returned; `Ok(None)` keeps it.
    ///
    /// # Errors
    /// [`NotifyError`] with what the engine shall do.
    ///
    /// # Cancel safety
    /// The engine drops the future at its deadline and tries again later.
    async fn deliver(&self, notice: &Notice, prior: Option<&DeliveryRef>) -> Result<Option<DeliveryRef>, NotifyError>;
}

#[async_trait]
impl<N: Notifier + ?Sized> Notifier for Arc<N> {
    fn name(&self) -> &ChannelName {
        (**self).name()
    }
    async fn deliver(&self, notice: &Notice, prior: Option<&DeliveryRef>) -> Result<Option<DeliveryRef>, NotifyError> {
        (**self).deliver(notice, prior).await
    }
}

/// One channel, and whom to tell there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The channel; one that no notifier has is left out.
    pub channel: ChannelName,
    /// Whom to tell. Empty is fine for a channel that is a place, not people.
    pub recipients: Vec<UserName>,
}

/// Decides where a notice goes. Any `Fn(&Notice) -> Vec<Route>` is one.
///
/// The engine asks before each delivery, from within its own tasks: answer from memory, and from the notice alone. Its
/// `recipients` are all who may decide. A question that no route names for a channel is asked about again when it changes;
/// once a channel was told, it is told the rest, if need be with no recipients.
///
/// ```
/// use identree_core::id::UserName;
/// use identree_core::notify::{ChannelName, Notice, Route, Routes};
///
/// /// Production goes to the room of those on call, everything else to nobody.
/// struct OnCall(ChannelName);
///
/// impl Routes for OnCall {
///     fn routes(&self, notice: &Notice) -> Vec<Route> {
///         if !notice.target.name().ends_with("/production") {
///             return vec![];
///         }
///         vec![Route { channel: self.0.clone(), recipients: notice.recipients.clone() }]
///     }
/// }
/// ```
pub trait Routes: Send + Sync + 'static {
    /// The routes of this notice; of two for one channel the recipients are joined.
    fn routes(&self, notice: &Notice) -> Vec<Route>;
}

impl<F: Fn(&Notice) -> Vec<Route> + Send + Sync + 'static> Routes for F {
    fn routes(&self, notice: &Notice) -> Vec<Route> {
        self(notice)
    }
}

impl Routes for Arc<dyn Routes> {
    fn routes(&self, notice: &Notice) -> Vec<Route> {
        (**self).routes(notice)
    }
}

/// The default: everybody who may decide, on each of these channels.
#[derive(Debug, Clone)]
pub struct ToDeciders(pub Vec<ChannelName>);

impl Routes for ToDeciders {
    fn routes(&self, notice: &Notice) -> Vec<Route> {
        let to = |channel: &ChannelName| Route { channel: channel.clone(), recipients: notice.recipients.clone() };
        self.0.iter().map(to).collect()
    }
}
