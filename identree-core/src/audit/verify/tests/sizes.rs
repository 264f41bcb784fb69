//! Whoever has the key can sign any size: what verifying takes goes with what is in the copy.

use std::fs;

use super::super::walk::MOST_BLANK;
use super::{Checkpoint, Copy, Grade, Known, Place, copy, verify};
use crate::audit::copy::Piece;
use crate::store::TILE;

/// What is said of a copy whose newest checkpoint is of this size.
async fn said(copy: &Copy, size: u64) -> Vec<String> {
    let key = copy.log.key();
    let signed = Checkpoint { origin: key.origin.clone(), size, root: [1; 32], signed_at: None };
    fs::write(copy.path("checkpoint"), signed.sign(&copy.log.signer).await.unwrap()).unwrap();
    let report = verify(copy.dir.path(), &key, &Known::default()).unwrap();
    assert_eq!(report.worst(), Some(Grade::Broken), "{size}: {:?}", report.findings);
    report.findings.iter().map(ToString::to_string).collect()
}

/// From where on was not searched.
fn unsearched(said: &[String]) -> Option<u64> {
    let text = said.iter().find(|text| text.starts_with("not pinpointed further"))?;
    text.split_once("the entries from ")?.1.split(' ').next()?.parse().ok()
}

#[tokio::test]
async fn a_size_that_nothing_could_have_is_told_soon() {
    let copy = copy().await;
    for size in [u64::MAX, u64::MAX - 255, 1 << 60] {
        let said = said(&copy, size).await;
        // Bundles 0 and 1 are there; number 2 ends early.
        assert_eq!(unsearched(&said), Some((2 + MOST_BLANK) * TILE), "{size}: {said:?}");
        assert!(said.iter().any(|text| text.starts_with("tile/entries/002 is missing (entries 512 to ")), "{said:?}");
    }
    // Nothing is there at all.
    fs::remove_dir_all(copy.path("tile")).unwrap();
    assert_eq!(unsearched(&said(&copy, u64::MAX).await), Some(MOST_BLANK * TILE));
    // What is there stands far away.
    let far = copy.path(&Place::whole(Piece::Entries, 1 << 50).to_string());
    fs::create_dir_all(far.parent().unwrap()).unwrap();
    fs::write(far, b"").unwrap();
    assert_eq!(unsearched(&said(&copy, u64::MAX).await), Some(MOST_BLANK * TILE));
}

#[tokio::test]
async fn what_is_missing_is_searched_to_its_end_as_far_as_that_goes() {
    let copy = copy().await;
    let most = (2 + MOST_BLANK) * TILE;
    for (size, ends) in [(most, true), (most + 1, false)] {
        let said = said(&copy, size).await;
        assert_eq!(unsearched(&said), (!ends).then_some(most), "{said:?}");
    }
}
