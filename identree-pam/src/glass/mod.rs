//! The way back when the server cannot be reached: one password of this host, kept as its argon2id hash in a file of
//! root's own, asked for only where somebody can type, throttled on disk, and never used without leaving a trace.

mod ask;
mod hash;
mod pass;
mod password;
mod throttle;
mod used;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::ask::{Situation, instead};
pub use self::hash::{Hash, HashError, HashFile};
pub use self::password::generate;
pub use self::used::{Use, uses};
pub use self::verify::{Checked, verify};
use crate::config::FileError;
use crate::state::StateError;

/// Where the hash is, unless the host file says otherwise.
pub const PATH: &str = "/etc/identree-breakglass";
/// Where attempts are counted and uses are written down.
pub const DIRECTORY: &str = "/var/lib/identree-host/glass";

/// Where things are and whose they must be.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file with the hash.
    pub file: PathBuf,
    /// Attempts and uses.
    pub folder: PathBuf,
    /// Who must own both.
    pub owner: u32,
}

/// What the person is told when the password is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// The prompt.
    Prompt,
    /// It was not the password.
    Wrong,
    /// Not looked at; try again after that time.
    TooOften(Duration),
}

/// Why the password cannot be tried. Every one of them means no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GlassError {
    /// The file with the hash.
    #[error(transparent)]
    File(#[from] FileError),
    /// What it says.
    #[error("{}: {cause}; run: identree rotate-breakglass", .path.display())]
    Hash {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        cause: HashError,
    },
    /// Where attempts are counted.
    #[error("{0}; without it no attempt is counted and none is allowed: `identree setup` makes it")]
    State(#[from] StateError),
}
