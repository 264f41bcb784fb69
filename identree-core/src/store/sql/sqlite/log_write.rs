//! What is written of the log and of the leases, over the one connection that writes. Several writes of a moment share one
//! transaction; each of them is done as a whole or not at all.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::statements;
use crate::store::{ALL_CHECKPOINTS, Fence, LeaseName, LogHead, ReaderName, ReplicaId, Sealing, TILE};

type Result<T> = rusqlite::Result<T>;

/// As many statements as are below, so that none is prepared twice.
pub(super) const COUNT: usize = 22;
/// SQLite's clock, in milliseconds; one moment throughout a statement.
const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
/// The size of a page of the database.
const PAGE: usize = 4096;

/// One write.
#[derive(Debug)]
pub(super) enum LogWrite {
    Seal(Fence, Box<Sealing>),
    Erase { number: u64, from: Vec<u8>, to: Vec<u8> },
    Prune { fence: Fence, below: u64 },
    Advance { fence: Fence, reader: ReaderName, to: u64 },
    Hold { lease: LeaseName, holder: ReplicaId, ttl: Duration },
    Release(Fence),
}

impl LogWrite {
    /// About how many pages it writes.
    pub(super) fn pages(&self) -> u64 {
        let bytes = match self {
            Self::Seal(_, sealing) => {
                let bundles = sealing.bundles.iter().map(|bundle| bundle.entries.len() + bundle.personal.len());
                bundles.chain(sealing.tiles.iter().map(|tile| tile.hashes.len())).map(|bytes| bytes + PAGE).sum()
            }
            Self::Erase { to, .. } => to.len(),
            _ => 0,
        };
        1 + (bytes / PAGE) as u64
    }

    /// Writes it; `None` if it does not fit what stands: then what it may have written is to be taken back.
    fn apply(&self, connection: &Connection) -> Result<Option<u64>> {
        match self {
            Self::Seal(fence, sealing) if is_newest(connection, fence)? => seal(connection, sealing),
            Self::Prune { fence, below } if is_newest(connection, fence)? => prune(connection, *below).map(Some),
            Self::Advance { fence, reader, to } if is_newest(connection, fence)? => advance(connection, reader, *to),
            Self::Seal(..) | Self::Prune { .. } | Self::Advance { .. } => Ok(None),
            Self::Erase { number, from, to } => erase(connection, *number, [from, to]),
            Self::Hold { lease, holder, ttl } => hold(connection, lease, holder, *ttl),
            Self::Release(fence) => release(connection, fence).map(Some),
        }
    }
}

/// Does all of it in one transaction; for each what it gives, or `None` if it did not fit. After an error nothing is promised: the
/// connection is to be thrown away.
pub(super) fn all<'a>(connection: &Connection, writes: impl Iterator<Item = &'a LogWrite>) -> Result<Vec<Option<u64>>> {
    let run = |statement| connection.prepare_cached(statement)?.execute([]).map(drop);
    statements::begin(connection)?;
    let mut done = Vec::new();
    for write in writes {
        run("SAVEPOINT one")?;
        let fitted = write.apply(connection)?;
        if fitted.is_none() {
            run("ROLLBACK TO one")?;
        }
        run("RELEASE one")?;
        done.push(fitted);
    }
    statements::commit(connection)?;
    Ok(done)
}

/// A number as the database has it.
fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A number that the database cannot have below 0.
fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))
}

fn is_newest(connection: &Connection, fence: &Fence) -> Result<bool> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT number FROM leases WHERE name = ?")?
        .query_one([&fence.lease.0], |row| row.get(0))
        .optional()?;
    Ok(newest.is_some() && newest == i64::try_from(fence.number).ok())
}

fn seal(connection: &Connection, sealing: &Sealing) -> Result<Option<u64>> {
    if !move_head(connection, &sealing.from, &sealing.to)? || !leave_journal(connection, &sealing.places)? {
        return Ok(None);
    }
    for bundle in &sealing.bundles {
        connection
            .prepare_cached("REPLACE INTO log_bundles (number, entries, personal) VALUES (?, ?, ?)")?
            .execute(params![signed(bundle.number)?, bundle.entries, bundle.personal])?;
    }
    for tile in &sealing.tiles {
        connection
            .prepare_cached("REPLACE INTO log_tiles (level, number, hashes) VALUES (?, ?, ?)")?
            .execute(params![tile.level, signed(tile.number)?, tile.hashes])?;
    }
    thin(connection, sealing.from.size, sealing.to.size)?;
    if let Some(checkpoint) = &sealing.checkpoint {
        connection
            .prepare_cached("REPLACE INTO log_checkpoints (size, at_ms, note) VALUES (?, ?, ?)")?
            .execute(params![signed(checkpoint.size)?, checkpoint.at.as_millis(), checkpoint.note])?;
    }
    Ok(Some(0))
}

/// Of the checkpoints in bundles that this has moved far enough back only the last of each bundle stays.
fn thin(connection: &Connection, from: u64, to: u64) -> Result<()> {
    let whole = |size: u64| signed(size.saturating_sub(ALL_CHECKPOINTS) / TILE * TILE);
    let (from, to) = (whole(from)?, whole(to)?);
    if from == to {
        return Ok(());
    }
    connection
        .prepare_cached(
            "DELETE FROM log_checkpoints WHERE size > ?1 AND size <= ?2 AND EXISTS (
                 SELECT 1 FROM log_checkpoints later
                 WHERE later.size > log_checkpoints.size AND later.size <= (log_checkpoints.size + ?3 - 1) / ?3 * ?3)",
        )?
        .execute([from, to, signed(TILE)?])
        .map(drop)
}

fn move_head(connection: &Connection, from: &LogHead, to: &LogHead) -> Result<bool> {
    let moved = connection
        .prepare_cached(
            "UPDATE log_head SET size = ?, root = ?, erasures = ? WHERE size = ? AND root = ? AND erasures = ?",
        )?
        .execute(params![
            signed(to.size)?,
            to.root,
            signed(to.erasures)?,
            signed(from.size)?,
            from.root,
            signed(from.erasures)?
        ])?;
    Ok(moved == 1)
}

/// Takes these events out of the journal; tells whether all of them were there.
fn leave_journal(connection: &Connection, places: &[u64]) -> Result<bool> {
    // Whatever was committed one after the other goes in one statement.
    for run in places.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let gone = connection
            .prepare_cached("DELETE FROM journal WHERE seq BETWEEN ? AND ?")?
            .execute([signed(*first)?, signed(*last)?])?;
        if gone != run.len() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn erase(connection: &Connection, number: u64, [from, to]: [&Vec<u8>; 2]) -> Result<Option<u64>> {
    let erased = connection
        .prepare_cached("UPDATE log_bundles SET personal = ? WHERE number = ? AND personal = ?")?
        .execute(params![to, signed(number)?, from])?;
    if erased == 0 {
        return Ok(None);
    }
    connection.prepare_cached("UPDATE log_head SET erasures = erasures + 1")?.execute([])?;
    Ok(Some(0))
}

fn prune(connection: &Connection, below: u64) -> Result<u64> {
    let size = connection.prepare_cached("SELECT size FROM log_head")?.query_one([], |row| row.get(0))?;
    let below = signed(below.min(unsigned(size)? / TILE))?;
    let gone = connection.prepare_cached("DELETE FROM log_bundles WHERE number < ?")?.execute([below])?;
    connection.prepare_cached("DELETE FROM log_tiles WHERE level = 0 AND number < ?")?.execute([below])?;
    connection
        .prepare_cached(
            "DELETE FROM log_checkpoints WHERE size <= ? AND size < (SELECT max(size) FROM log_checkpoints)",
        )?
        .execute([below * signed(TILE)?])?;
    connection.prepare_cached("DELETE FROM log_cursors WHERE entries < ?")?.execute([below * signed(TILE)?])?;
    Ok(gone as u64)
}

fn advance(connection: &Connection, reader: &ReaderName, to: u64) -> Result<Option<u64>> {
    connection
        .prepare_cached("REPLACE INTO log_cursors (reader, entries) VALUES (?, ?)")?
        .execute(params![reader.0, signed(to)?])?;
    Ok(Some(to))
}

/// Gives the number under which it is held.
fn hold(connection: &Connection, lease: &LeaseName, holder: &ReplicaId, ttl: Duration) -> Result<Option<u64>> {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 2);
    let number: Option<i64> = connection
        .prepare_cached(&format!(
            "INSERT INTO leases (name, holder, number, until_ms) VALUES (?1, ?2, 1, {NOW} + ?3)
             ON CONFLICT (name) DO UPDATE SET
                 number = number + (holder <> excluded.holder), holder = excluded.holder, until_ms = excluded.until_ms
             WHERE holder = excluded.holder OR until_ms <= {NOW}
             RETURNING number"
        ))?
        .query_one(params![lease.0, holder.as_str(), ttl], |row| row.get(0))
        .optional()?;
    number.map(unsigned).transpose()
}

fn release(connection: &Connection, fence: &Fence) -> Result<u64> {
    let released = connection
        .prepare_cached("UPDATE leases SET until_ms = 0 WHERE name = ? AND number = ?")?
        .execute(params![fence.lease.0, signed(fence.number)?])?;
    Ok(released as u64)
}
