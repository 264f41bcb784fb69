//! The form of the file: `KEY=VALUE` lines, `#` comments, one layer of quotes.

use std::time::Duration;

/// One setting with the line it stands on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting<'a> {
    pub(super) line: usize,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("expected KEY=VALUE")]
    Form,
    #[error("the quotes are not closed")]
    Quotes,
}

/// Splits the text into settings. A leading `export ` and one layer of matching quotes are taken off.
pub(super) fn settings(text: &str) -> impl Iterator<Item = (usize, Result<Setting<'_>, LineError>)> {
    text.lines().enumerate().filter_map(|(at, line)| {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return None;
        }
        Some((at + 1, setting(at + 1, trimmed)))
    })
}

fn setting(line: usize, text: &str) -> Result<Setting<'_>, LineError> {
    let text = text.strip_prefix("export ").map_or(text, str::trim_start);
    let (key, value) = text.split_once('=').ok_or(LineError::Form)?;
    let (key, value) = (key.trim_end(), value.trim_start());
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(LineError::Form);
    }
    Ok(Setting { line, key, value: unquoted(value)? })
}

fn unquoted(value: &str) -> Result<&str, LineError> {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.strip_suffix(quote).ok_or(LineError::Quotes);
        }
    }
    Ok(value)
}

/// A span of time: numbers with a unit (`500ms`, `90s`, `5m`, `1h30m`).
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match &rest[..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// The known name that is nearest to `name`, if one is near enough to be meant.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(far, _)| *far <= name.len() / 3)
        .map(|(_, c)| c)
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_read_as_shell_would() {
        let text = "# c\n\nA=1\nexport B = \"x y\"\n C='#'\nD=a=b\n";
        let read: Vec<_> = settings(text).map(|(_, s)| s.map(|s| (s.line, s.key, s.value))).collect();
        assert_eq!(read, [Ok((3, "A", "1")), Ok((4, "B", "x y")), Ok((5, "C", "#")), Ok((6, "D", "a=b"))]);
        assert_eq!(settings("A").next(), Some((1, Err(LineError::Form))));
        assert_eq!(settings("A B=1").next(), Some((1, Err(LineError::Form))));
        assert_eq!(settings("A=\"x").next(), Some((1, Err(LineError::Quotes))));
        assert_eq!(settings("A=\"").next(), Some((1, Err(LineError::Quotes))));
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        for bad in ["", "90", "s", "-1s", "1 s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_slip_of_the_keyboard_finds_its_name() {
        let known = || ["IDENTREE_TIMEOUT", "IDENTREE_HOSTNAME"].into_iter();
        assert_eq!(nearest("IDENTREE_TIMOUT", known()), Some("IDENTREE_TIMEOUT"));
        assert_eq!(nearest("PATH", known()), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,60}") {
            let _ = settings(&text).count();
            let _ = duration(&text);
            let _ = nearest(&text, ["A", "IDENTREE_TIMEOUT"].into_iter());
        }
    }
}
