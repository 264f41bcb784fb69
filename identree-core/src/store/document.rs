//! Small things kept by key.

use crate::time::Timestamp;

/// A family of documents: `hosts`, `people`, `web-sessions`. A literal, so that the list of families is in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Collection(pub &'static str);

/// Where a document is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    /// Its family.
    pub collection: Collection,
    /// Its name there, at most 512 bytes. Whatever is secret is hashed before it becomes a key.
    pub key: Box<str>,
}

impl DocumentKey {
    /// A key.
    pub fn new(collection: Collection, key: impl Into<Box<str>>) -> Self {
        Self { collection, key: key.into() }
    }
}

/// A document as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name within the collection.
    pub key: Box<str>,
    /// 1 when first written, one more with each change.
    pub revision: u64,
    /// When it ceases to exist, if ever.
    pub expires_at: Option<Timestamp>,
    /// What it holds.
    pub bytes: Vec<u8>,
}
