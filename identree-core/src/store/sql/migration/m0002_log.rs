//! The sealed log and the leases.
//!
//! Pieces of the log are replaced as a whole and found by their place. The head is one row, there from the beginning, so that a seal
//! is one conditional update.

use sea_orm_migration::prelude::*;

use super::super::dialect;

pub(super) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0002_log"
    }
}

const TABLES: [&str; 7] = [
    "CREATE TABLE log_head (
        one $int PRIMARY KEY CHECK (one = 1),
        size $int NOT NULL,
        root $bytes NOT NULL,
        erasures $int NOT NULL)",
    "INSERT INTO log_head (one, size, root, erasures)
        VALUES (1, 0, $empty_root, 0)",
    "CREATE TABLE log_bundles (
        number $int PRIMARY KEY,
        entries $bytes NOT NULL,
        personal $bytes NOT NULL)",
    "CREATE TABLE log_tiles (
        level $int NOT NULL,
        number $int NOT NULL,
        hashes $bytes NOT NULL,
        PRIMARY KEY (level, number)) $by_key",
    "CREATE TABLE log_checkpoints (
        size $int PRIMARY KEY,
        at_ms $int NOT NULL,
        note TEXT NOT NULL)",
    "CREATE TABLE log_cursors (
        reader TEXT PRIMARY KEY,
        entries $int NOT NULL) $by_key",
    "CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        number $int NOT NULL,
        until_ms $int NOT NULL) $by_key",
];

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true) // without it a failing step would leave half a schema behind on SQLite
    }

    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro tells the two apart")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            let table = dialect::table(table, manager.get_database_backend());
            manager.get_connection().execute_unprepared(&table).await?;
        }
        Ok(())
    }
}
