//! Telling browsers apart that are not signed in: the cookie of a sign-in under way, if this server made it.

use std::sync::Arc;

use identree_core::canon::sha256;
use identree_core::rng::{Entropy, bytes};
use identree_core::secret::Secret;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, StoreError};
use identree_core::text::{hex, unhex};
use zeroize::Zeroizing;

use crate::parts::Parts;

/// Keys that all servers over one store share and that decide nothing: who reads the store knows them.
const KEYS: Collection = Collection("server-keys");

/// A browser that began a sign-in here. Left with the request by `sign_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Browser([u8; 16]);

/// Makes the cookies of sign-ins and knows its own again: half of each is chance, half proves the first. The key is the same
/// on all servers over one store.
#[derive(Debug, Clone)]
pub struct Browsers(Arc<Secret<[u8; 32]>>);

impl Browsers {
    /// With a new key.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(Arc::new(Secret::new(bytes(entropy))))
    }

    /// With the key of the store, which is made once.
    ///
    /// # Errors
    /// [`StoreError`] if it can neither be read nor made.
    pub async fn load(parts: &Parts) -> Result<Self, StoreError> {
        loop {
            if let Some(document) = parts.store.document(&key(), parts.now()).await? {
                let bytes = document
                    .bytes
                    .try_into()
                    .map_err(|_| StoreError::Corrupt { table: KEYS.0, source: "the key has another length".into() })?;
                return Ok(Self(Arc::new(Secret::new(bytes))));
            }
            let made = bytes::<32>(&*parts.entropy).to_vec();
            let change =
                Change::Document { key: key(), expect: None, put: Some(Put { bytes: made, expires_at: None }) };
            match parts.store.commit(Batch::unrecorded(vec![change])).await {
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A new cookie: 64 hexadecimal digits.
    pub fn cookie(&self, entropy: &dyn Entropy) -> String {
        let chance = bytes::<16>(entropy);
        format!("{}{}", hex(&chance), hex(&self.proof(&chance)))
    }

    /// The browser that holds this cookie, if it is one of ours.
    pub fn prove(&self, cookie: &str) -> Option<Browser> {
        let mut raw = [0; 32];
        if !unhex(cookie, &mut raw) {
            return None;
        }
        let (chance, proof) = (raw.first_chunk::<16>()?, raw.last_chunk::<16>()?);
        Secret::new(self.proof(chance)).matches(proof).then_some(Browser(*chance))
    }

    fn proof(&self, chance: &[u8; 16]) -> [u8; 16] {
        // Both parts have a fixed length, so that a hash over key and chance is a MAC.
        let digest = sha256(&Zeroizing::new([self.0.expose().as_slice(), chance].concat()));
        let mut proof = [0; 16];
        proof.copy_from_slice(&digest[..16]);
        proof
    }
}

fn key() -> DocumentKey {
    DocumentKey::new(KEYS, "browsers")
}

#[cfg(test)]
mod tests {
    use identree_core::rng::SeededEntropy;

    use super::*;

    #[test]
    fn only_our_own_cookies_prove_a_browser() {
        let entropy = SeededEntropy::new(7);
        let (browsers, restarted) = (Browsers::new(&entropy), Browsers::new(&entropy));
        let (one, other) = (browsers.cookie(&entropy), browsers.cookie(&entropy));
        assert_eq!(one.len(), 64);
        assert_eq!(browsers.prove(&one), browsers.prove(&one));
        assert_ne!(browsers.prove(&one), browsers.prove(&other));
        let mixed = format!("{}{}", &one[..32], &other[32..]);
        for forged in [&mixed, &"0".repeat(64), "", "x", &one[..62]] {
            assert_eq!(browsers.prove(forged), None, "{forged}");
        }
        assert_eq!(restarted.prove(&one), None);
    }

    #[tokio::test]
    async fn a_browser_is_known_on_all_servers_and_after_a_restart() {
        let store = Arc::new(identree_core::store::MemoryStore::new());
        let parts = |seed| Parts {
            store: store.clone(),
            clock: Arc::new(identree_core::time::ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(seed)),
        };
        let (one, other) = (Browsers::load(&parts(1)).await.unwrap(), Browsers::load(&parts(2)).await.unwrap());
        let cookie = one.cookie(&SeededEntropy::new(3));
        assert!(other.prove(&cookie).is_some());
        assert!(Browsers::new(&SeededEntropy::new(9)).prove(&cookie).is_none());
    }
}
