//! The hot statements, by hand: each writes the rows of a whole group, and tells which of them fitted. Each stays prepared.

use std::collections::HashSet;

use sea_orm::sqlx::postgres::{PgArguments, PgConnection};
use sea_orm::sqlx::query::{QueryAs, QueryScalar};
use sea_orm::sqlx::{self, Postgres, Result};

use super::super::row::{ChallengeRow, EventRow};
use crate::store::{DocumentKey, Put};
use crate::time::Timestamp;

/// The ids of questions.
pub(super) type Ids = HashSet<Vec<u8>>;
/// Collections and keys of documents.
pub(super) type Keys = HashSet<(String, String)>;

/// A document's change.
#[derive(Debug, Clone, Copy)]
pub(super) struct DocumentRow<'a> {
    pub(super) key: &'a DocumentKey,
    pub(super) expect: Option<i64>,
    pub(super) put: Option<&'a Put>,
}

const OPEN: &str = "INSERT INTO challenges (id, code, requester, settled_at_ms, revision, record)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
    ON CONFLICT (id) DO NOTHING RETURNING id";
const ADVANCE: &str =
    "UPDATE challenges c SET settled_at_ms = n.settled_at_ms, revision = n.revision, record = n.record
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::text[]) AS n (id, settled_at_ms, revision, record)
    WHERE c.id = n.id AND c.revision = n.revision - 1 RETURNING c.id";
const FORGET: &str = "DELETE FROM challenges WHERE id = ANY($1::bytea[])";
const INSERT: &str = "INSERT INTO documents (collection, key, revision, expires_at_ms, bytes)
    SELECT n.collection, n.key, 1, n.expires_at_ms, n.bytes
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) AS n (collection, key, expires_at_ms, bytes)
    ON CONFLICT (collection, key) DO NOTHING RETURNING collection, key";
const UPDATE: &str =
    "UPDATE documents d SET revision = d.revision + 1, expires_at_ms = n.expires_at_ms, bytes = n.bytes
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bigint[])
        AS n (collection, key, expires_at_ms, bytes, expect)
    WHERE d.collection = n.collection AND d.key = n.key AND d.revision = n.expect RETURNING d.collection, d.key";
const REMOVE: &str =
    "DELETE FROM documents d USING unnest($1::text[], $2::text[], $3::bigint[]) AS n (collection, key, expect)
    WHERE d.collection = n.collection AND d.key = n.key AND d.revision = n.expect RETURNING d.collection, d.key";
const ABSENT: &str = "SELECT n.collection, n.key FROM unnest($1::text[], $2::text[]) AS n (collection, key)
    WHERE NOT EXISTS (SELECT FROM documents d WHERE d.collection = n.collection AND d.key = n.key)";
/// Events get the places of one block, in order; then others are told, once all of it is committed.
const RECORD: &str = "WITH block AS MATERIALIZED (SELECT nextval('journal_places') AS start),
    written AS (INSERT INTO journal (seq, id, event) SELECT block.start + e.at, e.id, e.event
        FROM block, unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS e (id, event, at))
    SELECT pg_notify($3, payload) FROM unnest($4::text[]) AS payload";

/// Opens questions; gives those that did not exist.
pub(super) async fn open(connection: &mut PgConnection, rows: &[&ChallengeRow]) -> Result<Ids> {
    let query = sqlx::query_scalar(OPEN)
        .bind(column(rows, ChallengeRow::id))
        .bind(column(rows, |row| row.record.question().code.as_str()))
        .bind(column(rows, |row| row.record.question().requester.as_str()))
        .bind(column(rows, ChallengeRow::settled_at_ms))
        .bind(column(rows, |row| row.revision))
        .bind(column(rows, |row| row.json.as_str()));
    ids(connection, query).await
}

/// Advances questions; gives those that stood just below.
pub(super) async fn advance(connection: &mut PgConnection, rows: &[&ChallengeRow]) -> Result<Ids> {
    let query = sqlx::query_scalar(ADVANCE)
        .bind(column(rows, ChallengeRow::id))
        .bind(column(rows, ChallengeRow::settled_at_ms))
        .bind(column(rows, |row| row.revision))
        .bind(column(rows, |row| row.json.as_str()));
    ids(connection, query).await
}

/// Removes questions, whether they are there or not.
pub(super) async fn forget(connection: &mut PgConnection, ids: Vec<&[u8]>) -> Result<()> {
    sqlx::query(FORGET).bind(ids).execute(connection).await.map(drop)
}

/// Writes new documents; gives those that did not exist.
pub(super) async fn insert(connection: &mut PgConnection, rows: &[DocumentRow<'_>]) -> Result<Keys> {
    keys(connection, written(INSERT, rows)).await
}

/// Writes documents anew; gives those that stood at the revision expected.
pub(super) async fn update(connection: &mut PgConnection, rows: &[DocumentRow<'_>]) -> Result<Keys> {
    keys(connection, written(UPDATE, rows).bind(column(rows, |row| row.expect))).await
}

/// Removes documents; gives those that stood at the revision expected.
pub(super) async fn remove(connection: &mut PgConnection, rows: &[DocumentRow<'_>]) -> Result<Keys> {
    keys(connection, named(REMOVE, rows).bind(column(rows, |row| row.expect))).await
}

/// Gives those of the documents that do not exist.
pub(super) async fn absent(connection: &mut PgConnection, rows: &[DocumentRow<'_>]) -> Result<Keys> {
    keys(connection, named(ABSENT, rows)).await
}

/// Appends events to the journal, and tells other servers over `channel`, once it is committed.
pub(super) async fn record(
    connection: &mut PgConnection,
    events: &[&EventRow],
    channel: &str,
    payloads: Vec<String>,
) -> Result<()> {
    let query = sqlx::query(RECORD)
        .bind(column(events, |event| &event.id.as_bytes()[..]))
        .bind(column(events, |event| event.json.as_str()))
        .bind(channel)
        .bind(payloads);
    query.execute(connection).await.map(drop)
}

fn column<R: Copy, C>(rows: &[R], of: impl Fn(R) -> C) -> Vec<C> {
    rows.iter().map(|row| of(*row)).collect()
}

type Found = QueryAs<'static, Postgres, (String, String), PgArguments>;

fn named(statement: &'static str, rows: &[DocumentRow<'_>]) -> Found {
    sqlx::query_as(statement)
        .bind(column(rows, |row| row.key.collection.0))
        .bind(column(rows, |row| row.key.key.to_string()))
}

fn written(statement: &'static str, rows: &[DocumentRow<'_>]) -> Found {
    let end = |row: DocumentRow<'_>| row.put.and_then(|put| put.expires_at).map(Timestamp::as_millis);
    named(statement, rows).bind(column(rows, end)).bind(column(rows, |row| row.put.map(|put| put.bytes.clone())))
}

async fn ids(connection: &mut PgConnection, query: QueryScalar<'_, Postgres, Vec<u8>, PgArguments>) -> Result<Ids> {
    Ok(query.fetch_all(connection).await?.into_iter().collect())
}

async fn keys(connection: &mut PgConnection, query: Found) -> Result<Keys> {
    Ok(query.fetch_all(connection).await?.into_iter().collect())
}
