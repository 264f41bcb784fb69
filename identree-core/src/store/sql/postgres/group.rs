//! One transaction for what many want written: each batch as a whole or not at all, and none harmed by another's conflict.

use std::collections::HashSet;

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{Connection as _, Result};

use super::super::row::{ChallengeRow, RowChange, Write};
use super::nudges::Channel;
use super::statements::{self, DocumentRow};
use crate::store::DocumentKey;

/// A write that meets nobody else's and leaves nothing.
const PROBE: [&str; 2] = [
    "INSERT INTO documents (collection, key, revision, expires_at_ms, bytes)
        VALUES ('probe', pg_current_xact_id()::text, 1, 0, '')",
    "DELETE FROM documents WHERE collection = 'probe' AND key = pg_current_xact_id()::text",
];

/// What a change is about.
#[derive(Debug, PartialEq, Eq, Hash)]
enum About<'a> {
    Question(&'a [u8]),
    Document(&'a DocumentKey),
}

fn about(change: &RowChange) -> About<'_> {
    match change {
        RowChange::Open(row) | RowChange::Advance(row) => About::Question(row.id()),
        RowChange::Forget(id) => About::Question(id.as_bytes()),
        RowChange::Document { key, .. } => About::Document(key),
    }
}

/// For each write whether it may go into one transaction with those before it that may: no two are about one thing, so that each row
/// changes once.
pub(super) fn apart(writes: &[&Write]) -> Vec<bool> {
    let mut taken = HashSet::new();
    writes
        .iter()
        .map(|write| {
            let free = write.changes.iter().all(|change| !taken.contains(&about(change)));
            if free {
                taken.extend(write.changes.iter().map(about));
            }
            free
        })
        .collect()
}

/// The changes of a group by sort, each with the number of its batch. In the order of their keys: two groups that meet wait for each
/// other in the same order.
#[derive(Default)]
struct Sorted<'a> {
    opens: Vec<(usize, &'a ChallengeRow)>,
    advances: Vec<(usize, &'a ChallengeRow)>,
    forgets: Vec<&'a [u8]>,
    inserts: Vec<(usize, DocumentRow<'a>)>,
    updates: Vec<(usize, DocumentRow<'a>)>,
    removes: Vec<(usize, DocumentRow<'a>)>,
    absents: Vec<(usize, DocumentRow<'a>)>,
}

impl<'a> Sorted<'a> {
    fn of(writes: &[&'a Write], left: &[usize]) -> Self {
        let mut sorted = Self::default();
        for at in left {
            for change in &writes[*at].changes {
                sorted.push(*at, change);
            }
        }
        sorted.opens.sort_unstable_by_key(|(_, row)| row.id());
        sorted.advances.sort_unstable_by_key(|(_, row)| row.id());
        sorted.forgets.sort_unstable();
        for rows in [&mut sorted.inserts, &mut sorted.updates, &mut sorted.removes] {
            rows.sort_unstable_by_key(|(_, row)| row.key);
        }
        sorted
    }

    fn push(&mut self, at: usize, change: &'a RowChange) {
        match change {
            RowChange::Open(row) => self.opens.push((at, row)),
            RowChange::Advance(row) => self.advances.push((at, row)),
            RowChange::Forget(id) => self.forgets.push(id.as_bytes()),
            RowChange::Document { key, expect, put } => {
                let rows = match (expect, put) {
                    (None, Some(_)) => &mut self.inserts,
                    (Some(_), Some(_)) => &mut self.updates,
                    (Some(_), None) => &mut self.removes,
                    (None, None) => &mut self.absents,
                };
                rows.push((at, DocumentRow { key, expect: *expect, put: put.as_ref() }));
            }
        }
    }

    /// Writes all that fits; gives the batches that had something that does not.
    async fn write(&self, connection: &mut PgConnection) -> Result<HashSet<usize>> {
        let mut misfits = HashSet::new();
        if !self.opens.is_empty() {
            let fitted = statements::open(connection, &rows(&self.opens)).await?;
            misfits.extend(unfit(&self.opens, |row| fitted.contains(row.id())));
        }
        if !self.advances.is_empty() {
            let fitted = statements::advance(connection, &rows(&self.advances)).await?;
            misfits.extend(unfit(&self.advances, |row| fitted.contains(row.id())));
        }
        if !self.forgets.is_empty() {
            statements::forget(connection, self.forgets.clone()).await?;
        }
        let key = |row: DocumentRow<'_>| (row.key.collection.0.to_owned(), row.key.key.to_string());
        if !self.inserts.is_empty() {
            let fitted = statements::insert(connection, &rows(&self.inserts)).await?;
            misfits.extend(unfit(&self.inserts, |row| fitted.contains(&key(row))));
        }
        if !self.updates.is_empty() {
            let fitted = statements::update(connection, &rows(&self.updates)).await?;
            misfits.extend(unfit(&self.updates, |row| fitted.contains(&key(row))));
        }
        if !self.removes.is_empty() {
            let fitted = statements::remove(connection, &rows(&self.removes)).await?;
            misfits.extend(unfit(&self.removes, |row| fitted.contains(&key(row))));
        }
        if !self.absents.is_empty() {
            let fitted = statements::absent(connection, &rows(&self.absents)).await?;
            misfits.extend(unfit(&self.absents, |row| fitted.contains(&key(row))));
        }
        Ok(misfits)
    }
}

fn rows<R: Copy>(of: &[(usize, R)]) -> Vec<R> {
    of.iter().map(|(_, row)| *row).collect()
}

fn unfit<R: Copy>(of: &[(usize, R)], fitted: impl Fn(R) -> bool) -> impl Iterator<Item = usize> {
    of.iter().filter(move |(_, row)| !fitted(*row)).map(|(at, _)| *at)
}

/// Commits what fits of a group in which no two writes are about one thing; for each whether it did. After an error nothing is promised:
/// the connection is to be thrown away.
pub(super) async fn commit(connection: &mut PgConnection, writes: &[&Write], tell: &Channel) -> Result<Vec<bool>> {
    let mut left: Vec<usize> = (0..writes.len()).collect();
    while !left.is_empty() {
        let mut transaction = connection.begin().await?;
        let misfits = Sorted::of(writes, &left).write(&mut transaction).await?;
        // What such a batch has written is to be taken back, and with it the others', who begin anew without it. What else does not fit
        // has written nothing.
        if misfits.iter().any(|at| writes[*at].changes.len() > 1) {
            transaction.rollback().await?;
            left.retain(|at| !misfits.contains(at) || writes[*at].changes.len() == 1);
            continue;
        }
        left.retain(|at| !misfits.contains(at));
        if left.is_empty() {
            transaction.rollback().await?;
            break;
        }
        let admitted: Vec<&Write> = left.iter().map(|at| writes[*at]).collect();
        let events: Vec<_> = admitted.iter().flat_map(|write| &write.events).collect();
        let payloads = tell.payloads(admitted.iter().flat_map(|write| &write.changes));
        if !events.is_empty() || !payloads.is_empty() {
            statements::record(&mut transaction, &events, tell.name(), payloads).await?;
        }
        if admitted.iter().any(|write| write.probe) {
            for statement in PROBE {
                sea_orm::sqlx::query(statement).execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await?;
        break;
    }
    let admitted: HashSet<usize> = left.into_iter().collect();
    Ok((0..writes.len()).map(|at| admitted.contains(&at)).collect())
}
