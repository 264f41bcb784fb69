//! The file with the hash: one comment that says when it was made, one line with the PHC string of argon2id (RFC 9106).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use identree_core::secret::Secret;
use zeroize::Zeroizing;

use super::GlassError;
use crate::config::{self, Confidence};

/// Far more than two lines.
const MAX_FILE_BYTES: u64 = 4096;
/// What a new hash costs: 19 MiB, two passes. The password is random, so that the cost only has to slow a slip of the
/// hand, and sudo grows by no more while it is checked.
const NEW: Cost = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
/// What a hash may cost at most: 256 MiB, 10 passes, 4 lanes; one that asks for more would be a way to stop the host.
const MOST: Cost = Cost { memory_kib: 256 * 1024, passes: 10, lanes: 4 };
/// Less than 8 MiB is no argon2id worth its name.
const LEAST_MEMORY_KIB: u32 = 8 * 1024;
const OUTPUT_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// An argon2id hash within bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    cost: Cost,
    salt: Vec<u8>,
    output: [u8; OUTPUT_BYTES],
}

/// What is wrong with a hash. The text never holds any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Not the form.
    #[error("expected one line like $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH, as `argon2 SALT -id -e` prints it")]
    Form,
    /// Too cheap or too dear.
    #[error(
        "the cost must be from 8 to 256 MiB (m=8192 to 262144), t=1 to 10, p=1 to 4, with 32 bytes of hash and 16 to 64 of salt"
    )]
    Cost,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashFile {
    /// When the password was made, in seconds since 1970.
    pub created: i64,
    /// Its hash.
    pub hash: Hash,
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Hash {
    /// The hash of a password under a new salt.
    ///
    /// # Errors
    /// [`HashError::Cost`] if the library refuses, which it does not for these parameters.
    pub fn new(password: &Secret<String>, salt: [u8; 16]) -> Result<Self, HashError> {
        Ok(Self { cost: NEW, salt: salt.to_vec(), output: *output(NEW, &salt, password)? })
    }

    /// Reads the PHC string.
    ///
    /// # Errors
    /// [`HashError`] for another form, or a cost out of bounds.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let mut parts = text.trim_ascii().split('$');
        let mut part = || parts.next().ok_or(HashError::Form);
        if (part()?, part()?, part()?) != ("", "argon2id", "v=19") {
            return Err(HashError::Form);
        }
        let mut numbers = part()?.split(',');
        let mut number = |name: &str| {
            let digits = numbers.next().and_then(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).ok_or(HashError::Form)
        };
        let cost = Cost { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
        if numbers.next().is_some() {
            return Err(HashError::Form);
        }
        let mut bytes = || STANDARD_NO_PAD.decode(part()?).map_err(|_| HashError::Form);
        let (salt, output) = (bytes()?, bytes()?);
        if parts.next().is_some() {
            return Err(HashError::Form);
        }
        let bounded = (LEAST_MEMORY_KIB..=MOST.memory_kib).contains(&cost.memory_kib)
            && (1..=MOST.passes).contains(&cost.passes)
            && (1..=MOST.lanes).contains(&cost.lanes)
            && (16..=64).contains(&salt.len());
        let output = output.try_into().map_err(|_| HashError::Cost)?;
        if bounded { Ok(Self { cost, salt, output }) } else { Err(HashError::Cost) }
    }

    /// Whether it is of this password, in time that does not depend on where they differ.
    pub fn matches(&self, password: &Secret<String>) -> bool {
        // What cannot be computed matches nothing.
        output(self.cost, &self.salt, password).is_ok_and(|found| Secret::new(*found).matches(&self.output))
    }

    fn phc(&self) -> String {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let (salt, output) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(self.output));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}")
    }
}

fn output(cost: Cost, salt: &[u8], password: &Secret<String>) -> Result<Zeroizing<[u8; OUTPUT_BYTES]>, HashError> {
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(OUTPUT_BYTES)).map_err(|_| HashError::Cost)?;
    let mut out = Zeroizing::new([0; OUTPUT_BYTES]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.expose().as_bytes(), salt, &mut *out).map_err(|_| HashError::Cost)?;
    Ok(out)
}

impl HashFile {
    /// The hash of a password that was made at `created`, under a new salt.
    ///
    /// # Errors
    /// If the kernel gives no randomness.
    pub fn of(password: &Secret<String>, created: i64) -> io::Result<Self> {
        let hash = Hash::new(password, super::password::salt()?).map_err(io::Error::other)?;
        Ok(Self { created, hash })
    }

    /// Puts the file in place whole, readable by its owner alone, and on disk before it returns.
    ///
    /// # Errors
    /// What the system says; then the old file stands.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("/"));
        let new = folder.join(format!(".identree-breakglass-{}", std::process::id()));
        let put = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(self.render().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            File::open(folder)?.sync_all()
        };
        let _ = fs::remove_file(&new);
        put().inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
    }

    /// Reads the file if `owner` alone can read and write it; `None` if there is none.
    ///
    /// # Errors
    /// [`GlassError`] says what is wrong with it and how to mend it.
    pub fn load(path: &Path, owner: u32) -> Result<Option<Self>, GlassError> {
        let bytes = match config::read_file(path, owner, Confidence::Sealed, MAX_FILE_BYTES) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let wrong = |cause| GlassError::Hash { path: path.to_owned(), cause };
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong(HashError::Form))?;
        Self::parse(text).map(Some).map_err(wrong)
    }

    /// Reads the text of the file. Without a comment that says when it was made, that is 1970: long ago.
    ///
    /// # Errors
    /// [`HashError`].
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let mut created = 0;
        let mut hash = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                let at = comment.split_whitespace().find_map(|word| word.strip_prefix("created="));
                created = at.and_then(|at| at.parse().ok()).unwrap_or(created);
            } else if hash.replace(Hash::parse(line)?).is_some() {
                return Err(HashError::Form);
            }
        }
        hash.map(|hash| Self { created, hash }).ok_or(HashError::Form)
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        format!("# identree break-glass created={}\n{}\n", self.created, self.hash.phc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_hash_matches_its_password_alone_after_being_written_down() {
        let file = HashFile { created: 1_700_000_000, hash: Hash::new(&secret("a long password"), [7; 16]).unwrap() };
        let read = HashFile::parse(&file.render()).unwrap();
        assert_eq!(read, file);
        assert!(read.hash.matches(&secret("a long password")));
        assert!(!read.hash.matches(&secret("a long passwore")) && !read.hash.matches(&secret("")));
        assert!(!format!("{read:?}").contains(&STANDARD_NO_PAD.encode(read.hash.output)), "no hash in Debug");
    }

    #[test]
    fn the_reference_program_agrees() {
        // printf password | argon2 somesaltsomesalt -id -m 13 -t 1 -p 1 -l 32 -e (Debian's argon2 0~20171227)
        let phc = include_str!("reference.phc");
        assert!(Hash::parse(phc).unwrap().matches(&secret("password")));
    }

    #[test]
    fn costs_are_bounded_and_other_forms_refused() {
        let salt = STANDARD_NO_PAD.encode([1; 16]);
        let out = STANDARD_NO_PAD.encode([2; 32]);
        let parse = |cost: &str| Hash::parse(&format!("$argon2id$v=19${cost}${salt}${out}")).map(|_| ());
        assert_eq!(parse("m=8192,t=1,p=1"), Ok(()));
        for dear in ["m=262145,t=1,p=1", "m=8191,t=1,p=1", "m=8192,t=11,p=1", "m=8192,t=0,p=1", "m=8192,t=1,p=5"] {
            assert_eq!(parse(dear), Err(HashError::Cost), "{dear}");
        }
        for odd in ["m=8192,t=1", "t=1,m=8192,p=1", "m=8192,t=1,p=1,x=1", "m=+8192,t=1,p=1", "m=99999999999,t=1,p=1"] {
            assert_eq!(parse(odd), Err(HashError::Form), "{odd}");
        }
        for odd in ["", "$2b$12$abc", "$argon2i$v=19$m=8192,t=1,p=1$a$b", "$argon2id$v=16$m=8192,t=1,p=1$a$b"] {
            assert_eq!(Hash::parse(odd), Err(HashError::Form), "{odd}");
        }
        assert_eq!(HashFile::parse("# only a comment\n"), Err(HashError::Form));
    }
}
