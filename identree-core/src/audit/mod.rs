//! What happened, kept with the change it describes, and sealed into a log that outsiders can verify.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! # use identree_core::challenge::FreeChallenge;
//! # use identree_core::id::{ChallengeKind, Target, TargetName, UserName};
//! # use identree_core::policy::RuleSet;
//! # use identree_core::{Ask, Engine};
//! use std::sync::Arc;
//!
//! use identree_core::audit::{Checkpoint, EventSeq, LogSettings, Origin};
//! use identree_core::grant::LocalSigner;
//! use identree_core::rng::OsEntropy;
//!
//! // The key is kept: with its public half anybody checks the log, for as long as it is there.
//! let signer = Arc::new(LocalSigner::generate(&OsEntropy));
//! let origin = Origin::parse("shop.example/log").ok_or("a name without spaces")?;
//! let engine = Engine::builder()
//!     .policy(RuleSet::permissive())
//!     .log(LogSettings { signer, origin })
//!     // .audit(sink), once for each destination
//!     .build()
//!     .await?;
//!
//! # let target = Target::Named(TargetName::parse("shop/production")?);
//! # let question = FreeChallenge::new(ChallengeKind::parse("deploy")?, UserName::parse("ann")?, target, "deploy shop 4.2");
//! engine.open(Ask::new(&question)).await?;
//! engine.shutdown().await; // seals what is left
//!
//! let log = engine.log().ok_or("it was built with one")?;
//! let events = log.events(EventSeq(0)).await?;
//! assert_eq!(events[0].event.kind.as_str(), "challenge_created");
//! let signed = log.last_checkpoint().await?.ok_or("there is one for each event")?;
//! let checkpoint = Checkpoint::open(&signed.note, log.key())?;
//! assert_eq!((checkpoint.size, checkpoint.root), (1, log.head().await?.root));
//! # Ok(()) }) }
//! ```

mod checkpoint;
pub mod copy;
mod entry;
pub mod erase;
mod event;
#[cfg(test)]
mod interrupted;
mod kind;
mod log;
pub mod proof;
pub(crate) mod pump;
pub mod retention;
pub(crate) mod seal;
pub mod search;
mod sink;
mod statement;
mod stop;
pub mod tree;
pub mod verify;

pub use self::checkpoint::{Checkpoint, CheckpointError, LogKey, Origin};
pub use self::entry::{Entry, EntryError, PERSONAL_DETAILS, leaf_hash};
pub use self::event::AuditEvent;
pub use self::kind::{DETAILS, EventKind, Tells};
pub use self::log::{AuditLog, LogError, LogStanding};
pub use self::pump::SinkStanding;
pub use self::seal::LogSettings;
pub use self::sink::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
pub use self::statement::{Proven, Statement, StatementError};
