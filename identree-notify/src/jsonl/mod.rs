//! JSON lines to standard output or to a file.

mod file;
mod recent;
mod tail;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use identree_core::audit::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
use identree_core::id::EventId;
use tokio::sync::Semaphore;

use self::file::LogFile;
use self::recent::Recent;
use crate::line;

/// When a file is rotated, and whether it is forced to the disk.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// Which file. It is made if it is missing, mode 0640; its directory must be there.
    pub path: PathBuf,
    /// The size in bytes beyond which it becomes `path.1`; `None` for never.
    pub max_size: Option<u64>,
    /// How many rotated files are kept, `path.1` the newest; at least 1.
    pub max_files: u32,
    /// When a batch of events is safe.
    pub fsync: Fsync,
}

/// When what was written is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Once for each batch, before it counts as safe.
    Batch,
    /// Never: the system writes when it likes, and what it had not is lost with the power.
    Never,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("audit log {path}: {source}; name a file in a directory that this user may write, set by IDENTREE_AUDIT_LOG", path = .path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes each event as one line (see [`line`](mod@crate::line)).
///
/// To a file: at most one process writes it. A line that a crash left unfinished is cut off when the file is opened, and events that
/// stand at its end are not written again; a file that was moved away is made anew. With [`Fsync::Batch`] what is confirmed survives a
/// power cut; on a full disk the last whole line stays the end, and the events come again.
///
/// To a stream: what is confirmed was taken by whoever reads it, into memory at least.
pub struct JsonLines {
    name: SinkName,
    /// One at a time, also when a caller went away while the disk did not answer.
    turn: Arc<Semaphore>,
    out: Arc<Mutex<Out>>,
}

enum Out {
    File(LogFile),
    Stream { stream: Box<dyn Write + Send>, recent: Recent, torn: bool },
}

/// Lines to be written, and whose they are.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: Vec<Mark>,
}

/// One line of a batch.
#[derive(Clone, Copy)]
struct Mark {
    seq: u64,
    id: EventId,
    /// Where it ends in the bytes, the line's end included.
    end: usize,
}

impl Batch {
    fn of(events: &[SealedEvent]) -> Self {
        let mut batch = Self { bytes: Vec::with_capacity(events.len() * 640), lines: Vec::with_capacity(events.len()) };
        for event in events {
            line::write(event, &mut batch.bytes);
            batch.bytes.push(b'\n');
            batch.lines.push(Mark { seq: event.seq.0, id: event.event.id, end: batch.bytes.len() });
        }
        batch
    }

    /// The lines that are not there yet, each with its bytes.
    fn fresh(&self, recent: &Recent) -> Vec<(Mark, &[u8])> {
        let starts = std::iter::once(0).chain(self.lines.iter().map(|mark| mark.end));
        let lines = self.lines.iter().zip(starts).map(|(mark, start)| (*mark, &self.bytes[start..mark.end]));
        lines.filter(|(mark, _)| !recent.has(mark.seq, mark.id)).collect()
    }
}

impl JsonLines {
    /// To the process's standard output.
    pub fn stdout() -> Self {
        Self::stream(io::stdout())
    }

    /// To a stream, which is flushed after each batch.
    pub fn stream(stream: impl Write + Send + 'static) -> Self {
        Self::new(Out::Stream { stream: Box::new(stream), recent: Recent::default(), torn: false })
    }

    /// To a file, which is opened at once.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be opened, is no regular file, or is a symbolic link.
    pub fn file(settings: FileSettings) -> Result<Self, FileError> {
        let path = settings.path.clone();
        Ok(Self::new(Out::File(LogFile::open(settings).map_err(|source| FileError { path, source })?)))
    }

    fn new(out: Out) -> Self {
        Self { name: SinkName("jsonlog".into()), turn: Arc::new(Semaphore::new(1)), out: Arc::new(Mutex::new(out)) }
    }
}

impl std::fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines").finish_non_exhaustive()
    }
}

#[async_trait]
impl AuditSink for JsonLines {
    fn name(&self) -> &SinkName {
        &self.name
    }

    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        let safe = events.last().map_or(EventSeq(0), |event| event.seq);
        let batch = Batch::of(events);
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let out = Arc::clone(&self.out);
        // The turn goes along: if the caller gives up, the next one waits until the disk has answered this one.
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            out.lock().unwrap_or_else(PoisonError::into_inner).write(&batch)
        });
        match written.await {
            Ok(Ok(())) => Ok(safe),
            Ok(Err(text)) => Err(SinkError::later(text)),
            Err(_) => Err(SinkError::later("the writing task ended")),
        }
    }
}

impl Out {
    fn write(&mut self, batch: &Batch) -> Result<(), String> {
        match self {
            Self::File(file) => file.write(batch),
            Self::Stream { stream, recent, torn } => {
                let mut bytes = if *torn { vec![b'\n'] } else { Vec::new() };
                let fresh = batch.fresh(recent);
                fresh.iter().for_each(|(_, line)| bytes.extend_from_slice(line));
                *torn = true;
                stream.write_all(&bytes).and_then(|()| stream.flush()).map_err(|error| error.to_string())?;
                *torn = false;
                fresh.iter().for_each(|(mark, _)| recent.note(mark.seq, mark.id));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
