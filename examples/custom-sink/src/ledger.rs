//! A sink of one's own: a ledger in tab-separated columns, which a spreadsheet, `awk` or `cut` reads.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use identree_core::audit::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
use identree_core::text::visible;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;

/// Appends to one file.
#[derive(Debug)]
pub(crate) struct Ledger {
    name: SinkName,
    path: PathBuf,
    /// The last event of the file, once it was looked up: what comes again after a crash is not written twice.
    last: Mutex<Option<Last>>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    seq: Option<EventSeq>,
    /// Where its line ends.
    end: u64,
}

impl Ledger {
    /// A ledger in this file. The engine keeps its place in the log under the name: it must be the same in each start. Another log
    /// wants another file: events are told apart by their place alone.
    pub(crate) fn new(name: &str, path: &Path) -> Self {
        Self { name: SinkName(name.into()), path: path.to_owned(), last: Mutex::new(None) }
    }

    async fn append(&self, events: &[SealedEvent]) -> std::io::Result<()> {
        let mut last = self.last.lock().await;
        // Taken out: if this future is dropped in the middle, the next call looks the file up anew.
        let known = last.take();
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&self.path).await?;
        let known = match known {
            Some(known) => known,
            None => look_up(&mut file).await?,
        };
        // A line that was not finished was not confirmed either.
        file.set_len(known.end).await?;
        let fresh = events.iter().filter(|event| known.seq.is_none_or(|seq| seq < event.seq));
        let lines: String = fresh.map(line).collect();
        file.write_all(lines.as_bytes()).await?;
        // `Ok` means that a power cut does not take it back.
        file.sync_data().await?;
        let seq = events.last().map(|event| event.seq).max(known.seq);
        *last = Some(Last { seq, end: known.end + lines.len() as u64 });
        Ok(())
    }
}

/// The last whole line.
async fn look_up(file: &mut File) -> std::io::Result<Last> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).await?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[..end]);
    let seq = text.lines().next_back().and_then(|line| line.split('\t').next()?.parse().ok()).map(EventSeq);
    Ok(Last { seq, end: end as u64 })
}

/// Texts of an event come from outside. Hidden characters are made visible, so that no tab and no line's end is one of ours.
fn line(sealed: &SealedEvent) -> String {
    let event = &sealed.event;
    let name = |name: Option<&str>| visible(name.unwrap_or("-")).into_owned();
    let details: Vec<_> = event.details.iter().map(|(name, value)| format!("{name}={}", visible(value))).collect();
    [
        sealed.seq.0.to_string(),
        event.at.to_string(),
        event.kind.as_str().to_owned(),
        name(event.subject.as_ref().map(AsRef::as_ref)),
        name(event.target.as_ref().map(identree_core::id::Target::name)),
        name(event.actor.as_ref().map(AsRef::as_ref)),
        event.id.to_string(),
        details.join(" "),
    ]
    .join("\t")
        + "\n"
}

#[async_trait]
impl AuditSink for Ledger {
    fn name(&self) -> &SinkName {
        &self.name
    }

    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        // A full disk or a missing directory may be mended: the same events come again, and nothing is skipped meanwhile.
        let text = |error: std::io::Error| SinkError::later(format!("{}: {error}", self.path.display()));
        self.append(events).await.map_err(text)?;
        Ok(events.last().map_or(EventSeq(0), |event| event.seq))
    }
}
