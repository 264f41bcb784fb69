//! Signed statements of where the log stands: C2SP checkpoints (<https://c2sp.org/tlog-checkpoint>) as signed notes
//! (<https://c2sp.org/signed-note>) with an Ed25519 signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::grant::{PublicKey, SignError, Signer};
use crate::store::Hash;
use crate::time::Timestamp;

/// The signature type of Ed25519 (signed-note, "Signatures").
const ED25519: u8 = 1;
/// The extension line that tells when it was signed, in milliseconds since 1970; readers that do not know it skip it.
const SIGNED_AT: &str = "signed-at ";
/// How a signature line begins.
const DASH: &str = "\u{2014} ";

/// Which log it is: a URL without scheme, as `identree.example.com/log`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// The longest, in bytes.
    const MAX: usize = 255;

    /// An origin is printable, without spaces and plus signs (signed-note, "Key names").
    pub fn parse(text: &str) -> Option<Self> {
        let fine = |c: char| !c.is_whitespace() && c != '+' && !crate::text::is_hidden(c);
        let valid = !text.is_empty() && text.len() <= Self::MAX && text.chars().all(fine);
        valid.then(|| Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public half of a log's key, with its name: `origin+hash+base64` (signed-note, "Verifier keys").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// Which log.
    pub origin: Origin,
    /// Its Ed25519 key.
    pub key: PublicKey,
}

impl LogKey {
    /// Reads the one line that `identree audit key` prints.
    ///
    /// # Errors
    /// [`CheckpointError::Key`] if it is none.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CheckpointError::Key);
        };
        let bytes = STANDARD.decode(key).map_err(|_| CheckpointError::Key)?;
        let key = match bytes.split_first() {
            Some((&ED25519, key)) => <[u8; 32]>::try_from(key).map_err(|_| CheckpointError::Key)?,
            _ => return Err(CheckpointError::Key),
        };
        let found = Self { origin: Origin::parse(name).ok_or(CheckpointError::Key)?, key: PublicKey::from_bytes(key) };
        if crate::text::hex(&found.id()) == hash { Ok(found) } else { Err(CheckpointError::Key) }
    }

    /// The first four bytes of the SHA-256 of name, newline, type and key.
    fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new().chain_update(self.origin.as_str()).chain_update([b'\n', ED25519]);
        hash.update(self.key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d]
    }
}

impl std::fmt::Display for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = STANDARD.encode([&[ED25519], &self.key.as_bytes()[..]].concat());
        write!(f, "{}+{}+{key}", self.origin, crate::text::hex(&self.id()))
    }
}

/// Where a log stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// Its entries.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// When it was signed, if the log says so.
    pub signed_at: Option<Timestamp>,
}

/// What was read is no checkpoint to rely on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a line that names a log and its key.
    #[error("not a log's public key: one line `origin+hash+key` is expected, as `identree audit key` prints it")]
    Key,
    /// Not a signed note with a checkpoint.
    #[error("not a checkpoint: {0}")]
    Form(&'static str),
    /// Another log's.
    #[error("a checkpoint of the log {found}, not of {wanted}")]
    Origin {
        /// Which was looked for.
        wanted: Origin,
        /// Which it is.
        found: String,
    },
    /// No signature of the key.
    #[error("the checkpoint has no valid signature of this key")]
    Signature,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        let root = STANDARD.encode(self.root);
        let at = self.signed_at.map_or_else(String::new, |at| format!("{SIGNED_AT}{}\n", at.as_millis()));
        format!("{}\n{}\n{root}\n{at}", self.origin, self.size)
    }

    /// The signed note.
    ///
    /// # Errors
    /// Those of the signer.
    pub async fn sign(&self, signer: &dyn Signer) -> Result<String, SignError> {
        let text = self.text();
        let signature = signer.sign(text.as_bytes()).await?;
        let key = LogKey { origin: self.origin.clone(), key: signer.public_key() };
        let line = STANDARD.encode([&key.id()[..], &signature].concat());
        Ok(format!("{text}\n{DASH}{} {line}\n", self.origin))
    }

    /// Reads a signed note that this key has signed. Signatures of others beside it (witnesses) are no harm.
    ///
    /// # Errors
    /// [`CheckpointError`] says what is wrong with it.
    pub fn open(note: &str, key: &LogKey) -> Result<Self, CheckpointError> {
        let form = CheckpointError::Form;
        let (text, signatures) = note.split_once("\n\n").ok_or(form("there is no empty line before its signatures"))?;
        let text = format!("{text}\n");
        let mut lines = text.lines();
        let origin = lines.next().unwrap_or_default();
        if origin != key.origin.as_str() {
            let found = crate::text::visible(origin).chars().take(Origin::MAX).collect();
            return Err(CheckpointError::Origin { wanted: key.origin.clone(), found });
        }
        let size = lines
            .next()
            .filter(|size| *size == "0" || !size.starts_with('0') && size.bytes().all(|b| b.is_ascii_digit()));
        let size = size.and_then(|size| size.parse().ok()).ok_or(form("its second line is not a size"))?;
        let root = lines.next().and_then(|root| STANDARD.decode(root).ok()).and_then(|root| root.try_into().ok());
        let root = root.ok_or(form("its third line is not a hash"))?;
        let signed_at = lines.find_map(|line| line.strip_prefix(SIGNED_AT)).map(str::parse);
        let signed_at = signed_at.transpose().map_err(|_| form("its time is not a number of milliseconds"))?;
        let signed_at = signed_at.map(Timestamp::from_millis);
        let ours = |line: &str| {
            let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
            let bytes = STANDARD.decode(signature).ok().filter(|_| name == key.origin.as_str())?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            let signature: &[u8; 64] = signature.try_into().ok()?;
            (*id == key.id() && key.key.verifies(text.as_bytes(), signature)).then_some(())
        };
        signatures.lines().find_map(ours).ok_or(CheckpointError::Signature)?;
        Ok(Self { origin: key.origin.clone(), size, root, signed_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::LocalSigner;

    fn signer() -> LocalSigner {
        LocalSigner::from_seed(&[7; 32])
    }

    fn checkpoint() -> Checkpoint {
        let origin = Origin::parse("identree.example/log").unwrap();
        Checkpoint { origin, size: 20_852_163, root: [9; 32], signed_at: Some(Timestamp::from_secs(1_800_000_000)) }
    }

    fn key() -> LogKey {
        LogKey { origin: checkpoint().origin, key: signer().public_key() }
    }

    #[tokio::test]
    async fn a_signed_checkpoint_opens_with_its_key_alone() {
        let note = checkpoint().sign(&signer()).await.unwrap();
        assert!(note.starts_with("identree.example/log\n20852163\nCQkJCQ"), "{note}");
        assert_eq!(Checkpoint::open(&note, &key()), Ok(checkpoint()));
        let witnessed = format!("{note}{DASH}witness.example AAAAAAAA\n");
        assert_eq!(Checkpoint::open(&witnessed, &key()), Ok(checkpoint()));
        let other = LogKey { key: LocalSigner::from_seed(&[8; 32]).public_key(), ..key() };
        assert_eq!(Checkpoint::open(&note, &other), Err(CheckpointError::Signature));
        let elsewhere = LogKey { origin: Origin::parse("other.example/log").unwrap(), ..key() };
        assert!(matches!(Checkpoint::open(&note, &elsewhere), Err(CheckpointError::Origin { .. })));
    }

    #[tokio::test]
    async fn no_byte_of_it_can_be_another() {
        let note = checkpoint().sign(&signer()).await.unwrap();
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                let opened = Checkpoint::open(&changed, &key());
                assert!(opened.is_err() || opened == Ok(checkpoint()), "{at}: {changed}");
            }
        }
    }

    #[test]
    fn a_key_reads_back_and_a_damaged_one_does_not() {
        let text = key().to_string();
        assert_eq!(LogKey::parse(&text), Ok(key()));
        assert_eq!(LogKey::parse(&text.replace("example", "exemple")), Err(CheckpointError::Key));
        assert_eq!(LogKey::parse("a+b"), Err(CheckpointError::Key));
    }
}
