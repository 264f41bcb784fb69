//! The decision key: what answers are signed with.

pub mod rotate;

use std::path::Path;

use identree_core::grant::LocalSigner;
use identree_core::rng::Entropy;

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
}

/// Reads the key, or makes it at the very first start.
///
/// # Errors
/// [`DecisionKeyError`]; an existing file is never overwritten.
pub fn load_or_make(data_dir: &Path, entropy: &dyn Entropy) -> Result<LocalSigner, DecisionKeyError> {
    rotate::finish(data_dir).map_err(|error| DecisionKeyError::Unfinished(Box::new(error)))?;
    Ok(key_file::load_or_make(&data_dir.join(FILE_NAME), entropy)?)
}

/// The key that answers are signed with. A new one on a database that was served before is no secret to the operator.
///
/// # Errors
/// [`DecisionKeyError`]; an existing file is never overwritten.
pub(crate) fn signer(data_dir: &Path, entropy: &dyn Entropy, served: bool) -> Result<LocalSigner, DecisionKeyError> {
    let missing = !data_dir.join(FILE_NAME).exists();
    let signer = load_or_make(data_dir, entropy)?;
    if served && missing {
        tracing::warn!(
            "a new {FILE_NAME} was made in {}, and this database was served before: hosts refuse what it signs. Stop this server, and put \
             the first server's file there, or that of a backup; if it is lost, each host needs the new public key",
            data_dir.display()
        );
    }
    Ok(signer)
}
