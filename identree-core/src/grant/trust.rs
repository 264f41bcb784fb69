//! Which keys may sign answers, and how that list changes: by statements with a rising epoch.
//!
//! A statement names every key that is trusted from then on. A host believes one that is signed by a key it trusts already;
//! with an offline root key pinned beside them it believes those of the root key alone. Canonical bytes ([`crate::canon`]):
//! purpose, epoch, issued, number of keys, then each key and until when it is trusted (milliseconds; 0 without an end).

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::{KeyRing, KeyRingError, PublicKey, base64url};
use crate::canon::{Malformed, Reader, Writer};
use crate::id::KeyId;
use crate::time::Timestamp;

const PURPOSE: &[u8] = b"identree decision keys v1";

/// More keys than any rotation leaves behind.
const MAX_KEYS: u64 = 16;

/// A key that may sign answers, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// When it ends, by the host's calendar clock; none for the key in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// All keys that are trusted from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatement {
    /// Rises with each statement; 0 is what the host file says.
    pub epoch: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// The keys; the first is the one in use and has no end.
    pub keys: Vec<TrustedKey>,
}

impl KeyStatement {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(PURPOSE);
        writer.put_number(self.epoch);
        writer.put(&self.issued.as_millis().to_be_bytes());
        put_keys(&mut writer, &self.keys);
        writer.finish()
    }

    /// Reads canonical bytes. Whether they are true, only [`Trust::learn`] can say.
    ///
    /// # Errors
    /// [`Malformed`] for any other form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, PURPOSE)?;
        let epoch = reader.take_number()?;
        let issued = Timestamp::from_millis(i64::from_be_bytes(reader.take_array()?));
        let keys = take_keys(&mut reader)?;
        reader.end()?;
        Ok(Self { epoch, issued, keys })
    }
}

pub(crate) fn put_keys(writer: &mut Writer, keys: &[TrustedKey]) {
    writer.put_number(keys.len() as u64);
    for TrustedKey { key, until } in keys {
        writer.put(key.as_bytes());
        writer.put(&until.map_or(0, Timestamp::as_millis).to_be_bytes());
    }
}

pub(crate) fn take_keys(reader: &mut Reader<'_>) -> Result<Vec<TrustedKey>, Malformed> {
    let count = reader.take_number()?;
    if !(1..=MAX_KEYS).contains(&count) {
        return Err(Malformed);
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = PublicKey::checked(reader.take_array()?).map_err(|_| Malformed)?;
        let until = i64::from_be_bytes(reader.take_array()?);
        keys.push(TrustedKey { key, until: (until != 0).then_some(Timestamp::from_millis(until)) });
    }
    // There is always a key left.
    if keys[0].until.is_some() { Err(Malformed) } else { Ok(keys) }
}

/// A statement and who signed it, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedStatement {
    /// The canonical bytes, base64url without padding.
    #[serde(with = "base64url")]
    pub bytes: Vec<u8>,
    /// By the key in use before, by the root key, or by both.
    pub signatures: Vec<StatementSignature>,
}

/// One signature of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementSignature {
    /// Whose.
    pub key: KeyId,
    /// Ed25519, base64url without padding.
    #[serde(with = "base64url")]
    pub signature: Vec<u8>,
}

#[cfg(feature = "engine")]
impl SignedStatement {
    /// Signs the statement with each of these.
    ///
    /// # Errors
    /// Those of the signers.
    pub async fn make(statement: &KeyStatement, signers: &[&dyn super::Signer]) -> Result<Self, super::SignError> {
        let bytes = statement.encode();
        let mut signatures = Vec::new();
        for signer in signers {
            let signature = signer.sign(&bytes).await?.to_vec();
            signatures.push(StatementSignature { key: signer.public_key().id(), signature });
        }
        Ok(Self { bytes, signatures })
    }
}

/// Why a statement changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Not a statement.
    #[error("the statement about decision keys is malformed")]
    Malformed,
    /// Its epoch is not above the one known.
    #[error("the statement about decision keys is not newer than what this host knows")]
    NotNewer,
    /// By nobody who may say so.
    #[error("the statement about decision keys is not signed by a key that this host trusts")]
    Untrusted,
}

/// What a host believes about decision keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Of the last statement believed; 0 is what the host file says.
    pub epoch: u64,
    /// The keys.
    pub keys: Vec<TrustedKey>,
    /// The offline key that alone may change them, if one is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PublicKey>,
}

impl Trust {
    /// What a host file says: these keys, without an end.
    pub fn pinned(ring: &KeyRing, root: Option<PublicKey>) -> Self {
        let keys = ring.keys().iter().map(|key| TrustedKey { key: *key, until: None }).collect();
        Self { epoch: 0, keys, root }
    }

    /// The keys whose answers count now.
    ///
    /// # Errors
    /// [`KeyRingError::Empty`] if every one of them has ended.
    pub fn ring(&self, now: Timestamp) -> Result<KeyRing, KeyRingError> {
        KeyRing::new(self.valid(now).collect())
    }

    fn valid(&self, now: Timestamp) -> impl Iterator<Item = PublicKey> {
        self.keys.iter().filter(move |trusted| trusted.until.is_none_or(|until| now < until)).map(|trusted| trusted.key)
    }

    /// Takes a statement over, if it is newer and signed by somebody who may say so.
    ///
    /// # Errors
    /// [`TrustError`]; nothing has changed then.
    pub fn learn(&mut self, signed: &SignedStatement, now: Timestamp) -> Result<(), TrustError> {
        let statement = KeyStatement::decode(&signed.bytes).map_err(|_| TrustError::Malformed)?;
        if statement.epoch <= self.epoch {
            return Err(TrustError::NotNewer);
        }
        let judges: Vec<PublicKey> = self.root.map_or_else(|| self.valid(now).collect(), |root| vec![root]);
        let holds = |key: &PublicKey, signature: &[u8]| {
            let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(key.as_bytes()), Signature::from_slice(signature))
            else {
                return false;
            };
            key.verify_strict(&signed.bytes, &signature).is_ok()
        };
        // As many as there can be signers of ours; more would only cost time.
        let said = signed
            .signatures
            .iter()
            .take(4)
            .any(|one| judges.iter().any(|judge| judge.id() == one.key && holds(judge, &one.signature)));
        if !said {
            return Err(TrustError::Untrusted);
        }
        self.epoch = statement.epoch;
        self.keys = statement.keys;
        Ok(())
    }

    /// Takes over whatever of these is newer and believed, in the order given; true if anything was.
    pub fn learn_all(&mut self, statements: &[SignedStatement], now: Timestamp) -> bool {
        let mut learnt = false;
        for statement in statements {
            learnt |= self.learn(statement, now).is_ok();
        }
        learnt
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn public(seed: u8) -> PublicKey {
        PublicKey::from_bytes(key(seed).verifying_key().to_bytes())
    }

    fn trusted(seed: u8, until: Option<i64>) -> TrustedKey {
        TrustedKey { key: public(seed), until: until.map(Timestamp::from_secs) }
    }

    fn statement(epoch: u64, keys: Vec<TrustedKey>, by: &[u8]) -> SignedStatement {
        let bytes = KeyStatement { epoch, issued: Timestamp::from_secs(1), keys }.encode();
        let signatures = by
            .iter()
            .map(|seed| StatementSignature {
                key: public(*seed).id(),
                signature: key(*seed).sign(&bytes).to_bytes().to_vec(),
            })
            .collect();
        SignedStatement { bytes, signatures }
    }

    fn host(root: Option<u8>) -> Trust {
        Trust::pinned(&KeyRing::new(vec![public(1)]).unwrap(), root.map(public))
    }

    const NOW: Timestamp = Timestamp::from_secs(100);

    #[test]
    fn the_old_key_introduces_the_new_one_and_stays_for_an_overlap() {
        let mut trust = host(None);
        trust.learn(&statement(1, vec![trusted(2, None), trusted(1, Some(200))], &[1]), NOW).unwrap();
        assert_eq!(trust.ring(NOW).unwrap().keys(), [public(2), public(1)]);
        assert_eq!(trust.ring(Timestamp::from_secs(200)).unwrap().keys(), [public(2)]);
        let late = statement(2, vec![trusted(9, None)], &[1]);
        assert_eq!(trust.learn(&late, Timestamp::from_secs(200)), Err(TrustError::Untrusted), "its time is over");
        trust.learn(&statement(2, vec![trusted(3, None)], &[2]), NOW).unwrap();
        assert_eq!((trust.epoch, trust.ring(NOW).unwrap().keys()), (2, &[public(3)][..]));
    }

    #[test]
    fn a_lower_or_equal_epoch_brings_no_old_key_back() {
        let mut trust = host(None);
        let first = statement(5, vec![trusted(2, None), trusted(1, Some(200))], &[1]);
        let second = statement(6, vec![trusted(2, None)], &[2]);
        assert!(trust.learn_all(&[first.clone(), second], NOW));
        let before = trust.clone();
        for epoch in [0, 1, 5, 6] {
            let back = statement(epoch, vec![trusted(1, None)], &[2, 1]);
            assert_eq!(trust.learn(&back, NOW), Err(TrustError::NotNewer));
        }
        assert!(!trust.learn_all(&[first], NOW));
        assert_eq!(trust, before);
    }

    #[test]
    fn only_a_trusted_key_introduces_and_with_a_root_only_the_root() {
        let keys = || vec![trusted(2, None)];
        let mut trust = host(None);
        assert_eq!(trust.learn(&statement(1, keys(), &[2]), NOW), Err(TrustError::Untrusted), "not by itself");
        assert_eq!(trust.learn(&statement(1, keys(), &[]), NOW), Err(TrustError::Untrusted));
        let mut swapped = statement(1, keys(), &[2]);
        swapped.signatures[0].key = public(1).id();
        assert_eq!(trust.learn(&swapped, NOW), Err(TrustError::Untrusted), "the name of a key is not the key");
        let mut pinned = host(Some(7));
        assert_eq!(pinned.learn(&statement(1, keys(), &[1]), NOW), Err(TrustError::Untrusted), "a stolen decision key");
        pinned.learn(&statement(1, keys(), &[1, 7]), NOW).unwrap();
    }

    #[test]
    fn a_statement_without_a_lasting_key_is_none() {
        let mut trust = host(None);
        for keys in [vec![], vec![trusted(2, Some(200))], vec![trusted(2, None); 17]] {
            assert_eq!(trust.learn(&statement(1, keys, &[1]), NOW), Err(TrustError::Malformed));
        }
        let mut weak = statement(1, vec![TrustedKey { key: PublicKey::from_bytes([0; 32]), until: None }], &[1]);
        assert_eq!(trust.learn(&weak, NOW), Err(TrustError::Malformed), "anybody could sign under it");
        weak.bytes.clear();
        assert_eq!(trust.learn(&weak, NOW), Err(TrustError::Malformed));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_believed_by_nobody(at in 0_usize..2000, bit in 0_u8..8) {
            let mut signed = statement(1, vec![trusted(2, None), trusted(1, Some(200))], &[1]);
            let at = at % signed.bytes.len();
            signed.bytes[at] ^= 1 << bit;
            let mut trust = host(None);
            prop_assert!(trust.learn(&signed, NOW).is_err());
            prop_assert_eq!(trust, host(None));
        }

        #[test]
        fn epochs_only_rise(epochs in prop::collection::vec(0_u64..9, 1..12)) {
            let mut trust = host(None);
            for epoch in epochs {
                let before = trust.epoch;
                let learnt = trust.learn(&statement(epoch, vec![trusted(1, None)], &[1]), NOW).is_ok();
                prop_assert_eq!(learnt, epoch > before);
                prop_assert!(trust.epoch >= before);
            }
        }
    }
}
