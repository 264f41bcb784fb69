//! The fuzz targets over their committed corpora.

use std::path::Path;

#[path = "../../fuzz/targets.rs"]
#[expect(clippy::panic, reason = "a target stops where a promise is broken")]
mod targets;

#[test]
fn every_target_keeps_its_promises_over_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    identree_evidence::corpus::replay(&corpora, targets::TARGETS);
}
