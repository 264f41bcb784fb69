//! One file of a copy, straight from the log: for whoever serves it.

use super::{Piece, Place};
use crate::audit::Entry;
use crate::audit::proof::tile_hashes;
use crate::store::{Log, StoreError, TILE};

/// What the file at this place would hold in a copy of a log of this size. `None`: it has no such file (yet), it was pruned, or it is personal data,
/// which is nobody's to serve.
///
/// # Errors
/// [`StoreError`] if the log cannot be read.
pub async fn piece<L: Log + ?Sized>(log: &L, place: Place, size: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let level = if let Piece::Tile(level) = place.piece { level } else { 0 };
    let there = TILE.checked_pow(u32::from(level)).map_or(0, |leaves| size / leaves);
    let width = usize::from(place.width);
    let end = place.number.checked_mul(TILE).and_then(|first| first.checked_add(u64::from(place.width)));
    if end.is_none_or(|end| end > there) {
        return Ok(None);
    }
    match place.piece {
        Piece::Personal => Ok(None),
        Piece::Tile(level) => {
            let hashes = tile_hashes(log, (level, place.number)).await?;
            Ok(hashes.and_then(|hashes| hashes.get(..width).map(|hashes| hashes.as_flattened().to_vec())))
        }
        Piece::Entries => {
            let bundle = log.bundles(place.number, 1).await?.into_iter().next();
            let Some(bundle) = bundle.filter(|bundle| bundle.number == place.number) else { return Ok(None) };
            let corrupt = |source| StoreError::Corrupt { table: "log_bundles", source: Box::new(source) };
            let leaves = Entry::leaves(place.number, &bundle.entries).map_err(corrupt)?;
            let length: Option<usize> =
                leaves.get(..width).map(|leaves| leaves.iter().map(|leaf| leaf.len() + 2).sum());
            Ok(length.map(|length| bundle.entries[..length].to_vec()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::copy::{Export, export};
    use crate::testkit::log::LogOf;

    #[tokio::test]
    async fn what_is_served_is_what_would_be_exported_and_no_more() {
        let mut log = LogOf::events(700).await;
        let dir = tempfile::tempdir().unwrap();
        export(&*log.store, &Export { key: &log.key(), dir: dir.path(), with_personal: true, from: 0 }).await.unwrap();
        log.add(40).await;
        for path in ["tile/0/000", "tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/188"] {
            let served = piece(&*log.store, Place::parse(path).unwrap(), 740).await.unwrap();
            assert_eq!(served, Some(std::fs::read(dir.path().join(path)).unwrap()), "{path}");
        }
        for path in
            ["tile/0/002", "tile/0/002.p/229", "tile/1/000.p/3", "tile/2/000.p/1", "tile/63/000.p/1", "personal/000"]
        {
            assert_eq!(piece(&*log.store, Place::parse(path).unwrap(), 740).await.unwrap(), None, "{path}");
        }
        let unsigned = Place::parse("tile/0/002.p/200").unwrap();
        assert_eq!(piece(&*log.store, unsigned, 700).await.unwrap(), None, "beyond the checkpoint");
    }
}
