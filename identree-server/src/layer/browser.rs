//! Telling browsers apart that are not signed in: the cookie of a sign-in under way, if this server made it.

use std::sync::Arc;

use identree_core::canon::sha256;
use identree_core::rng::{Entropy, bytes};
use identree_core::secret::Secret;
use identree_core::text::{hex, unhex};
use zeroize::Zeroizing;

/// A browser that began a sign-in here. Left with the request by `sign_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Browser([u8; 16]);

/// Makes the cookies of sign-ins and knows its own again: half of each is chance, half proves the first. The key lives with
/// the process; after a restart an older cookie still belongs to its sign-in, it only proves nothing here.
#[derive(Debug, Clone)]
pub struct Browsers(Arc<Secret<[u8; 32]>>);

impl Browsers {
    /// With a new key.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(Arc::new(Secret::new(bytes(entropy))))
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
}
