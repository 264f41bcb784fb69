//! The code a person compares or types: six letters, a dash, six digits, as in the seeds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The letters a code may have: no `I`, no `O`.
const LETTERS: &[u8; 24] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";

/// A user code such as `KWXPTA-482913`: about 47 bits, found by the waiting person's terminal and the approver's page.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserCode([u8; 13]);

/// The text is not a user code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code is six letters (without I and O), a dash and six digits, like KWXPTA-482913")]
pub struct CodeError;

impl UserCode {
    /// Makes a code from random bytes, each symbol uniform.
    #[cfg(feature = "engine")]
    pub fn from_entropy(entropy: &dyn crate::rng::Entropy) -> Self {
        let mut code = *b"AAAAAA-000000";
        // One draw is nearly always enough: of a byte in sixteen no letter can be made.
        let mut drawn = std::iter::repeat_with(|| crate::rng::bytes::<16>(entropy)).flatten();
        for (at, symbol) in code.iter_mut().enumerate() {
            *symbol = match at {
                0..6 => LETTERS[usize::from(uniform(&mut drawn, 24))],
                6 => b'-',
                _ => b'0' + uniform(&mut drawn, 10),
            };
        }
        Self(code)
    }

    /// Parses a code; lower case and a missing dash are forgiven, since people type it.
    ///
    /// # Errors
    /// [`CodeError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let typed: Vec<u8> =
            text.bytes().filter(|b| !matches!(b, b'-' | b' ')).map(|b| b.to_ascii_uppercase()).collect();
        let symbols: &[u8; 12] = typed.as_slice().try_into().map_err(|_| CodeError)?;
        let (letters, digits) = symbols.split_at(6);
        if !letters.iter().all(|b| LETTERS.contains(b)) || !digits.iter().all(u8::is_ascii_digit) {
            return Err(CodeError);
        }
        let mut code = *b"AAAAAA-000000";
        code[..6].copy_from_slice(letters);
        code[7..].copy_from_slice(digits);
        Ok(Self(code))
    }

    /// The whole code.
    ///
    /// # Panics
    /// Never: a code is ASCII by construction.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a code is ASCII by construction")
    }

    /// The six digits: the number that an approver of somebody else's question must type.
    pub fn number(&self) -> &str {
        &self.as_str()[7..]
    }
}

/// A number below `bound`, without modulo bias.
#[cfg(feature = "engine")]
fn uniform(drawn: &mut impl Iterator<Item = u8>, bound: u8) -> u8 {
    let limit = u8::MAX - u8::MAX % bound;
    drawn.find(|byte| *byte < limit).unwrap_or_default() % bound
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for UserCode {
    type Error = CodeError;
    fn try_from(text: String) -> Result<Self, CodeError> {
        Self::parse(&text)
    }
}

impl From<UserCode> for String {
    fn from(code: UserCode) -> Self {
        code.as_str().to_owned()
    }
}

#[cfg(test)]
#[cfg(feature = "engine")]
mod tests {
    use super::*;
    use crate::rng::SeededEntropy;

    #[test]
    fn codes_have_the_seeds_form_and_are_forgiving_to_type() {
        let entropy = SeededEntropy::new(1);
        for _ in 0..500 {
            let code = UserCode::from_entropy(&entropy);
            assert_eq!(UserCode::parse(code.as_str()), Ok(code.clone()));
            assert_eq!(UserCode::parse(&code.as_str().to_lowercase().replace('-', "")), Ok(code.clone()));
            assert_eq!(code.number().len(), 6);
        }
        for bad in ["", "ABCDEF-12345", "ABCDEI-123456", "ABCDEF-12345X", "ABCDEF-1234567", "ÄBCDEF-123456"] {
            assert_eq!(UserCode::parse(bad), Err(CodeError), "{bad}");
        }
    }
}
