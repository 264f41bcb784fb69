//! Canonical bytes: a sequence of fields, each preceded by its length as a 32-bit big-endian number.
//!
//! Everything that is signed, hashed or bound in identree is written this way, the first field saying what it is.
//! Two different sequences never give the same bytes, and one sequence has exactly one encoding.

use sha2::{Digest as _, Sha256};

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Writes canonical bytes.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Starts with the purpose, which keeps bytes made for one use from meaning anything in another.
    pub fn new(purpose: &[u8]) -> Self {
        let mut writer = Self(Vec::with_capacity(256));
        writer.put(purpose);
        writer
    }

    /// Appends one field.
    ///
    /// # Panics
    /// If the field is longer than 4 GiB, which every caller's own limit excludes.
    pub fn put(&mut self, field: &[u8]) {
        let length = u32::try_from(field.len()).expect("fields are bounded far below 4 GiB by their parsers");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
    }

    /// Appends one field of text.
    pub fn put_text(&mut self, field: &str) {
        self.put(field.as_bytes());
    }

    /// Appends a number as 8 big-endian bytes.
    pub fn put_number(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// The bytes are not the canonical form that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not canonical bytes of the expected form")]
pub struct Malformed;

/// Reads canonical bytes, field by field.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts reading and checks the purpose.
    ///
    /// # Errors
    /// [`Malformed`] if the first field is another purpose.
    pub fn new(bytes: &'a [u8], purpose: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Self(bytes);
        if reader.take()? == purpose { Ok(reader) } else { Err(Malformed) }
    }

    /// The next field.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes end before the field does.
    pub fn take(&mut self) -> Result<&'a [u8], Malformed> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (field, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(field)
    }

    /// The next field as text.
    ///
    /// # Errors
    /// [`Malformed`] if it is not UTF-8.
    pub fn take_text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take()?).map_err(|_| Malformed)
    }

    /// The next field as a fixed number of bytes.
    ///
    /// # Errors
    /// [`Malformed`] for any other length.
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take()?.try_into().map_err(|_| Malformed)
    }

    /// The next field as a number.
    ///
    /// # Errors
    /// [`Malformed`] unless the field is 8 bytes long.
    pub fn take_number(&mut self) -> Result<u64, Malformed> {
        self.take_array().map(u64::from_be_bytes)
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`Malformed`] if anything is left.
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_round_trip(fields in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8)) {
            let mut writer = Writer::new(b"test");
            for field in &fields {
                writer.put(field);
            }
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes, b"test").unwrap();
            for field in &fields {
                prop_assert_eq!(reader.take().unwrap(), &field[..]);
            }
            prop_assert!(reader.end().is_ok());
            prop_assert!(Reader::new(&bytes, b"other").is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader(&bytes);
            while reader.take().is_ok_and(|field| !field.is_empty()) {}
        }
    }
}
