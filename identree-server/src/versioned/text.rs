//! JSON and TOML of one shape, and where in them a mistake stands.

use std::path::Path;

use identree_core::policy::Place;
use identree_core::text::visible;
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

/// JSON by the ending of the name, else by the first character; TOML otherwise.
pub(crate) fn is_json(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("json") => true,
        Some(ending) if ending.eq_ignore_ascii_case("toml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}

/// Reads JSON.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SyntaxError> {
    bounded(path, text)?;
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
        let place = Place { column: Some(error.column()), ..at(path, Some(error.line())) };
        SyntaxError { place, message: one_line(message) }
    })
}

/// Reads TOML.
pub(super) fn toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SyntaxError> {
    bounded(path, text)?;
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        SyntaxError { place: at(path, line), message: one_line(error.message()) }
    })
}

fn bounded(path: &Path, text: &str) -> Result<(), SyntaxError> {
    let message = || format!("the file is larger than {MAX_BYTES} bytes");
    if text.len() > MAX_BYTES { Err(SyntaxError { place: at(path, None), message: message() }) } else { Ok(()) }
}

fn one_line(message: &str) -> String {
    visible(&message.lines().collect::<Vec<_>>().join("; ")).into_owned()
}

/// The lines on which the objects at this depth of a valid JSON text begin.
pub(super) fn object_lines(json: &str, wanted: usize) -> Vec<usize> {
    let (mut line, mut depth, mut in_text, mut escaped) = (1, 0_usize, false, false);
    let mut lines = Vec::new();
    for byte in json.bytes() {
        match byte {
            b'\n' => line += 1,
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                if byte == b'{' && depth == wanted {
                    lines.push(line);
                }
                depth += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    lines
}
