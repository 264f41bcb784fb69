//! Text that came from outside, made safe to show; and hexadecimal digits.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character would not be seen as itself: controls, bidirectional overrides, zero-width and other format
/// characters (Unicode general categories Cc, Cf, Zl, Zp, private use, and the invisible fillers).
pub const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}'
        | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

/// The text with every hidden character written out as `\n`, `\t` or `\u{…}`; a backslash stays as it is.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        push_visible(&mut out, c);
    }
    Cow::Owned(out)
}

fn push_visible(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_hidden(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// Bytes as visible text: valid UTF-8 as in [`visible`], every other byte as `\xNN`.
pub fn visible_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A command line as a person reads it: arguments joined by spaces, quoted as a shell would need it where that matters,
/// hidden characters and invalid bytes written out. For reading, not for running.
pub fn command_line<A: AsRef<[u8]>>(argv: &[A]) -> String {
    argv.iter().map(|argument| quoted(argument.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./=:@%+,^".contains(b);
    if !argument.is_empty() && argument.iter().all(plain) {
        return String::from_utf8_lossy(argument).into_owned();
    }
    let shown = visible_bytes(argument);
    if shown.as_bytes() == argument {
        // Nothing was escaped: plain single quotes, with ' as '\''.
        format!("'{}'", shown.replace('\'', "'\\''"))
    } else {
        // Escaped: $'…', in which the escapes and a doubled backslash are what they look like.
        let mut out = String::from("$'");
        for chunk in argument.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\'' => out.push_str("\\'"),
                    '\\' => out.push_str("\\\\"),
                    c => push_visible(&mut out, c),
                }
            }
            for byte in chunk.invalid() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
        out.push('\'');
        out
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let mut out = String::with_capacity(bytes.len() * 2);
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]));
    out
}

/// Reads lower-case hexadecimal digits into `out`; false unless the text has exactly the digits that fill it.
#[must_use]
pub fn unhex(text: &str, out: &mut [u8]) -> bool {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != out.len() * 2 {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return false;
        };
        *byte = high << 4 | low;
    }
    true
}

/// 32 bytes as hexadecimal digits, for serde.
#[cfg(feature = "engine")]
pub(crate) mod hex32 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::hex(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        if super::unhex(&text, &mut bytes) { Ok(bytes) } else { Err(D::Error::custom("not 64 hexadecimal digits")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hidden_characters_are_written_out() {
        assert_eq!(visible("rm\u{202e}fdp.exe\u{200b}\x1b[2J\n"), "rm\\u{202e}fdp.exe\\u{200b}\\u{1b}[2J\\n");
        assert_eq!(visible_bytes(b"a\xffb"), "a\\xffb");
    }

    #[test]
    fn command_lines_read_as_typed() {
        assert_eq!(command_line(&["sudo", "sh", "-c", "rm -rf 'x'"]), r"sudo sh -c 'rm -rf '\''x'\'''");
        assert_eq!(command_line(&[&b"echo"[..], b"", b"a\nb\xff"]), r"echo '' $'a\nb\xff'");
    }

    proptest! {
        #[test]
        fn nothing_hidden_survives(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!visible_bytes(&bytes).chars().any(is_hidden));
            prop_assert!(!command_line(&[&bytes]).chars().any(is_hidden));
        }

        #[test]
        fn two_command_lines_never_look_alike(
            a in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 1..4),
            b in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 1..4),
        ) {
            prop_assert_eq!(a == b, command_line(&a) == command_line(&b));
        }

        #[test]
        fn hex_round_trips(bytes in proptest::collection::vec(any::<u8>(), 16)) {
            let mut back = [0; 16];
            prop_assert!(unhex(&hex(&bytes), &mut back));
            prop_assert_eq!(&back[..], &bytes[..]);
        }
    }
}
