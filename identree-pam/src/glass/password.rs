//! A new password, for a person to read from one screen and type on another.

use std::fs::File;
use std::io::{self, Read as _};

use identree_core::secret::Secret;
use zeroize::Zeroizing;

/// 55 signs without those that are taken for each other (0 O o, 1 I l i): 5.78 bits each.
const ALPHABET: &[u8; 55] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz";
/// 24 signs are 138 bits.
const SIGNS: usize = 24;

/// 24 random signs of an alphabet without look-alikes, 138 bits, as the hosts' `alphanumeric` style has it.
///
/// # Errors
/// If the kernel gives no randomness.
pub fn generate() -> io::Result<Secret<String>> {
    let mut source = File::open("/dev/urandom")?;
    let mut text = Zeroizing::new(String::with_capacity(SIGNS));
    while text.len() < SIGNS {
        let mut byte = [0];
        source.read_exact(&mut byte)?;
        // Four whole alphabets fit into a byte; the rest is thrown away, so that no sign is likelier than another.
        if usize::from(byte[0]) < 4 * ALPHABET.len() {
            text.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(Secret::new(std::mem::take(&mut *text)))
}

/// Sixteen random bytes of salt.
///
/// # Errors
/// If the kernel gives no randomness.
pub(crate) fn salt() -> io::Result<[u8; 16]> {
    let mut salt = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut salt)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_and_easy_to_read() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), SIGNS);
        assert!(one.expose().bytes().all(|byte| ALPHABET.contains(&byte)));
        assert!(!ALPHABET.iter().any(|byte| b"0Oo1Ili".contains(byte)));
    }
}
