//! The nonce of a question: a function of the calling process, so that its helpers ask the same question.

use hmac::{Hmac, KeyInit as _, Mac as _};
use identree_core::canon::Writer;
use identree_core::id::{Nonce, ServiceName};
use identree_core::secret::Secret;
use sha2::Sha256;

use crate::facts::Caller;

/// 32 random bytes of root's, made anew after each boot: without them no nonce can be foreseen.
#[derive(Debug)]
pub struct BootKey(Secret<[u8; 32]>);

/// What makes a question's nonce.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The kernel's id of this boot.
    pub boot_id: &'a str,
    /// The PAM service.
    pub service: &'a ServiceName,
    /// The calling process.
    pub caller: Caller,
    /// How many questions of that process came before.
    pub counter: u64,
}

impl BootKey {
    /// From the file's bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// `HMAC-SHA256(key, canonical(boot id, service, pid, start time, counter))` (RFC 2104).
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn nonce(&self, origin: &Origin<'_>) -> Nonce {
        let mut writer = Writer::new(b"identree host nonce v1");
        writer.put_text(origin.boot_id);
        writer.put_text(origin.service.as_str());
        writer.put_number(origin.caller.pid.into());
        writer.put_number(origin.caller.start_time);
        writer.put_number(origin.counter);
        let mut hmac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        hmac.update(&writer.finish());
        Nonce::from_bytes(hmac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_makes_another_nonce() {
        let (sudo, su) = (ServiceName::parse("sudo").unwrap(), ServiceName::parse("su").unwrap());
        let key = BootKey::new([1; 32]);
        let base = Origin { boot_id: "b", service: &sudo, caller: Caller { pid: 1, start_time: 2 }, counter: 0 };
        let nonce = key.nonce(&base);
        assert_eq!(key.nonce(&base), nonce);
        assert_ne!(BootKey::new([2; 32]).nonce(&base), nonce);
        for other in [
            Origin { boot_id: "c", ..base },
            Origin { service: &su, ..base },
            Origin { caller: Caller { pid: 2, start_time: 2 }, ..base },
            Origin { caller: Caller { pid: 1, start_time: 1 }, ..base },
            Origin { counter: 1, ..base },
        ] {
            assert_ne!(key.nonce(&other), nonce);
        }
    }
}
