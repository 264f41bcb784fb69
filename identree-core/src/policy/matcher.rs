//! Shell patterns over whole names and command lines.

use std::borrow::Cow;

use crate::text::visible;

/// A compiled pattern: `*` any run of characters (`/` and spaces included), `?` one character, `[a-z]` one of a set,
/// `[!a-z]` or `[^a-z]` one not of it, a backslash takes the next character as it is. The whole text must match
/// (fnmatch of POSIX.1-2017 XCU §2.13 without a special meaning of `/` and of a leading full stop).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    tokens: Box<[Token]>,
    /// The characters before the first wildcard.
    prefix: Box<str>,
    /// The characters after the last one; empty for a pattern without any.
    suffix: Box<str>,
    shape: Shape,
}

/// Whether upper and lower case of ASCII letters are the same letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// Every letter is itself: user names, kinds, commands.
    Counts,
    /// Upper and lower case are the same: host names (RFC 4343).
    Ignored,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobError {
    /// Matches nothing.
    #[error("the pattern is empty; remove it, or write \"*\" for everything")]
    Empty,
    /// Longer than any name, and slow to match.
    #[error("the pattern is longer than {max} bytes", max = Glob::MAX_BYTES)]
    TooLong,
    /// `[` without its `]`.
    #[error("\"{}\" has a [ without its ]; write \\[ for the character itself", visible(.0))]
    OpenSet(String),
    /// A range that runs backwards.
    #[error("\"{}\" has a range that runs backwards, as in [z-a]", visible(.0))]
    Range(String),
    /// A backslash with nothing after it.
    #[error("\"{}\" ends in a backslash; write \\\\ for the character itself", visible(.0))]
    Escape(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Run,
    Set { negated: bool, ranges: Box<[(char, char)]> },
}

/// The shapes that need no walk over the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Literal,
    /// The prefix and a single `*`.
    Prefix,
    General,
}

impl Glob {
    /// The longest pattern.
    pub(super) const MAX_BYTES: usize = 1024;

    /// Compiles the pattern. With [`Case::Ignored`] the texts to match must be in lower case already.
    ///
    /// # Errors
    /// [`GlobError`] says what is wrong with it; nothing is repaired.
    pub(super) fn compile(pattern: &str, case: Case) -> Result<Self, GlobError> {
        if pattern.is_empty() {
            return Err(GlobError::Empty);
        }
        if pattern.len() > Self::MAX_BYTES {
            return Err(GlobError::TooLong);
        }
        let folded = match case {
            Case::Counts => Cow::Borrowed(pattern),
            Case::Ignored => Cow::Owned(pattern.to_ascii_lowercase()),
        };
        let mut tokens = Vec::new();
        let mut rest = folded.chars();
        while let Some(c) = rest.next() {
            match c {
                // Two runs in a row are one.
                '*' if tokens.last() == Some(&Token::Run) => {}
                '*' => tokens.push(Token::Run),
                '?' => tokens.push(Token::Any),
                '[' => tokens.push(set(&mut rest, pattern)?),
                '\\' => tokens.push(Token::Char(rest.next().ok_or_else(|| GlobError::Escape(pattern.into()))?)),
                c => tokens.push(Token::Char(c)),
            }
        }
        Ok(Self::from_tokens(tokens))
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self.shape {
            Shape::Literal => text == &*self.prefix,
            Shape::Prefix => text.starts_with(&*self.prefix),
            Shape::General => {
                text.starts_with(&*self.prefix) && text.ends_with(&*self.suffix) && walk(&self.tokens, text)
            }
        }
    }

    /// The text that it stands for, if it has no wildcard.
    pub(super) fn literal(&self) -> Option<&str> {
        (self.shape == Shape::Literal).then_some(&*self.prefix)
    }

    /// What every matching text starts with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What every matching text ends with.
    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    fn from_tokens(tokens: Vec<Token>) -> Self {
        let text = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
        let prefix: String = tokens.iter().map_while(text).collect();
        let literals = prefix.chars().count();
        let shape = match tokens.get(literals..) {
            None | Some([]) => Shape::Literal,
            Some([Token::Run]) => Shape::Prefix,
            Some(_) => Shape::General,
        };
        let suffix: String = match shape {
            Shape::Literal => String::new(),
            _ => {
                let reversed: Vec<char> = tokens.iter().rev().map_while(text).collect();
                reversed.into_iter().rev().collect()
            }
        };
        Self { tokens: tokens.into(), prefix: prefix.into(), suffix: suffix.into(), shape }
    }
}

/// What stands between `[` and its `]`. A `]` in first place and a `-` in first or last place stand for themselves.
fn set(rest: &mut std::str::Chars<'_>, pattern: &str) -> Result<Token, GlobError> {
    let open = || GlobError::OpenSet(pattern.into());
    let mut ranges = Vec::new();
    let negated = matches!(rest.clone().next(), Some('!' | '^'));
    if negated {
        rest.next();
    }
    loop {
        let low = match rest.next().ok_or_else(open)? {
            ']' if !ranges.is_empty() => return Ok(Token::Set { negated, ranges: ranges.into() }),
            '\\' => rest.next().ok_or_else(open)?,
            c => c,
        };
        let mut ahead = rest.clone();
        let high = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) if high != ']' => {
                *rest = ahead;
                if high == '\\' { rest.next().ok_or_else(open)? } else { high }
            }
            _ => low,
        };
        if high < low {
            return Err(GlobError::Range(pattern.into()));
        }
        ranges.push((low, high));
    }
}

/// Goes back only to the last `*`: linear for each, and never exponential.
fn walk(tokens: &[Token], text: &str) -> bool {
    let (mut at, mut rest) = (0, text.chars());
    let mut resume: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        match (tokens.get(at), ahead.next()) {
            (None, None) => return true,
            (Some(Token::Run), _) => {
                at += 1;
                resume = Some((at, rest.clone()));
                continue;
            }
            (Some(token), Some(c)) if token.takes(c) => {
                at += 1;
                rest = ahead;
                continue;
            }
            _ => {}
        }
        // A mismatch: the last run takes one character more.
        let Some((after, from)) = &mut resume else { return false };
        if from.next().is_none() {
            return false;
        }
        (at, rest) = (*after, from.clone());
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any => true,
            Self::Run => false,
            Self::Set { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(pattern: &str) -> Glob {
        Glob::compile(pattern, Case::Counts).unwrap()
    }

    #[test]
    fn wildcards_match_whole_texts() {
        for (pattern, yes, no) in [
            ("web1", &["web1"][..], &["web", "web11", "Web1", ""][..]),
            ("web*", &["web", "web1", "web/1 2"], &["we", "aweb"]),
            ("*", &["", "x", "a.b/c"], &[]),
            ("*.db.example", &["a.db.example", ".db.example"], &["db.example", "a.db.example.org"]),
            ("a?c", &["abc", "aéc"], &["ac", "abbc"]),
            ("ab*b", &["abb", "abxb"], &["ab"]),
            ("w[0-9a]", &["w0", "wa"], &["wb", "w", "w00"]),
            ("w[!0-9]", &["wa"], &["w1", "w"]),
            ("w[^0-9]", &["wa"], &["w1"]),
            ("[]x]", &["]", "x"], &["[", "]x"]),
            ("[!]]", &["x"], &["]"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[-a]", &["a", "-"], &["b"]),
            ("[a\\]-^]", &["a", "]", "^"], &["b"]),
            ("\\*\\?", &["*?"], &["xx"]),
            ("sudo systemctl restart *", &["sudo systemctl restart nginx.service"], &["sudo systemctl stop x"]),
        ] {
            for text in yes {
                assert!(glob(pattern).matches(text), "{pattern} should match {text:?}");
            }
            for text in no {
                assert!(!glob(pattern).matches(text), "{pattern} should not match {text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let error = |pattern: &str| Glob::compile(pattern, Case::Counts).unwrap_err();
        assert_eq!(error(""), GlobError::Empty);
        for open in ["[", "a[", "[]", "[a", "[!", "[!]", "[a-", "[\\", "[a-\\"] {
            assert_eq!(error(open), GlobError::OpenSet(open.into()));
        }
        assert_eq!(error("[z-a]"), GlobError::Range("[z-a]".into()));
        assert_eq!(error("a\\"), GlobError::Escape("a\\".into()));
        assert_eq!(error(&"a".repeat(1025)), GlobError::TooLong);
    }

    #[test]
    fn case_is_folded_on_request() {
        assert!(Glob::compile("WEB-[A-C]*", Case::Ignored).unwrap().matches("web-b1"));
        assert!(!glob("WEB").matches("web"));
    }

    /// The definition, token by token, without any shortcut.
    fn naive(tokens: &[Token], text: &[char]) -> bool {
        match tokens.split_first() {
            None => text.is_empty(),
            Some((Token::Run, rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some((token, rest)) => text.split_first().is_some_and(|(c, after)| token.takes(*c) && naive(rest, after)),
        }
    }

    proptest! {
        #[test]
        fn a_glob_is_its_definition(pattern in "[ab*?]{1,8}|[ab*?]{0,4}\\[!?[ab-]{1,3}\\][ab*?]{0,4}", text in "[ab-]{0,10}") {
            if let Ok(glob) = Glob::compile(&pattern, Case::Counts) {
                let chars: Vec<char> = text.chars().collect();
                prop_assert_eq!(glob.matches(&text), naive(&glob.tokens, &chars));
            }
        }

        #[test]
        fn no_pattern_panics(pattern in ".{0,20}", odd in "[\\[\\]!^a\\\\*?-]{0,12}", text in ".{0,20}") {
            for pattern in [pattern, odd] {
                if let Ok(glob) = Glob::compile(&pattern, Case::Ignored) {
                    glob.matches(&text);
                }
            }
        }

        #[test]
        fn a_text_escaped_matches_itself_only(text in ".{1,10}", other in ".{0,10}") {
            let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
            let glob = Glob::compile(&escaped, Case::Counts).unwrap();
            prop_assert!(glob.matches(&text));
            prop_assert_eq!(glob.matches(&other), text == other);
        }
    }
}
