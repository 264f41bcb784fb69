//! The decision key: what answers are signed with.

pub(crate) mod recorded;
pub mod rotate;

use std::path::{Path, PathBuf};

use identree_core::grant::{LocalSigner, PublicKey};
use identree_core::rng::Entropy;
use identree_core::store::StoreError;

use crate::announced::AnnouncedError;
pub use crate::key_file::load;
use crate::key_file::{self, KeyFileError};

/// Its name in the data directory.
pub const FILE_NAME: &str = "decision.key";

/// The key cannot be used; no answer is signed with a doubtful one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionKeyError {
    /// Its file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A rotation that was cut off cannot be finished.
    #[error("{0}; the decision key was about to be replaced")]
    Unfinished(Box<rotate::RotateError>),
    /// The statements beside it cannot be used.
    #[error(transparent)]
    Statements(#[from] AnnouncedError),
    /// Answers over this database are signed by a key that is not here; none is made in its place.
    #[error(
        "answers over this database are signed by {recorded}, and {file} is missing: put the first server's file there (all servers over one \
         database share it, with decision.keys and log.key), or restore it from a backup; if it is lost for good: identree \
         rotate-decision-key --lost --yes makes another, and each host needs the new public key, and no client.state",
        file = .file.display()
    )]
    Missing {
        /// The key that the database knows, or that it knows none.
        recorded: String,
        /// The file.
        file: PathBuf,
    },
    /// Another key than the one that signs here.
    #[error(
        "answers over this database are signed by {recorded}, and {file} holds {found}: put the first server's file there (all servers \
         over one database share it, with decision.keys), or restore it from a backup; if the recorded key is lost for good: identree \
         rotate-decision-key --lost --yes takes this one, and each host needs its public key, and no client.state",
        file = .file.display()
    )]
    Other {
        /// The key that the database knows.
        recorded: PublicKey,
        /// The file.
        file: PathBuf,
        /// Its key.
        found: PublicKey,
    },
    /// A key that has signed here, until a rotation.
    #[error(
        "{file} holds {found}, which {recorded} has replaced: put the new file there, with decision.keys, from the server where \
         identree rotate-decision-key was run, or restore both from a backup; if the new key is lost for good: identree \
         rotate-decision-key --lost --yes takes the old one, and each host that knows the new one needs its public key, and no client.state",
        file = .file.display()
    )]
    Replaced {
        /// The key that the database knows.
        recorded: PublicKey,
        /// The file.
        file: PathBuf,
        /// Its key.
        found: PublicKey,
    },
    /// Two rotations at once.
    #[error(
        "another rotation at the same time has made {recorded} the key of all servers: put that server's decision.key and \
         decision.keys into this data directory too"
    )]
    Overtaken {
        /// The key that the database knows.
        recorded: PublicKey,
    },
    /// Nothing to replace.
    #[error("nothing is lost: a server on this data directory starts, and signs with {found}")]
    NotLost {
        /// The key in the data directory.
        found: PublicKey,
    },
    /// What stands in the database is no key.
    #[error("the database holds something unreadable as the decision key")]
    Recorded,
    /// The database cannot be read or written.
    #[error("the decision key could not be compared with the database")]
    Store(#[from] StoreError),
}

/// Reads the key, or makes it at the very first start.
///
/// # Errors
/// [`DecisionKeyError`]; an existing file is never overwritten.
pub fn load_or_make(data_dir: &Path, entropy: &dyn Entropy) -> Result<LocalSigner, DecisionKeyError> {
    rotate::finish(data_dir).map_err(|error| DecisionKeyError::Unfinished(Box::new(error)))?;
    Ok(key_file::load_or_make(&data_dir.join(FILE_NAME), entropy)?)
}
