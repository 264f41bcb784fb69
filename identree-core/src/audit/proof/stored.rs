//! The hashes of a proof from a store.

use std::collections::BTreeMap;

use super::{Path, TilePlace};
use crate::audit::{Entry, leaf_hash};
use crate::store::{Hash, Log, StoreError};

/// The hashes of a path from the log of a store. `None`: the store has not what is needed, because it was pruned or the log is shorter.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn hashes<L: Log + ?Sized>(log: &L, path: &Path) -> Result<Option<Vec<Hash>>, StoreError> {
    let mut tiles = BTreeMap::new();
    for place in path.tiles() {
        let Some(found) = tile_hashes(log, place).await? else { return Ok(None) };
        tiles.insert(place, found);
    }
    Ok(path.hashes(&tiles))
}

/// The hashes of a tile from the log of a store: as kept, or of level 0 from its bundle.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn tile_hashes<L: Log + ?Sized>(
    log: &L,
    (level, number): TilePlace,
) -> Result<Option<Vec<Hash>>, StoreError> {
    if let Some(tile) = log.tile(level, number).await? {
        let (hashes, []) = tile.hashes.as_chunks::<32>() else {
            let text = format!("tile {number} of level {level} does not consist of hashes");
            return Err(StoreError::Corrupt { table: "log_tiles", source: text.into() });
        };
        return Ok(Some(hashes.to_vec()));
    }
    if level > 0 {
        return Ok(None);
    }
    let bundle = log.bundles(number, 1).await?.into_iter().next().filter(|bundle| bundle.number == number);
    let Some(bundle) = bundle else { return Ok(None) };
    let corrupt = |source| StoreError::Corrupt { table: "log_bundles", source: Box::new(source) };
    Ok(Some(Entry::leaves(number, &bundle.entries).map_err(corrupt)?.into_iter().map(leaf_hash).collect()))
}
