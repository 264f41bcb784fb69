//! A proof in one file: that entries are in the log that a checkpoint speaks of, and that this log only added to an earlier one. It needs
//! nothing but the log's public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::proof::{self, Path, verify_consistency, verify_inclusion};
use super::{Checkpoint, CheckpointError, Entry, EntryError, EventSeq, LogKey, SealedEvent, leaf_hash};
use crate::store::{Hash, Log, StoreError, TILE};

/// What is proven, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// 1.
    v: u8,
    /// The signed note.
    checkpoint: String,
    /// The entries.
    entries: Vec<ProvenEntry>,
    /// An earlier checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Since>,
}

/// An entry and its way to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvenEntry {
    seq: u64,
    leaf: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    personal: String,
    path: Vec<Hash64>,
}

/// An earlier checkpoint, and the way from its root to the newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    checkpoint: String,
    path: Vec<Hash64>,
}

/// A hash in base64, as in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Hash64(Hash);

impl From<Hash64> for String {
    fn from(hash: Hash64) -> Self {
        STANDARD.encode(hash.0)
    }
}

impl TryFrom<String> for Hash64 {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hash = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).map(Self);
        hash.ok_or("not the base64 of 32 bytes")
    }
}

/// What a statement has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Of which log, when, and how many entries it had.
    pub checkpoint: Checkpoint,
    /// What happened.
    pub events: Vec<SealedEvent>,
    /// Those that tell of persons without their personal data: erased from the log, or withheld by who handed the statement on. Whoever
    /// has nothing but the statement cannot tell which.
    pub without_personal: Vec<EventSeq>,
    /// The earlier checkpoint.
    pub since: Option<Checkpoint>,
}

/// A statement could not be made, or proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Store(#[from] StoreError),
    /// No checkpoint covers it yet.
    #[error("entry {0} is under no checkpoint yet; one is signed within 10 s while the server runs: try again then")]
    NotYet(u64),
    /// It is not there.
    #[error("the log has no entry {0} (any more): it was removed by retention, or never was")]
    Missing(u64),
    /// A checkpoint is not of this key.
    #[error("{which}: {error}")]
    Checkpoint {
        /// Which.
        which: &'static str,
        /// What is wrong.
        error: CheckpointError,
    },
    /// The earlier one is not earlier.
    #[error("the checkpoint to compare with is of {0} entries, more than the log has under its newest one")]
    Later(u64),
    /// The earlier one is of another history.
    #[error(
        "fork: the earlier checkpoint is signed by the log's key, and is not of the beginning of this log. Keep it and this one: they prove \
         that the log showed different people different histories"
    )]
    Fork,
    /// The tree below the earlier one was pruned.
    #[error("what would connect the earlier checkpoint to the log was removed by retention")]
    Pruned,
    /// No statement of this version.
    #[error("not a proof of this version: {0}")]
    Form(String),
    /// An entry is none.
    #[error("entry {0}: {1}")]
    Entry(u64, EntryError),
    /// A path does not lead to the signed root.
    #[error("entry {0} is not in the log of this checkpoint: its path does not lead to the signed root")]
    NotIncluded(u64),
    /// It proves nothing at all.
    #[error("there is no entry in it")]
    Empty,
}

impl Statement {
    /// Proves these entries against the newest checkpoint, and that against an earlier one.
    ///
    /// # Errors
    /// [`StatementError`] says why it cannot be proven.
    pub async fn of<L: Log + ?Sized>(
        log: &L,
        key: &LogKey,
        places: &[EventSeq],
        since: Option<&str>,
    ) -> Result<Self, StatementError> {
        let last = places.iter().map(|seq| seq.0).max().ok_or(StatementError::Empty)?;
        let newest = log.last_checkpoint().await?.ok_or(StatementError::NotYet(last))?;
        let checkpoint = opened("the log's newest checkpoint", &newest.note, key)?;
        if last >= checkpoint.size {
            return Err(StatementError::NotYet(last));
        }
        let mut entries = Vec::with_capacity(places.len());
        for EventSeq(seq) in places {
            let path = Path::inclusion(*seq, checkpoint.size).ok_or(StatementError::NotYet(*seq))?;
            let path = proof::hashes(log, &path).await?.ok_or(StatementError::Missing(*seq))?;
            let entry = entry(log, *seq).await?.ok_or(StatementError::Missing(*seq))?;
            let text = |bytes| String::from_utf8(bytes).map_err(|error| StatementError::Form(error.to_string()));
            let (leaf, personal) = (text(entry.leaf)?, text(entry.personal)?);
            entries.push(ProvenEntry { seq: *seq, leaf, personal, path: path.into_iter().map(Hash64).collect() });
        }
        let since = match since {
            None => None,
            Some(note) => Some(connected(log, key, note, &checkpoint).await?),
        };
        let made = Self { v: 1, checkpoint: newest.note, entries, since };
        // What is handed out was checked: an earlier checkpoint of another history is told here.
        made.verify(key)?;
        Ok(made)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`StatementError::Form`] if it is none.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let form = |error: serde_json::Error| StatementError::Form(error.to_string());
        let found: Self = serde_json::from_str(text).map_err(form)?;
        if found.v == 1 { Ok(found) } else { Err(StatementError::Form(format!("its version is {}", found.v))) }
    }

    /// What it proves under this key.
    ///
    /// # Errors
    /// [`StatementError`] says where it fails; then it proves nothing.
    pub fn verify(&self, key: &LogKey) -> Result<Proven, StatementError> {
        let checkpoint = opened("its checkpoint", &self.checkpoint, key)?;
        let (mut events, mut without_personal) = (Vec::with_capacity(self.entries.len()), Vec::new());
        for ProvenEntry { seq, leaf, personal, path } in &self.entries {
            let hash = leaf_hash(leaf.as_bytes());
            let path: Vec<_> = path.iter().map(|hash| hash.0).collect();
            if !verify_inclusion(&hash, *seq, checkpoint.size, &path, &checkpoint.root) {
                return Err(StatementError::NotIncluded(*seq));
            }
            let entry = Entry { leaf: leaf.clone().into_bytes(), personal: personal.clone().into_bytes() };
            let failed = |error| StatementError::Entry(*seq, error);
            events.push(entry.sealed(EventSeq(*seq)).map_err(failed)?);
            if entry.lacks_personal().map_err(failed)? {
                without_personal.push(EventSeq(*seq));
            }
        }
        let since = self.since.as_ref().map(|since| {
            let old = opened("its earlier checkpoint", &since.checkpoint, key)?;
            let path: Vec<_> = since.path.iter().map(|hash| hash.0).collect();
            let connects = verify_consistency((old.size, &old.root), (checkpoint.size, &checkpoint.root), &path);
            if connects { Ok(old) } else { Err(StatementError::Fork) }
        });
        let since = since.transpose()?;
        if events.is_empty() {
            return Err(StatementError::Empty);
        }
        Ok(Proven { checkpoint, events, without_personal, since })
    }
}

fn opened(which: &'static str, note: &str, key: &LogKey) -> Result<Checkpoint, StatementError> {
    Checkpoint::open(note, key).map_err(|error| StatementError::Checkpoint { which, error })
}

async fn connected<L: Log + ?Sized>(
    log: &L,
    key: &LogKey,
    note: &str,
    newest: &Checkpoint,
) -> Result<Since, StatementError> {
    let old = opened("the earlier checkpoint", note, key)?;
    let path = Path::consistency(old.size, newest.size).ok_or(StatementError::Later(old.size))?;
    let path = proof::hashes(log, &path).await?.ok_or(StatementError::Pruned)?;
    Ok(Since { checkpoint: note.to_owned(), path: path.into_iter().map(Hash64).collect() })
}

async fn entry<L: Log + ?Sized>(log: &L, seq: u64) -> Result<Option<Entry>, StatementError> {
    let bundle = log.bundles(seq / TILE, 1).await?.into_iter().next().filter(|bundle| bundle.number == seq / TILE);
    let Some(bundle) = bundle else { return Ok(None) };
    let entries = Entry::split(&bundle).map_err(|error| StatementError::Entry(seq, error))?;
    Ok(entries.into_iter().nth(usize::try_from(seq % TILE).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::log::LogOf;

    #[tokio::test]
    async fn a_statement_proves_by_itself_and_no_byte_of_it_can_be_another() {
        let mut log = LogOf::events(300).await;
        let old = log.store.last_checkpoint().await.unwrap().unwrap().note;
        log.add(333).await;
        let made = Statement::of(&*log.store, &log.key(), &[EventSeq(1), EventSeq(632)], Some(&old)).await.unwrap();
        let text = serde_json::to_string_pretty(&made).unwrap();
        let proven = Statement::parse(&text).unwrap().verify(&log.key()).unwrap();
        assert_eq!((proven.checkpoint.size, proven.since.map(|old| old.size)), (633, Some(300)));
        assert_eq!(proven.events[0].event, crate::testkit::log::sample(1));
        assert_eq!(proven.events[1].event, crate::testkit::log::sample(632));
        let meaning = |text: &str| {
            let found = Statement::parse(text)?;
            found.verify(&log.key()).map(|proven| (proven.checkpoint, proven.events, proven.since))
        };
        let good = meaning(&text).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            // A blank may be another blank.
            assert!(meaning(&changed).is_err() || meaning(&changed).unwrap() == good, "{at}: {changed}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_proven_is_said() {
        let mut log = LogOf::events(10).await;
        let (store, key) = (std::sync::Arc::clone(&log.store), log.key());
        let of = async |seq: u64, since: Option<&str>| {
            Statement::of(&*store, &key, &[EventSeq(seq)], since).await.unwrap_err().to_string()
        };
        assert!(of(10, None).await.starts_with("entry 10 is under no checkpoint yet"));
        let other = LogOf::events(5).await.store.last_checkpoint().await.unwrap().unwrap().note;
        log.add(1).await;
        let fork = Checkpoint { origin: key.origin.clone(), size: 5, root: [1; 32], signed_at: None };
        let fork = fork.sign(&log.signer).await.unwrap();
        assert!(of(0, Some(&fork)).await.starts_with("fork: "));
        let later = Checkpoint { origin: key.origin.clone(), size: 50, root: [1; 32], signed_at: None };
        let later = later.sign(&log.signer).await.unwrap();
        assert!(of(0, Some(&later)).await.contains("of 50 entries, more than the log has"));
        assert!(
            Statement::of(&*store, &key, &[EventSeq(0)], Some(&other)).await.is_ok(),
            "the same events, the same key"
        );
        assert!(of(0, Some("x")).await.starts_with("the earlier checkpoint: not a checkpoint"));
        assert!(Statement::parse("{}").is_err());
    }
}
