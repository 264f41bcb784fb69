//! What one transaction does: takes in, one after the other, the batches that fit, or sweeps.

use rusqlite::Connection;

use super::statements;
use crate::store::sql::row::Write;
use crate::time::Timestamp;

/// The least write there is.
const PROBE: &str = "UPDATE seaql_migrations SET applied_at = applied_at";
/// As many pages as a question takes with its event: what needs less may still find room on a disk where no question does.
const PROBE_ROOM: &str = "INSERT INTO documents (collection, key, revision, bytes)
    VALUES ('probe', 'room', 1, randomblob(40000))
    ON CONFLICT (collection, key) DO UPDATE SET revision = revision + 1, bytes = randomblob(40000)";

/// What is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    pub(super) now: Timestamp,
    pub(super) settled_before: Timestamp,
    pub(super) limit: u32,
}

/// What became of a group.
#[derive(Debug)]
pub(super) struct Done {
    /// For each batch, whether it was written; else it was a conflict.
    pub(super) admitted: Vec<bool>,
    /// Whether there was anything to commit.
    pub(super) committed: bool,
}

/// Commits what fits of the group. After an error nothing is promised: the connection is to be thrown away.
pub(super) fn group(connection: &Connection, writes: &[Write], ailing: bool) -> rusqlite::Result<Done> {
    statements::begin(connection)?;
    let admitted = writes.iter().map(|write| admit(connection, write)).collect::<rusqlite::Result<Vec<_>>>()?;
    let committed = admitted.contains(&true);
    if committed {
        if writes.iter().any(|write| write.probe) {
            connection.execute(if ailing { PROBE_ROOM } else { PROBE }, [])?;
        }
        statements::commit(connection)?;
    } else {
        statements::roll_back(connection)?;
    }
    Ok(Done { admitted, committed })
}

/// Writes a batch if every change fits what stands now; else leaves everything as it is.
fn admit(connection: &Connection, write: &Write) -> rusqlite::Result<bool> {
    let fits = match &write.changes[..] {
        [] => true,
        [one] => statements::write(connection, one)?,
        several => {
            for change in several {
                // Before the first is written: each is judged by what stood before the batch.
                if !statements::fits(connection, change)? {
                    return Ok(false);
                }
            }
            for change in several {
                // As no two are about one thing, what fits is written; were it not, nothing of the group would be.
                if !statements::write(connection, change)? {
                    return Err(rusqlite::Error::QueryReturnedNoRows);
                }
            }
            true
        }
    };
    if fits {
        for event in &write.events {
            statements::record(connection, event)?;
        }
    }
    Ok(fits)
}

/// Removes what is over; gives how many rows went.
pub(super) fn sweep(connection: &Connection, sweep: Sweep) -> rusqlite::Result<u64> {
    statements::begin(connection)?;
    let documents = statements::sweep_documents(connection, sweep.now, sweep.limit)?;
    let challenges = statements::sweep_challenges(connection, sweep.settled_before, sweep.limit)?;
    statements::commit(connection)?;
    Ok((documents + challenges) as u64)
}
