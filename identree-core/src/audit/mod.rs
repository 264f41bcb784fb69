//! What happened, kept with the change it describes.

mod event;
mod sink;

pub use self::event::{AuditEvent, EventKind};
pub use self::sink::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
