//! Which key signs answers, written down in the database: servers over one database sign with the same.
//!
//! The first start writes it. A start with another key is refused, unless the one written down has introduced it: the
//! statements in the data directory are signed, so that a rotation that was cut off before the database knew of it, or a
//! database that is older than the rotation, needs nobody's help.

use std::path::Path;

use identree_core::audit::{AuditEvent, EventKind};
use identree_core::grant::{KeyRing, LocalSigner, PublicKey, SignedStatement, Signer as _, Trust};
use identree_core::id::UserName;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, StoreError};
use serde::{Deserialize, Serialize};

use super::rotate::{self, Rotated};
use super::{DecisionKeyError, FILE_NAME};
use crate::announced::{self, AnnouncedError};
use crate::key_file;
use crate::life;
use crate::parts::Parts;

const DECISION: Collection = Collection("decision");

/// So many earlier keys are known by name; a key that is older is told to be another.
const KEEP: usize = 16;

/// What stands in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    /// The key that signs.
    key: PublicKey,
    /// Those that signed before, newest first.
    before: Vec<PublicKey>,
}

impl Recorded {
    fn followed_by(self, key: PublicKey) -> Self {
        let mut before = vec![self.key];
        before.extend(self.before.into_iter().filter(|older| *older != key));
        before.truncate(KEEP);
        Self { key, before }
    }
}

/// The key that answers are signed with: the one written down, from the data directory. Made and written down at the very first start;
/// written down at the first start over a database that is older than this record.
///
/// # Errors
/// [`DecisionKeyError`] says what is recorded, what the file holds, and what to do.
pub(crate) async fn signer(parts: &Parts, data_dir: &Path) -> Result<LocalSigner, DecisionKeyError> {
    rotate::finish(data_dir).map_err(|error| DecisionKeyError::Unfinished(Box::new(error)))?;
    loop {
        let known = read(parts).await?;
        let signer = load(parts, data_dir, known.as_ref().map(|(_, known)| known.key)).await?;
        let found = signer.public_key();
        let written = match known {
            None => write(parts, None, Recorded { key: found, before: Vec::new() }, None).await,
            Some((_, known)) if known.key == found => {
                warn_of_statements(data_dir, found)?;
                return Ok(signer);
            }
            Some((revision, known)) => {
                let Some(epoch) = introduced(parts, data_dir, &known, found)? else {
                    return Err(refused(data_dir, &known, found));
                };
                tracing::info!("{found} signs answers from now on: {} introduced it", known.key);
                let event = event(parts, found, epoch);
                write(parts, Some(revision), known.followed_by(found), Some(event)).await
            }
        };
        match written {
            Ok(()) => return Ok(signer),
            // Another server was faster: now that one counts.
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The public half of the key that signs answers: the one written down, whether or not its file is here; before the very first start
/// the one in the data directory, made if there is none.
///
/// # Errors
/// [`DecisionKeyError`] if it cannot be told.
pub(crate) async fn public_key(parts: &Parts, data_dir: &Path) -> Result<PublicKey, DecisionKeyError> {
    match read(parts).await? {
        Some((_, known)) => Ok(known.key),
        None => Ok(load(parts, data_dir, None).await?.public_key()),
    }
}

/// Writes down that a rotation in the data directory has replaced this key, for all servers.
///
/// # Errors
/// [`DecisionKeyError::Overtaken`] if another key stands there by now; [`DecisionKeyError::Store`] if the database does not take it:
/// then the next start on this data directory writes it down.
pub(crate) async fn rotated(
    parts: &Parts,
    old: PublicKey,
    rotated: &Rotated,
    by: &UserName,
) -> Result<(), DecisionKeyError> {
    let overtaken = |by| DecisionKeyError::Overtaken { recorded: by };
    let (revision, known) = read(parts).await?.ok_or(StoreError::Conflict)?;
    if known.key != old {
        return Err(overtaken(known.key));
    }
    let event = by_hand(event(parts, rotated.key, rotated.epoch), by);
    match write(parts, Some(revision), known.followed_by(rotated.key), Some(event)).await {
        Err(StoreError::Conflict) => Err(overtaken(read(parts).await?.ok_or(StoreError::Conflict)?.1.key)),
        done => Ok(done?),
    }
}

/// Writes the key in the data directory down in the place of one that is lost for good; made if there is none. Hosts do not follow: each needs
/// its public half. Statements that do not speak of it are put aside, as `decision.keys.lost`.
///
/// # Errors
/// [`DecisionKeyError::NotLost`] if servers with this data directory start anyway.
pub(crate) async fn replace_lost(parts: &Parts, data_dir: &Path, by: &UserName) -> Result<PublicKey, DecisionKeyError> {
    rotate::finish(data_dir).map_err(|error| DecisionKeyError::Unfinished(Box::new(error)))?;
    let known = read(parts).await?;
    let found = super::load_or_make(data_dir, &*parts.entropy)?.public_key();
    if let Some((_, known)) = &known
        && (known.key == found || introduced(parts, data_dir, known, found)?.is_some())
    {
        return Err(DecisionKeyError::NotLost { found });
    }
    let file = data_dir.join(announced::FILE_NAME);
    let statements = announced::read(&file)?;
    if !statements.is_empty() && rotate::trusted(&statements, found).keys[0].key != found {
        let aside = data_dir.join(format!("{}.lost", announced::FILE_NAME));
        std::fs::rename(&file, aside).map_err(|source| AnnouncedError::Io { path: file, source })?;
    }
    let event = by_hand(event(parts, found, 0), by).with("why", "lost");
    let (revision, record) = match known {
        Some((revision, known)) => (Some(revision), known.followed_by(found)),
        None => (None, Recorded { key: found, before: Vec::new() }),
    };
    write(parts, revision, record, Some(event)).await?;
    Ok(found)
}

/// Says so where `decision.keys` introduces another key than the one that signs: it was not copied along with `decision.key`.
fn warn_of_statements(data_dir: &Path, found: PublicKey) -> Result<(), DecisionKeyError> {
    let file = data_dir.join(announced::FILE_NAME);
    let statements = announced::read(&file)?;
    let newest = rotate::trusted(&statements, found).keys.first().map(|trusted| trusted.key);
    if newest.is_some_and(|newest| newest != found) {
        tracing::warn!(
            "{} does not introduce {found}, which signs answers: hosts that enrol here would not believe it; put the file of the \
             server there where identree rotate-decision-key was run",
            file.display()
        );
    }
    Ok(())
}

/// The key in the data directory. A new one is made only where none can be known yet.
async fn load(parts: &Parts, data_dir: &Path, known: Option<PublicKey>) -> Result<LocalSigner, DecisionKeyError> {
    let path = data_dir.join(FILE_NAME);
    match key_file::load(&path) {
        Err(error) if error.is_missing() => {}
        loaded => return Ok(loaded?),
    }
    if known.is_none() && !life::served(parts).await? {
        return Ok(key_file::load_or_make(&path, &*parts.entropy)?);
    }
    let recorded = known.map_or_else(|| "another server's key".to_owned(), |known| known.to_string());
    Err(DecisionKeyError::Missing { recorded, file: path })
}

/// Which statement in the data directory makes whoever believes the recorded key believe that the other signs. One that has signed here
/// before does not come back so: it was given up as lost.
fn introduced(
    parts: &Parts,
    data_dir: &Path,
    known: &Recorded,
    found: PublicKey,
) -> Result<Option<u64>, DecisionKeyError> {
    let statements: Vec<SignedStatement> = announced::read(&data_dir.join(announced::FILE_NAME))?;
    let Ok(ring) = KeyRing::new(vec![known.key]) else { return Ok(None) };
    if known.before.contains(&found) {
        return Ok(None);
    }
    let mut trust = Trust::pinned(&ring, None);
    trust.learn_all(&statements, parts.now());
    Ok((trust.keys[0].key == found).then_some(trust.epoch))
}

fn refused(data_dir: &Path, known: &Recorded, found: PublicKey) -> DecisionKeyError {
    let (recorded, file) = (known.key, data_dir.join(FILE_NAME));
    if known.before.contains(&found) {
        DecisionKeyError::Replaced { recorded, file, found }
    } else {
        DecisionKeyError::Other { recorded, file, found }
    }
}

fn event(parts: &Parts, key: PublicKey, epoch: u64) -> AuditEvent {
    let event = parts.event(EventKind::DecisionKeyRotated);
    event.with("key", key.to_string()).with("epoch", epoch.to_string())
}

fn by_hand(event: AuditEvent, by: &UserName) -> AuditEvent {
    AuditEvent { actor: Some(by.clone()), via: Some("command line".to_owned()), ..event }
}

fn key() -> DocumentKey {
    DocumentKey::new(DECISION, "key")
}

async fn read(parts: &Parts) -> Result<Option<(u64, Recorded)>, DecisionKeyError> {
    let Some(document) = parts.store.document(&key(), parts.now()).await? else { return Ok(None) };
    let recorded = serde_json::from_slice(&document.bytes).map_err(|_| DecisionKeyError::Recorded)?;
    Ok(Some((document.revision, recorded)))
}

async fn write(
    parts: &Parts,
    expect: Option<u64>,
    recorded: Recorded,
    event: Option<AuditEvent>,
) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(&recorded).unwrap_or_default();
    let change = Change::Document { key: key(), expect, put: Some(Put { bytes, expires_at: None }) };
    parts
        .store
        .commit(match event {
            Some(event) => Batch::of(change, event),
            None => Batch::unrecorded(vec![change]),
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use identree_core::rng::OsEntropy;
    use identree_core::store::{MemoryStore, ReplicaId};
    use identree_core::testkit::journal::{recorded as events, undeclared};
    use identree_core::time::{Clock as _, ManualClock};

    use super::super::rotate::{Rotation, rotate};
    use super::*;
    use crate::life::Life;

    struct Site {
        store: Arc<MemoryStore>,
        parts: Parts,
    }

    impl Site {
        fn new() -> Self {
            let store = Arc::new(MemoryStore::new());
            let clock = Arc::new(ManualClock::default());
            let parts = Parts { store: Arc::clone(&store) as _, clock, entropy: Arc::new(OsEntropy) };
            Self { store, parts }
        }

        /// A server starts here; its key.
        async fn start(&self, dir: &Path) -> Result<PublicKey, DecisionKeyError> {
            let key = signer(&self.parts, dir).await?.public_key();
            let replica = ReplicaId::random(&OsEntropy);
            Life { parts: self.parts.clone(), replica, config: String::new() }.started().await?;
            Ok(key)
        }

        async fn rotate_files(&self, dir: &Path) -> Rotated {
            let overlap = Duration::from_secs(100);
            let now = self.parts.clock.now();
            rotate(&Rotation { data_dir: dir, overlap, root: (None, None), now }, &OsEntropy).await.unwrap()
        }

        async fn epochs(&self) -> Vec<String> {
            let events = events(&*self.store).await;
            assert_eq!(undeclared(&events), Vec::<String>::new());
            let rotations = events.iter().filter(|event| event.kind == EventKind::DecisionKeyRotated);
            rotations.map(|event| event.details["epoch"].clone()).collect()
        }
    }

    fn copy(from: &Path, to: &Path, names: &[&str]) {
        for name in names {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }

    fn by() -> UserName {
        UserName::parse("uid:0").unwrap()
    }

    #[tokio::test]
    async fn the_first_start_writes_its_key_down_and_no_other_signs_here() {
        let (site, one, other) = (Site::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = site.start(one.path()).await.unwrap();
        assert_eq!(site.start(one.path()).await.unwrap(), key);
        let missing = site.start(other.path()).await.unwrap_err();
        assert!(matches!(missing, DecisionKeyError::Missing { .. }), "{missing}");
        assert!(missing.to_string().contains(&key.to_string()) && !other.path().join(FILE_NAME).exists(), "{missing}");
        assert_eq!(public_key(&site.parts, other.path()).await.unwrap(), key, "known without the file");
        key_file::make(&other.path().join(FILE_NAME), &OsEntropy).unwrap();
        let found = key_file::load(&other.path().join(FILE_NAME)).unwrap().public_key();
        let error = site.start(other.path()).await.unwrap_err();
        assert!(matches!(error, DecisionKeyError::Other { .. }), "{error}");
        let said = error.to_string();
        let told = [key.to_string(), found.to_string(), other.path().display().to_string()];
        assert!(told.iter().all(|part| said.contains(part)), "{said}");
        copy(one.path(), other.path(), &[FILE_NAME]);
        assert_eq!(site.start(other.path()).await.unwrap(), key);
        assert!(site.epochs().await.is_empty());
    }

    #[tokio::test]
    async fn a_database_that_was_served_before_this_record_takes_the_key_that_is_there_and_makes_none() {
        let (site, one, other) = (Site::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let replica = ReplicaId::random(&OsEntropy);
        Life { parts: site.parts.clone(), replica, config: String::new() }.started().await.unwrap();
        assert!(matches!(site.start(other.path()).await, Err(DecisionKeyError::Missing { .. })));
        assert!(matches!(public_key(&site.parts, other.path()).await, Err(DecisionKeyError::Missing { .. })));
        key_file::make(&one.path().join(FILE_NAME), &OsEntropy).unwrap();
        let key = site.start(one.path()).await.unwrap();
        assert_eq!(public_key(&site.parts, other.path()).await.unwrap(), key);
    }

    #[tokio::test]
    async fn after_a_rotation_the_servers_with_the_old_file_are_told_to_take_the_new_one() {
        let (site, one, other) = (Site::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = site.start(one.path()).await.unwrap();
        copy(one.path(), other.path(), &[FILE_NAME]);
        let done = site.rotate_files(one.path()).await;
        rotated(&site.parts, first, &done, &by()).await.unwrap();
        let error = site.start(other.path()).await.unwrap_err();
        assert!(matches!(error, DecisionKeyError::Replaced { .. }), "{error}");
        assert!(error.to_string().contains("put the new file there"), "{error}");
        assert_eq!(site.start(one.path()).await.unwrap(), done.key);
        copy(one.path(), other.path(), &[FILE_NAME, announced::FILE_NAME]);
        assert_eq!(site.start(other.path()).await.unwrap(), done.key);
        assert_eq!(site.epochs().await, ["1"], "once");
    }

    #[tokio::test]
    async fn a_rotation_that_the_database_never_heard_of_is_taken_over_by_the_next_start() {
        let (site, one, other) = (Site::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        site.start(one.path()).await.unwrap();
        copy(one.path(), other.path(), &[FILE_NAME]);
        // Killed before the database knew, and the same once more; or the database is a backup of before.
        site.rotate_files(one.path()).await;
        let second = site.rotate_files(one.path()).await;
        assert_eq!(site.start(one.path()).await.unwrap(), second.key);
        assert_eq!(site.epochs().await, ["2"]);
        assert!(matches!(site.start(other.path()).await, Err(DecisionKeyError::Replaced { .. })));
        // Statements that somebody else has made introduce nothing.
        let stranger = tempfile::tempdir().unwrap();
        super::super::load_or_make(stranger.path(), &OsEntropy).unwrap();
        site.rotate_files(stranger.path()).await;
        assert!(matches!(site.start(stranger.path()).await, Err(DecisionKeyError::Other { .. })));
    }

    #[tokio::test]
    async fn of_two_rotations_at_once_one_counts() {
        let (site, one, other) = (Site::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = site.start(one.path()).await.unwrap();
        copy(one.path(), other.path(), &[FILE_NAME]);
        let (won, lost) = (site.rotate_files(one.path()).await, site.rotate_files(other.path()).await);
        rotated(&site.parts, first, &won, &by()).await.unwrap();
        let error = rotated(&site.parts, first, &lost, &by()).await.unwrap_err();
        assert!(matches!(error, DecisionKeyError::Overtaken { recorded } if recorded == won.key), "{error}");
        assert!(matches!(site.start(other.path()).await, Err(DecisionKeyError::Other { .. })));
    }

    #[tokio::test]
    async fn a_key_that_is_lost_for_good_is_replaced_by_hand_alone() {
        let (site, one, other) = (Site::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = site.start(one.path()).await.unwrap();
        assert!(matches!(replace_lost(&site.parts, one.path(), &by()).await, Err(DecisionKeyError::NotLost { .. })));
        copy(one.path(), other.path(), &[FILE_NAME]);
        let done = site.rotate_files(one.path()).await;
        rotated(&site.parts, first, &done, &by()).await.unwrap();
        // Only the key of before the rotation was backed up, and the statements.
        copy(one.path(), other.path(), &[announced::FILE_NAME]);
        assert!(matches!(site.start(other.path()).await, Err(DecisionKeyError::Replaced { .. })));
        assert_eq!(replace_lost(&site.parts, other.path(), &by()).await.unwrap(), first);
        assert_eq!(site.start(other.path()).await.unwrap(), first);
        assert!(!other.path().join(announced::FILE_NAME).exists(), "they speak of the lost one");
        assert!(matches!(site.start(one.path()).await, Err(DecisionKeyError::Replaced { .. })));
        let empty = tempfile::tempdir().unwrap();
        let new = replace_lost(&site.parts, empty.path(), &by()).await.unwrap();
        assert_eq!(site.start(empty.path()).await.unwrap(), new);
        assert_eq!(site.epochs().await, ["1", "0", "0"]);
    }
}
