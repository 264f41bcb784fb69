//! Files that people write: whether one is JSON or TOML, and where in it a mistake stands.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::text::visible;

/// Why a text is not of its format, or not of the right shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The column, counted from 1: in characters of TOML, as the parser says it of JSON.
    pub column: Option<usize>,
    /// What the parser says, on one line.
    pub message: String,
}

/// Whether it is JSON: by the ending of the name, else by the first character, since no TOML begins with a brace.
pub fn is_json(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("json") => true,
        Some(ending) if ending.eq_ignore_ascii_case("toml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}

/// Reads JSON.
///
/// # Errors
/// Where the parser stopped, and why.
pub fn json<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // It appends the place, which is shown in front.
        let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
        Mistake { line: Some(error.line()), column: Some(error.column()), message: one_line(message) }
    })
}

/// Reads TOML.
///
/// # Errors
/// Where the parser stopped, and why.
pub fn toml<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = error.span().map(|span| position(text, span.start)).unzip();
        Mistake { line, column, message: one_line(error.message()) }
    })
}

/// Line and column of a byte of the text, both from 1, the column in characters.
pub fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The lines on which the objects at this depth of a valid JSON text begin; the outermost value has depth 0.
pub fn object_lines(json: &str, wanted: usize) -> Vec<usize> {
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

fn one_line(message: &str) -> String {
    visible(&message.lines().collect::<Vec<_>>().join("; ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_place_on_one_line() {
        let wrong = json::<Vec<u8>>("[1,\n \"\\n\"]").unwrap_err();
        assert_eq!((wrong.line, wrong.column), (Some(2), Some(5)));
        assert!(wrong.message.starts_with("invalid type: string \"\\n\""), "{wrong:?}");
        assert!(!wrong.message.contains("line 2"), "{wrong:?}");
        let wrong = toml::<serde::de::IgnoredAny>("a = 1\nbü = ?").unwrap_err();
        assert_eq!((wrong.line, wrong.message.lines().count()), (Some(2), 1), "{wrong:?}");
        assert_eq!(position("a\nbü?", 5), (2, 3));
    }

    #[test]
    fn objects_are_found_by_their_depth_and_braces_in_texts_are_none() {
        let text = "{\"a\": [\n{\"b\": \"{\\\"{\"},\n\n{\"c\": {}}]}";
        assert_eq!(object_lines(text, 0), [1]);
        assert_eq!(object_lines(text, 2), [2, 4]);
        assert_eq!(object_lines(text, 3), [4]);
    }

    #[test]
    fn the_name_says_the_format_and_else_the_first_character() {
        for (name, text, json) in
            [("a.JSON", "x", true), ("a.toml", "{", false), ("a", " {", true), ("a.conf", "a", false)]
        {
            assert_eq!(is_json(Path::new(name), text), json, "{name}");
        }
    }
}
