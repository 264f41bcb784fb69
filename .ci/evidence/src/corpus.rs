//! What fuzzing has found and begun with, once more.

use std::path::Path;

/// Takes any bytes; panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Feeds every target the inputs of its corpus, the folder of its name below `corpora`: each as it is, cut at every length, and with one
/// byte changed.
///
/// # Panics
/// If a target does, if one has fewer than two inputs, or if there is a corpus that belongs to none.
#[expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test calls it, and what is printed is shown with its failure"
)]
pub fn replay(corpora: &Path, targets: &[(&str, Target)]) {
    for (name, target) in targets {
        let files = std::fs::read_dir(corpora.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut inputs = 0;
        for file in files {
            let path = file.expect("the folder can be read").path();
            println!("{}", path.display());
            let data = std::fs::read(&path).expect("the input can be read");
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
    let folders = std::fs::read_dir(corpora).expect("the folder can be read").count();
    assert_eq!(folders, targets.len(), "a corpus without its target");
}
