//! Questions, documents, journal.
//!
//! Every row is found by its integer `seq`, which also is the order of writing. Whole records are one JSON text; the other
//! columns exist to find them, and each index costs at every commit: a question is found by id, by code, by who asked, and
//! by being settled (which lists those that wait, NULL, and those to sweep).

use sea_orm_migration::prelude::*;

use super::super::dialect;

pub(super) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0001_start"
    }
}

const TABLES: [&str; 7] = [
    "CREATE TABLE challenges (
        seq $seq,
        id $bytes NOT NULL UNIQUE,
        code TEXT NOT NULL,
        requester TEXT NOT NULL,
        settled_at_ms $int,
        revision $int NOT NULL,
        record TEXT NOT NULL)",
    "CREATE INDEX challenges_code ON challenges (code)",
    "CREATE INDEX challenges_requester ON challenges (requester)",
    "CREATE INDEX challenges_settled ON challenges (settled_at_ms)",
    "CREATE TABLE documents (
        seq $seq,
        collection TEXT NOT NULL,
        key TEXT NOT NULL,
        revision $int NOT NULL,
        expires_at_ms $int,
        bytes $bytes NOT NULL)",
    "CREATE UNIQUE INDEX documents_key ON documents (collection, key)",
    "CREATE INDEX documents_end ON documents (expires_at_ms) WHERE expires_at_ms IS NOT NULL",
];

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true) // without it a failing step would leave half a schema behind on SQLite
    }

    #[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro tells the two apart")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let tables = TABLES.iter().map(|table| dialect::table(table, backend)).chain(dialect::journal(backend));
        for table in tables {
            manager.get_connection().execute_unprepared(&table).await?;
        }
        Ok(())
    }
}
