//! Runs one target under libFuzzer; `.ci/fuzz` starts it.
#![no_main]

#[path = "../../.ci/fuzz.rs"]
mod chosen;
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| chosen::feed(targets::TARGETS, data));
