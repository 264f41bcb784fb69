//! Telling people that a question waits: the contract. Routing and delivery arrive with the channels.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::challenge::ChallengeRecord;
use crate::id::UserName;
use crate::retry::Retry;

/// The name of a channel, as in the seeds' `notification-channels.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChannelName(pub Box<str>);

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is told.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The question as it stands.
    pub record: Arc<ChallengeRecord>,
    /// Where to decide it.
    pub url: String,
    /// Whom to tell.
    pub recipients: Vec<UserName>,
}

/// What an earlier notice of the same question left at the channel: a message to update, a mail to thread to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRef(pub String);

/// The channel did not take the notice. The text never holds a credential.
#[derive(Debug, thiserror::Error)]
#[error("the notice was not delivered: {text}")]
pub struct NotifyError {
    /// What went wrong.
    pub text: String,
    /// Whether trying again can help.
    pub retry: Retry,
}

/// A way to tell people.
#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &ChannelName;

    /// Delivers one notice; `prior` is what an earlier one about the same question returned.
    ///
    /// # Errors
    /// [`NotifyError`] with what the caller may do.
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
