//! A copy of the log in a directory, laid out as C2SP tlog-tiles (<https://c2sp.org/tlog-tiles>): any web server can serve it, and
//! [`verify`](super::verify) needs nothing else.
//!
//! | File | Content |
//! |---|---|
//! | `checkpoint` | the newest checkpoint, a signed note |
//! | `checkpoints` | every checkpoint in order of size, an empty line after each |
//! | `key` | the public half of the log's key |
//! | `tile/<L>/<N>`, `tile/<L>/<N>.p/<W>` | up to 256 hashes of one level; level 0 are those of the entries |
//! | `tile/entries/<N>`, `…/<N>.p/<W>` | up to 256 leaves, each after its length in two bytes |
//! | `personal/<N>`, `…/<N>.p/<W>` | beside them their personal parts, each after its length in four bytes |

mod export;
mod layout;
mod notes;
mod piece;

pub use self::export::{Export, ExportError, Exported, export};
pub use self::layout::{Piece, Place};
pub use self::notes::{Notes, NotesError};
pub use self::piece::piece;

/// The newest checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Every checkpoint.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The public key.
pub(crate) const KEY: &str = "key";
/// How often personal data had been erased when the personal parts were written.
pub(crate) const ERASURES: &str = "personal/erasures";
