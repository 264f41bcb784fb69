//! The sealed log as a store keeps it: bundles of entries, tiles of hashes, signed checkpoints, and how far each reader is.
//!
//! Everything comes in pieces of 256 as in C2SP tlog-tiles (<https://c2sp.org/tlog-tiles>), so that what is stored is what a plain
//! web server would serve. A store keeps bytes and guards their order; it computes no hash.

use async_trait::async_trait;

use super::StoreError;
use super::lease::Fence;
use crate::time::Timestamp;

/// Entries in a bundle, and hashes in a tile.
pub const TILE: u64 = 256;

/// So many of the last entries of the log keep each of their checkpoints.
pub const ALL_CHECKPOINTS: u64 = TILE * TILE;

/// A hash of the tree (SHA-256, RFC 6962 §2.1).
pub type Hash = [u8; 32];

/// Where the log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// Entries in it.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// How often personal data was erased from it: whoever holds the last bundle in memory sees that it is not the stored one.
    pub erasures: u64,
}

impl LogHead {
    /// The log before its first entry; its root is the SHA-256 of nothing (RFC 6962 §2.1).
    pub const EMPTY: Self = Self {
        size: 0,
        root: [
            0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
            0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
        ],
        erasures: 0,
    };
}

/// Up to 256 entries and what stands beside them. Only the last bundle may have fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Its place: the first entry is number × 256.
    pub number: u64,
    /// The leaves, each after its length in two bytes, big-endian (tlog-tiles, "Log Entries").
    pub entries: Vec<u8>,
    /// The personal data of each entry, each after its length in four bytes, big-endian; nothing where there is none or it was
    /// erased. The leaves hold commitments to it.
    pub personal: Vec<u8>,
}

/// Up to 256 hashes of one level of the tree. Level 0 is kept when it is full: until then its bundle tells it. Of the levels above the last
/// tile may be short, and is replaced as it grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// 0: of entries; n: of whole tiles of level n − 1.
    pub level: u8,
    /// Its place in the level.
    pub number: u64,
    /// The hashes, 32 bytes each.
    pub hashes: Vec<u8>,
}

/// A signed statement of where the log stood (<https://c2sp.org/tlog-checkpoint>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Entries then.
    pub size: u64,
    /// When it was signed, by the database's clock.
    pub at: Timestamp,
    /// The signed note.
    pub note: String,
}

/// What one step of the sealer writes: all of it or nothing.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Where the log must stand; else [`StoreError::Conflict`].
    pub from: LogHead,
    /// Where it stands then; the same where only a checkpoint is added.
    pub to: LogHead,
    /// The places of the journal ([`Unsealed::place`](super::Unsealed::place)) whose events are in the log now: they leave the journal.
    /// One that is not there is sealed already: [`StoreError::Conflict`].
    pub places: Vec<u64>,
    /// The bundles that changed or came, in order, each replacing the one of its number.
    pub bundles: Vec<Bundle>,
    /// The tiles that changed or came, each replacing the one of its place.
    pub tiles: Vec<Tile>,
    /// A checkpoint of `to`; one of the same size is replaced.
    pub checkpoint: Option<StoredCheckpoint>,
}

/// Who reads the log and keeps a place in it: a sink.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReaderName(pub Box<str>);

/// The sealed log.
#[async_trait]
pub trait Log: Send + Sync {
    /// Where it stands; [`LogHead::EMPTY`] before its first entry.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn head(&self) -> Result<LogHead, StoreError>;

    /// Bundles from this number on, in order without gaps, at most `limit` (1 to 1,000). What was pruned is not there: then the first
    /// one's number is higher.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn bundles(&self, from: u64, limit: u32) -> Result<Vec<Bundle>, StoreError>;

    /// One tile, as kept.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn tile(&self, level: u8, number: u64) -> Result<Option<Tile>, StoreError>;

    /// Checkpoints of this size and above, in order, at most `limit` (1 to 1,000).
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<StoredCheckpoint>, StoreError>;

    /// The checkpoint of the greatest size.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError>;

    /// Writes one step of the sealer, durably, or nothing. A place of the journal is never given to another
    /// event. Of the checkpoints within a bundle that lies [`ALL_CHECKPOINTS`] entries back only the last stays.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the fence is not the newest of its lease, the log does not stand at `from`, or one of the places is
    /// not in the journal.
    async fn seal(&self, fence: &Fence, sealing: Sealing) -> Result<(), StoreError>;

    /// Replaces the personal data of a bundle, and counts it in [`LogHead::erasures`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the personal data is not what `from` says, or the bundle is not there.
    async fn erase(&self, number: u64, from: &[u8], to: Vec<u8>) -> Result<(), StoreError>;

    /// Removes the whole bundles below this number, with their tiles of level 0 and the checkpoints that end before them; gives how many.
    /// What is left proves itself still: the last checkpoint stays, and so does a last bundle that is not whole. The place of a reader
    /// who has not read as far is forgotten: there is nobody of that name any more. All in one transaction, for which others wait: of
    /// a long log a little at a time, as [`retention::prune`](crate::audit::retention::prune) does.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the fence is not the newest of its lease.
    async fn prune(&self, fence: &Fence, below: u64) -> Result<u64, StoreError>;

    /// How many entries this reader has done with; 0 if it never read.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn cursor(&self, reader: &ReaderName) -> Result<u64, StoreError>;

    /// Moves a reader's place.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the fence is not the newest of its lease.
    async fn advance(&self, fence: &Fence, reader: &ReaderName, to: u64) -> Result<(), StoreError>;
}
