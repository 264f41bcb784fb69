//! For tests only: keeps what they said and which secrets they used, so that `.ci/check-secrets` can compare both; starts what they run
//! against ([`peer`], [`Certified`]); and replays what fuzzing found ([`corpus`]).
//!
//! A harness does three things, and all of them do nothing unless `TEST_EVIDENCE` names a directory, as `.ci/test` does:
//!
//! 1. [`secret`] for every secret it makes, sends or receives;
//! 2. [`tee`], [`output`] or [`stdio`] for everything that a process of ours prints, which it starts with
//!    `IDENTREE_LOG_LEVEL` set to [`log_level`];
//! 3. [`traces`] at the start of a test that runs our code in its own process.
//!
//! The directory then holds `secrets/`, one line per secret (kind, tab, hexadecimal digits), and `output/`, one file per
//! stream, named after what printed it: `.ci/check-secrets` knows by that name which secret may stand there on purpose.

mod certified;
pub mod corpus;
mod keep;
mod kind;
pub mod peer;

use std::io::Read;
use std::process::{Output, Stdio};

pub use self::certified::Certified;
pub use self::keep::{Evidence, Tee};
pub use self::kind::Kind;

/// The variable that names the directory.
pub const VARIABLE: &str = "TEST_EVIDENCE";

/// Notes a secret. Made-up secrets must be long and like nothing else, or every word would be found to be one.
///
/// # Panics
/// If the value has fewer than twelve characters, or its file cannot be written.
pub fn secret(kind: Kind, value: &str) {
    assert!(value.chars().count() >= 12, "a {} for tests must have at least twelve characters", kind.as_str());
    if let Some(evidence) = Evidence::get() {
        evidence.secret(kind, value);
    }
}

/// What our processes are to log: everything where evidence is kept, else what they log by themselves.
pub fn log_level() -> &'static str {
    if Evidence::get().is_some() { "trace" } else { "info" }
}

/// Passes a stream of a child on and keeps what goes by. `name` tells what printed it.
///
/// # Panics
/// If its file cannot be written.
pub fn tee<R: Read>(name: &str, stream: R) -> Tee<R> {
    Tee::new(stream, Evidence::get().map(|evidence| evidence.file(name)))
}

/// Keeps what a child has printed: standard output under `name`, standard error as its log.
///
/// # Panics
/// If a file cannot be written.
pub fn output(name: &str, output: &Output) {
    text(name, &output.stdout);
    text(&format!("{name}-log"), &output.stderr);
}

/// Keeps something that was printed. `name` tells by what.
///
/// # Panics
/// If its file cannot be written.
pub fn text(name: &str, text: &[u8]) {
    if let Some(evidence) = Evidence::get().filter(|_| !text.is_empty()) {
        evidence.text(name, text);
    }
}

/// Where a child may print what its test does not read: into a file where evidence is kept, else where the test prints.
///
/// # Panics
/// If the file cannot be made.
pub fn stdio(name: &str) -> Stdio {
    Evidence::get().map_or_else(Stdio::inherit, |evidence| evidence.file(name).into())
}

/// Keeps every trace of this process, from now on. The first call of a process counts.
///
/// # Panics
/// If the file cannot be made.
pub fn traces() {
    static STARTED: std::sync::Once = std::sync::Once::new();
    STARTED.call_once(|| {
        if let Some(evidence) = Evidence::get() {
            let file = std::sync::Mutex::new(evidence.file("traces"));
            let subscriber = tracing_subscriber::fmt().with_env_filter("trace").with_ansi(false).with_writer(file);
            subscriber.init();
        }
    });
}
