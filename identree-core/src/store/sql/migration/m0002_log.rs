//! The sealed log and the leases.
//!
//! Pieces of the log are replaced as a whole and found by their place. The head is one row, there from the beginning, so that a seal
//! is one conditional update.

use sea_orm_migration::prelude::*;

pub(super) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0002_log"
    }
}

const TABLES: [&str; 7] = [
    "CREATE TABLE log_head (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        erasures INTEGER NOT NULL)",
    // The root of the empty tree is the SHA-256 of nothing (RFC 6962, section 2.1).
    "INSERT INTO log_head (only, size, root, erasures)
        VALUES (1, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0)",
    "CREATE TABLE log_bundles (
        number INTEGER PRIMARY KEY,
        entries BLOB NOT NULL,
        personal BLOB NOT NULL)",
    "CREATE TABLE log_tiles (
        level INTEGER NOT NULL,
        number INTEGER NOT NULL,
        hashes BLOB NOT NULL,
        PRIMARY KEY (level, number)) WITHOUT ROWID",
    "CREATE TABLE log_checkpoints (
        size INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        note TEXT NOT NULL)",
    "CREATE TABLE log_cursors (
        reader TEXT PRIMARY KEY,
        entries INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        number INTEGER NOT NULL,
        until_ms INTEGER NOT NULL) WITHOUT ROWID",
];

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true) // without it a failing step would leave half a schema behind on SQLite
    }

    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro tells the two apart")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.get_connection().execute_unprepared(table).await?;
        }
        Ok(())
    }
}
