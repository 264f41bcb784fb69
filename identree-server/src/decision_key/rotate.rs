//! A new decision key, introduced by a statement of the old one: `decision.keys` beside `decision.key`.
//!
//! Three files in this order: the new key aside, the statement that introduces it, the key in its place. A run that was cut
//! off after the statement is finished by the next start or rotation, whichever comes first.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use identree_core::grant::{
    KeyStatement, LocalSigner, PublicKey, SignError, SignedStatement, Signer, Trust, TrustedKey,
};
use identree_core::rng::Entropy;
use identree_core::time::Timestamp;

use super::FILE_NAME;
use crate::announced::{self, AnnouncedError};
use crate::key_file::{KeyFileError, load, make};

/// The new key, until it is introduced.
const NEXT: &str = "decision.key.next";

/// So many statements are kept: a host that was away for longer enrols anew.
const KEEP: usize = 16;

/// Why there is no new key. The old one stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The statements cannot be used.
    #[error(transparent)]
    Statements(#[from] AnnouncedError),
    /// The statement cannot be signed.
    #[error("the statement could not be signed")]
    Sign(#[from] SignError),
    /// Hosts believe the root key alone.
    #[error("hosts pin the root key {0}: give its private half with --root-key FILE")]
    RootNeeded(PublicKey),
    /// Another key than the one that is pinned.
    #[error("--root-key is {given}, and hosts pin {pinned}")]
    OtherRoot {
        /// What was given.
        given: PublicKey,
        /// What is pinned.
        pinned: PublicKey,
    },
    /// The key in use is not the one that was introduced last.
    #[error(
        "{} is not the key that was introduced last; restore it, or remove decision.keys and give every host the new key",
        .0.display()
    )]
    OutOfStep(PathBuf),
}

/// How to rotate.
#[derive(Debug)]
pub struct Rotation<'a> {
    /// Where the keys are.
    pub data_dir: &'a Path,
    /// How long the old key goes on counting.
    pub overlap: Duration,
    /// The root key that hosts pin, and its private half if it is at hand.
    pub root: (Option<PublicKey>, Option<LocalSigner>),
    /// The time.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The new key.
    pub key: PublicKey,
    /// Which statement introduced it.
    pub epoch: u64,
}

/// Makes a new key and introduces it.
///
/// # Errors
/// [`RotateError`]; the old key stands then.
pub async fn rotate(rotation: &Rotation<'_>, entropy: &dyn Entropy) -> Result<Rotated, RotateError> {
    let dir = rotation.data_dir;
    finish(dir)?;
    let path = dir.join(FILE_NAME);
    let old = load(&path)?;
    let file = dir.join(announced::FILE_NAME);
    let mut statements = announced::read(&file)?;
    let trust = trusted(&statements, old.public_key());
    if trust.keys[0].key != old.public_key() {
        return Err(RotateError::OutOfStep(path));
    }
    let (pinned, root) = &rotation.root;
    match (pinned, root) {
        (Some(pinned), None) => return Err(RotateError::RootNeeded(*pinned)),
        (Some(pinned), Some(root)) if root.public_key() != *pinned => {
            return Err(RotateError::OtherRoot { given: root.public_key(), pinned: *pinned });
        }
        _ => {}
    }
    let next = dir.join(NEXT);
    remove(&next)?;
    make(&next, entropy)?;
    let new = load(&next)?;
    let mut keys = vec![TrustedKey { key: new.public_key(), until: None }];
    if !rotation.overlap.is_zero() {
        keys.push(TrustedKey { key: old.public_key(), until: Some(rotation.now + rotation.overlap) });
    }
    keys.extend(trust.keys[1..].iter().filter(|older| older.until.is_some_and(|until| until > rotation.now)).take(8));
    let statement = KeyStatement { epoch: trust.epoch + 1, issued: rotation.now, keys };
    let mut signers: Vec<&dyn Signer> = vec![&old];
    signers.extend(root.as_ref().map(|root| root as &dyn Signer));
    statements.push(SignedStatement::make(&statement, &signers).await?);
    statements.drain(..statements.len().saturating_sub(KEEP));
    write(&file, &serde_json::to_vec(&statements).unwrap_or_default())?;
    finish(dir)?;
    Ok(Rotated { key: new.public_key(), epoch: statement.epoch })
}

/// Puts a key in place that was introduced already.
///
/// # Errors
/// [`RotateError`] if a file cannot be used.
pub fn finish(dir: &Path) -> Result<(), RotateError> {
    let (next, path) = (dir.join(NEXT), dir.join(FILE_NAME));
    let new = match load(&next) {
        Err(error) if error.is_missing() => return Ok(()),
        new => new?.public_key(),
    };
    let statements = announced::read(&dir.join(announced::FILE_NAME))?;
    if trusted(&statements, new).keys[0].key == new && !statements.is_empty() {
        let io = |source| KeyFileError::Io { path: path.clone(), source };
        std::fs::rename(&next, &path).map_err(io)?;
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    }
    Ok(())
}

/// What hosts that know every statement believe.
pub(super) fn trusted(statements: &[SignedStatement], key: PublicKey) -> Trust {
    let last = statements.last().and_then(|signed| KeyStatement::decode(&signed.bytes).ok());
    last.map_or_else(
        || Trust { epoch: 0, keys: vec![TrustedKey { key, until: None }], root: None },
        |last| Trust { epoch: last.epoch, keys: last.keys, root: None },
    )
}

fn remove(path: &Path) -> Result<(), KeyFileError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(KeyFileError::Io { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let aside = path.with_extension("keys.new");
    let written = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        std::fs::File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    written().map_err(|source| KeyFileError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use identree_core::grant::KeyRing;
    use identree_core::rng::OsEntropy;

    use super::super::load_or_make;
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn rotation(data_dir: &Path) -> Rotation<'_> {
        Rotation { data_dir, overlap: Duration::from_secs(100), root: (None, None), now: NOW }
    }

    fn host(first: PublicKey, root: Option<PublicKey>) -> Trust {
        Trust::pinned(&KeyRing::new(vec![first]).unwrap(), root)
    }

    #[tokio::test]
    async fn hosts_follow_several_rotations_and_the_old_keys_end() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_make(dir.path(), &OsEntropy).unwrap().public_key();
        let mut away = host(first, None);
        let one = rotate(&rotation(dir.path()), &OsEntropy).await.unwrap();
        let two = rotate(&rotation(dir.path()), &OsEntropy).await.unwrap();
        assert_eq!((one.epoch, two.epoch), (1, 2));
        assert_eq!(load_or_make(dir.path(), &OsEntropy).unwrap().public_key(), two.key, "the new key signs");
        let statements = announced::read(&dir.path().join(announced::FILE_NAME)).unwrap();
        assert!(away.learn_all(&statements, NOW));
        assert_eq!(away.ring(NOW).unwrap().keys(), [two.key, one.key, first]);
        assert_eq!(away.ring(NOW + Duration::from_secs(100)).unwrap().keys(), [two.key]);
        let mut stranger = host(LocalSigner::generate(&OsEntropy).public_key(), None);
        assert!(!stranger.learn_all(&statements, NOW));
    }

    #[tokio::test]
    async fn a_rotation_that_was_cut_off_is_finished_or_undone() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_make(dir.path(), &OsEntropy).unwrap().public_key();
        // Before the statement: nobody has heard of the new key.
        make(&dir.path().join(NEXT), &OsEntropy).unwrap();
        assert_eq!(load_or_make(dir.path(), &OsEntropy).unwrap().public_key(), first);
        let saved = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
        let rotated = rotate(&rotation(dir.path()), &OsEntropy).await.unwrap();
        // After it: the next start puts the key in place.
        std::fs::rename(dir.path().join(FILE_NAME), dir.path().join(NEXT)).unwrap();
        std::fs::write(dir.path().join(FILE_NAME), saved).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.path().join(FILE_NAME), mode).unwrap();
        assert_eq!(load_or_make(dir.path(), &OsEntropy).unwrap().public_key(), rotated.key);
        assert!(!dir.path().join(NEXT).exists());
    }

    #[tokio::test]
    async fn where_a_root_is_pinned_only_it_introduces_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_make(dir.path(), &OsEntropy).unwrap().public_key();
        let root = LocalSigner::generate(&OsEntropy);
        let pinned = root.public_key();
        let without = Rotation { root: (Some(pinned), None), ..rotation(dir.path()) };
        assert!(matches!(rotate(&without, &OsEntropy).await, Err(RotateError::RootNeeded(_))));
        let other = Rotation { root: (Some(pinned), Some(LocalSigner::generate(&OsEntropy))), ..rotation(dir.path()) };
        assert!(matches!(rotate(&other, &OsEntropy).await, Err(RotateError::OtherRoot { .. })));
        let with = Rotation { root: (Some(pinned), Some(root)), ..rotation(dir.path()) };
        let rotated = rotate(&with, &OsEntropy).await.unwrap();
        let statements = announced::read(&dir.path().join(announced::FILE_NAME)).unwrap();
        for mut trust in [host(first, Some(pinned)), host(first, None)] {
            assert!(trust.learn_all(&statements, NOW));
            assert_eq!(trust.keys[0].key, rotated.key);
        }
    }
}
