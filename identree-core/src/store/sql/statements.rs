//! The hot statements, by hand: each handles many rows, so that a group costs a handful of calls whatever its size.

use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use sea_orm::sqlx::{self, AssertSqlSafe, Row};

use super::group::{Group, Net};
use super::row::EventRow;
use crate::store::DocumentKey;
use crate::text::hex;

/// Rows per statement: few different texts, so that all of them stay prepared, and few statements for any number of rows,
/// since each is a way to the database's thread and back.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Runs `before (?, …), (?, …) after` over all rows.
async fn rows<T>(
    connection: &mut SqliteConnection,
    (before, tuple, after): (&str, &str, &str),
    mut rows: &[T],
    bind: impl for<'q> Fn(Bound<'q>, &T) -> Bound<'q>,
) -> sqlx::Result<()> {
    for size in SIZES {
        while rows.len() >= size {
            let (now, rest) = rows.split_at(size);
            rows = rest;
            let values = vec![tuple; size].join(", ");
            // Safe: made of the literals below, every value is bound.
            let statement = sqlx::query(AssertSqlSafe(format!("{before} {values} {after}")));
            now.iter().fold(statement, &bind).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Keys as `[["hosts","web-1"], …]`.
fn keys_json<'a>(keys: impl Iterator<Item = &'a DocumentKey>) -> String {
    serde_json::Value::from_iter(keys.map(|key| serde_json::Value::from_iter([key.collection.0, &*key.key])))
        .to_string()
}

/// Looks up what stands at every key of the group.
pub(super) async fn look_up(connection: &mut SqliteConnection, group: &mut Group) -> sqlx::Result<()> {
    let place = |at: i64| usize::try_from(at).unwrap_or(usize::MAX);
    if group.ids().len() > 0 {
        let ids = serde_json::Value::from_iter(group.ids().map(|id| hex(id.as_bytes()))).to_string();
        let found = sqlx::query(
            "SELECT asked.key, stored.seq, stored.revision
             FROM json_each(?) AS asked CROSS JOIN challenges AS stored ON stored.id = unhex(asked.value)",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?;
        for row in found {
            group.question_stands(place(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
        }
    }
    if group.keys().len() > 0 {
        let found = sqlx::query(
            "SELECT asked.key, stored.revision FROM json_each(?) AS asked CROSS JOIN documents AS stored
             ON stored.collection = asked.value ->> 0 AND stored.key = asked.value ->> 1",
        )
        .bind(keys_json(group.keys()))
        .fetch_all(&mut *connection)
        .await?;
        for row in found {
            group.document_stands(place(row.try_get(0)?), row.try_get(1)?);
        }
    }
    Ok(())
}

/// Writes what the group comes to, and its events in order.
pub(super) async fn apply(connection: &mut SqliteConnection, net: &Net, events: &[EventRow]) -> sqlx::Result<()> {
    if !net.forget.is_empty() {
        sqlx::query("DELETE FROM challenges WHERE seq IN (SELECT value FROM json_each(?))")
            .bind(serde_json::Value::from_iter(net.forget.iter().copied()).to_string())
            .execute(&mut *connection)
            .await?;
    }
    let open = (
        "INSERT INTO challenges (id, code, requester, settled_at_ms, revision, record) VALUES",
        "(?, ?, ?, ?, ?, ?)",
        "",
    );
    rows(connection, open, &net.open, |statement, row| {
        statement
            .bind(row.id.as_bytes().to_vec())
            .bind(row.code.clone())
            .bind(row.requester.clone())
            .bind(row.settled_at_ms)
            .bind(row.revision)
            .bind(row.json.clone())
    })
    .await?;
    let advance = (
        "WITH next (seq, settled_at_ms, revision, record) AS (VALUES",
        "(?, ?, ?, ?)",
        ") UPDATE challenges
           SET settled_at_ms = next.settled_at_ms, revision = next.revision, record = next.record
           FROM next WHERE challenges.seq = next.seq",
    );
    rows(connection, advance, &net.advance, |statement, (seq, row)| {
        statement.bind(*seq).bind(row.settled_at_ms).bind(row.revision).bind(row.json.clone())
    })
    .await?;
    let put = (
        "INSERT INTO documents (collection, key, revision, expires_at_ms, bytes) VALUES",
        "(?, ?, ?, ?, ?)",
        "ON CONFLICT (collection, key) DO UPDATE
         SET revision = excluded.revision, expires_at_ms = excluded.expires_at_ms, bytes = excluded.bytes",
    );
    rows(connection, put, &net.put, |statement, (key, revision, put)| {
        statement
            .bind(key.collection.0)
            .bind(key.key.to_string())
            .bind(*revision)
            .bind(put.expires_at.map(crate::time::Timestamp::as_millis))
            .bind(put.bytes.clone())
    })
    .await?;
    if !net.remove.is_empty() {
        sqlx::query(
            "DELETE FROM documents WHERE (collection, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        )
        .bind(keys_json(net.remove.iter()))
        .execute(&mut *connection)
        .await?;
    }
    let journal = ("INSERT INTO journal (id, event) VALUES", "(?, ?)", "");
    rows(connection, journal, events, |statement, event| statement.bind(event.id.clone()).bind(event.json.clone()))
        .await
}
