//! How a question reaches the server.

mod connection;
mod direct;
pub(crate) mod http1;
mod resolve;
mod stream;
mod watch;

use std::time::Duration;

use identree_core::id::ChallengeId;
use identree_core::wire::login::Opening;
use identree_core::wire::v1::{CHALLENGES, Reply};

pub(crate) use self::connection::{Asking, Connection, Peer, read};
pub use self::direct::Direct;
pub use self::resolve::{RESOLVE, resolve_here};
pub use self::watch::Watch;
pub(crate) use self::watch::open_terminal;
use crate::verdict::Interruption;

/// One request of the host API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Opens the question, or finds it again.
    Open(Box<Opening>),
    /// Waits for its end, at most that many seconds.
    Wait(ChallengeId, u32),
    /// Takes it back.
    Cancel(ChallengeId),
}

impl Call {
    /// Method and path with query.
    pub fn line(&self) -> (&'static str, String) {
        match self {
            Self::Open(_) => ("POST", CHALLENGES.to_owned()),
            Self::Wait(id, seconds) => ("GET", format!("{CHALLENGES}/{id}?wait={seconds}")),
            Self::Cancel(id) => ("DELETE", format!("{CHALLENGES}/{id}")),
        }
    }
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection, or it broke, or it took too long.
    #[error("{0}")]
    Unreachable(String),
    /// Something answered that is not the server's API.
    #[error("what answers there is not an identree server: {0}")]
    Foreign(String),
    /// The connection cannot be trusted or not be made as configured.
    #[error("{0}")]
    Untrusted(String),
    /// The server answered with an error.
    #[error("{title}{}", .detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default())]
    Problem {
        /// The HTTP status.
        status: u16,
        /// Which problem, by its stable name; empty where what answers is not the host API.
        kind: String,
        /// What happened.
        title: String,
        /// What to do about it.
        detail: Option<String>,
        /// Seconds after which it may go better.
        retry_after: Option<u32>,
    },
    /// The one who asked is gone.
    #[error("interrupted")]
    Interrupted(Interruption),
}

/// Speaks to the server, one call at a time, blocking.
pub trait Transport {
    /// Sends one call and returns the reply, within the time.
    ///
    /// # Errors
    /// [`TransportError`]; none of them says anything about the question.
    fn call(&mut self, call: &Call, within: Duration) -> Result<Reply, TransportError>;

    /// Waits, unless the one who asked goes away.
    ///
    /// # Errors
    /// [`TransportError::Interrupted`].
    fn pause(&mut self, time: Duration) -> Result<(), TransportError>;
}
