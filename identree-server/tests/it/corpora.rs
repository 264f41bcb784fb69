//! What fuzzing has found and begun with, once more: each input as it is, cut at every length, and with one byte changed.

use std::path::Path;

#[path = "../../fuzz/targets.rs"]
mod targets;

#[test]
fn every_target_keeps_its_promises_over_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let files = std::fs::read_dir(corpora.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut inputs = 0;
        for file in files {
            let path = file.unwrap().path();
            println!("{}", path.display()); // shown with a failure
            let data = std::fs::read(&path).unwrap();
            target(&data);
            for at in 0..data.len().min(200) {
                target(&data[..at]);
                let mut changed = data.clone();
                changed[at] ^= 1 << (at % 8);
                target(&changed);
            }
            inputs += 1;
        }
        assert!(inputs >= 2, "{name} has no corpus");
    }
    assert_eq!(std::fs::read_dir(corpora).unwrap().count(), targets::TARGETS.len(), "a corpus without its target");
}
