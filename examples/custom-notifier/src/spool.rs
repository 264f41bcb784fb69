//! A notifier of one's own: it appends each notice as one JSON line to a file, which a script, a pager or `tail -f` reads.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use identree_core::id::UserName;
use identree_core::notify::{ChannelName, DeliveryRef, Notice, Notifier, NotifyError, Stage};
use serde_json::json;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;

/// Appends to one file.
#[derive(Debug)]
pub(crate) struct Spool {
    name: ChannelName,
    path: PathBuf,
}

impl Spool {
    /// A channel of this name that appends to this file.
    pub(crate) fn new(name: ChannelName, path: &Path) -> Self {
        Self { name, path: path.to_owned() }
    }
}

#[async_trait]
impl Notifier for Spool {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    /// One line per notice. A file cannot be edited behind its reader's back, so that a later notice is a new line; all lines
    /// of one question have the same `thread`, which is what the first one left.
    async fn deliver(&self, notice: &Notice, prior: Option<&DeliveryRef>) -> Result<Option<DeliveryRef>, NotifyError> {
        let thread = prior.map_or_else(|| notice.id.to_string(), |prior| prior.0.clone());
        let line = json!({
            "stage": stage(notice),
            "question": notice.id.to_string(),
            "revision": notice.revision,
            "thread": thread,
            // One line of English with hidden characters made visible. `summary` has the parts; JSON escapes them.
            "text": notice.to_string(),
            "url": notice.url,
            "tell": notice.recipients.iter().map(UserName::as_str).collect::<Vec<_>>(),
        });
        self.append(&format!("{line}\n")).await.map_err(|error| {
            // A full disk or a missing directory may be mended while the question waits.
            NotifyError::later(format!("{}: {error}", self.path.display()))
        })?;
        Ok(Some(DeliveryRef(thread)))
    }
}

impl Spool {
    /// The whole line in one write, so that lines written at the same time do not mix (POSIX `O_APPEND`).
    async fn append(&self, line: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).await?;
        file.write_all(line.as_bytes()).await?;
        file.flush().await
    }
}

/// A stage that this program does not know yet is still told.
fn stage(notice: &Notice) -> &'static str {
    match notice.stage {
        Stage::Opened => "opened",
        Stage::Updated => "updated",
        Stage::Settled { .. } => "settled",
        _ => "changed",
    }
}
