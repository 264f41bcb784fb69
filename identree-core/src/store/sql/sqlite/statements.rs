//! The hot statements, by hand, over the one connection that writes. Each stays prepared.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::sql::row::{ChallengeRow, EventRow, RowChange};
use crate::store::{DocumentKey, Put};
use crate::time::Timestamp;

type Result<T> = rusqlite::Result<T>;

/// As many as are below, so that none is prepared twice.
pub(super) const COUNT: usize = 20;

/// Begins a transaction that writes: other processes that do so wait.
pub(super) fn begin(connection: &Connection) -> Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
}

/// Ends it: what was written is durable when this returns.
pub(super) fn commit(connection: &Connection) -> Result<()> {
    connection.prepare_cached("COMMIT")?.execute([]).map(drop)
}

/// Ends it as if it had never begun.
pub(super) fn roll_back(connection: &Connection) -> Result<()> {
    connection.prepare_cached("ROLLBACK")?.execute([]).map(drop)
}

/// Whether a change fits what stands now.
pub(super) fn fits(connection: &Connection, change: &RowChange) -> Result<bool> {
    Ok(match change {
        RowChange::Open(row) => question(connection, row.id())?.is_none(),
        RowChange::Advance(row) => question(connection, row.id())? == Some(row.revision - 1),
        RowChange::Forget(_) => true,
        RowChange::Document { key, expect, .. } => document(connection, key)? == *expect,
    })
}

/// Writes a change if it fits what stands now; else writes nothing and says so.
pub(super) fn write(connection: &Connection, change: &RowChange) -> Result<bool> {
    let rows = match change {
        RowChange::Open(row) => open(connection, row)?,
        RowChange::Advance(row) => advance(connection, row)?,
        RowChange::Forget(id) => {
            connection.prepare_cached("DELETE FROM challenges WHERE id = ?")?.execute([&id.as_bytes()[..]])?;
            return Ok(true);
        }
        RowChange::Document { key, expect, put } => match (expect, put) {
            (None, Some(put)) => insert(connection, key, put)?,
            (Some(revision), Some(put)) => update(connection, key, *revision, put)?,
            (Some(revision), None) => remove(connection, key, *revision)?,
            // Removing what must not be there.
            (None, None) => return Ok(document(connection, key)?.is_none()),
        },
    };
    Ok(rows == 1)
}

/// Appends an event to the journal.
pub(super) fn record(connection: &Connection, event: &EventRow) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO journal (id, event) VALUES (?, ?)")?
        .execute(params![&event.id.as_bytes()[..], event.json])
        .map(drop)
}

fn question(connection: &Connection, id: &[u8]) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT revision FROM challenges WHERE id = ?")?
        .query_one([id], |row| row.get(0))
        .optional()
}

fn document(connection: &Connection, key: &DocumentKey) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT revision FROM documents WHERE collection = ? AND key = ?")?
        .query_one(params![key.collection.0, key.key], |row| row.get(0))
        .optional()
}

fn open(connection: &Connection, row: &ChallengeRow) -> Result<usize> {
    let question = row.record.question();
    connection
        .prepare_cached(
            "INSERT INTO challenges (id, code, requester, settled_at_ms, revision, record) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            row.id(),
            question.code.as_str(),
            question.requester.as_str(),
            row.settled_at_ms(),
            row.revision,
            row.json
        ])
}

fn advance(connection: &Connection, row: &ChallengeRow) -> Result<usize> {
    connection
        .prepare_cached(
            "UPDATE challenges SET settled_at_ms = ?, revision = ?, record = ? WHERE id = ? AND revision = ? - 1",
        )?
        .execute(params![row.settled_at_ms(), row.revision, row.json, row.id(), row.revision])
}

fn insert(connection: &Connection, key: &DocumentKey, put: &Put) -> Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO documents (collection, key, revision, expires_at_ms, bytes) VALUES (?, ?, 1, ?, ?)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![key.collection.0, key.key, put.expires_at.map(Timestamp::as_millis), put.bytes])
}

fn update(connection: &Connection, key: &DocumentKey, revision: i64, put: &Put) -> Result<usize> {
    connection
        .prepare_cached(
            "UPDATE documents SET revision = revision + 1, expires_at_ms = ?, bytes = ?
             WHERE collection = ? AND key = ? AND revision = ?",
        )?
        .execute(params![put.expires_at.map(Timestamp::as_millis), put.bytes, key.collection.0, key.key, revision])
}

fn remove(connection: &Connection, key: &DocumentKey, revision: i64) -> Result<usize> {
    connection
        .prepare_cached("DELETE FROM documents WHERE collection = ? AND key = ? AND revision = ?")?
        .execute(params![key.collection.0, key.key, revision])
}

/// Documents that ended before `now`, at most `limit`; gives how many went.
pub(super) fn sweep_documents(connection: &Connection, now: Timestamp, limit: u32) -> Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM documents WHERE seq IN
             (SELECT seq FROM documents WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?)",
        )?
        .execute(params![now.as_millis(), limit])
}

/// Questions settled before this, at most `limit`; gives how many went.
pub(super) fn sweep_challenges(connection: &Connection, settled_before: Timestamp, limit: u32) -> Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM challenges WHERE seq IN
             (SELECT seq FROM challenges WHERE settled_at_ms < ? ORDER BY settled_at_ms LIMIT ?)",
        )?
        .execute(params![settled_before.as_millis(), limit])
}
