//! Which of a crate's fuzz targets libFuzzer feeds: the one that `FUZZ_TARGET` names. Each crate's `fuzz/fuzz.rs` includes it.

use std::sync::OnceLock;

type Target = fn(&[u8]);

/// Feeds it these bytes.
pub(crate) fn feed(targets: &[(&str, Target)], data: &[u8]) {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(|| chosen(targets))(data);
}

fn chosen(targets: &[(&str, Target)]) -> Target {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let found = targets.iter().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("there is no target {name}")).1
}
