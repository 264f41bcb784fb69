//! JSON and TOML of one shape, and in which file and where in it a mistake stands.

use std::path::Path;

use identree_core::policy::Place;
use identree_core::syntax::{self, Mistake};
use serde::de::DeserializeOwned;

/// A text that is neither JSON nor TOML of the right shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct SyntaxError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

/// The largest text of a setting, in bytes.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The file, to name in an error.
pub(crate) fn at(path: &Path, line: Option<usize>) -> Place {
    Place { file: Some(path.display().to_string()), line, column: None }
}

/// Reads JSON.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SyntaxError> {
    bounded(path, text)?;
    syntax::json(text)
        .map_err(|Mistake { line, column, message }| SyntaxError { place: Place { column, ..at(path, line) }, message })
}

/// Reads TOML.
pub(super) fn toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SyntaxError> {
    bounded(path, text)?;
    syntax::toml(text).map_err(|Mistake { line, message, .. }| SyntaxError { place: at(path, line), message })
}

fn bounded(path: &Path, text: &str) -> Result<(), SyntaxError> {
    let message = || format!("the file is larger than {MAX_BYTES} bytes");
    if text.len() > MAX_BYTES { Err(SyntaxError { place: at(path, None), message: message() }) } else { Ok(()) }
}
