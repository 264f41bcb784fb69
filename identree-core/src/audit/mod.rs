//! What happened, kept with the change it describes, and sealed into a log that outsiders can verify.

mod checkpoint;
mod entry;
mod event;
mod kind;
pub mod proof;
mod sink;
pub mod tree;

pub use self::checkpoint::{Checkpoint, CheckpointError, LogKey, Origin};
pub use self::entry::{Entry, EntryError, PERSONAL_DETAILS, leaf_hash};
pub use self::event::AuditEvent;
pub use self::kind::{DETAILS, EventKind, Tells};
pub use self::sink::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
