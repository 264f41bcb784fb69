//! What happened, kept with the change it describes, and sealed into a log that outsiders can verify.

mod checkpoint;
pub mod copy;
mod entry;
pub mod erase;
mod event;
mod kind;
pub mod proof;
pub mod search;
mod sink;
mod statement;
pub mod tree;
pub mod verify;

pub use self::checkpoint::{Checkpoint, CheckpointError, LogKey, Origin};
pub use self::entry::{Entry, EntryError, PERSONAL_DETAILS, leaf_hash};
pub use self::event::AuditEvent;
pub use self::kind::{DETAILS, EventKind, Tells};
pub use self::sink::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
pub use self::statement::{Proven, Statement, StatementError};
