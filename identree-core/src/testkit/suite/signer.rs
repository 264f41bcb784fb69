//! What every [`Signer`] promises. Stamp the clauses with [`signer_suite!`](crate::signer_suite).

use ed25519_dalek::{Signature, VerifyingKey};

use crate::grant::Signer;

/// Stamps one test per clause: `signer_suite!(local, async { LocalSigner::generate(&OsEntropy) });`
///
/// The first argument names the module; the second is an expression that is evaluated for each test and gives a future of
/// a signer. The calling crate needs `tokio` with `macros` and `rt`.
#[macro_export]
macro_rules! signer_suite {
    ($module:ident, $factory:expr) => {
        $crate::signer_suite!(@stamp $module, $factory;
            a_signature_is_of_its_key_and_message
            the_key_stays_the_same
            any_message_can_be_signed
        );
    };
    (@stamp $module:ident, $factory:expr; $($clause:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $clause() {
                    let signer = $factory.await;
                    $crate::testkit::suite::signer::$clause(&signer).await;
                }
            )*
        }
    };
}

async fn verifies(signer: &dyn Signer, signed: &[u8], shown: &[u8]) -> bool {
    let signature = Signature::from_bytes(&signer.sign(signed).await.expect("a working signer signs"));
    let key = VerifyingKey::from_bytes(signer.public_key().as_bytes()).expect("a public key is a point");
    key.verify_strict(shown, &signature).is_ok()
}

/// What is signed verifies under the public key, as it is and not as a digest of it; anything else does not.
///
/// # Panics
/// Where the promise is broken.
pub async fn a_signature_is_of_its_key_and_message(signer: &dyn Signer) {
    assert!(verifies(signer, b"message", b"message").await);
    assert!(!verifies(signer, b"message", b"messagf").await);
    assert!(!verifies(signer, b"message", b"message ").await);
}

/// A signer is one key for as long as it lives, and its text reads back.
///
/// # Panics
/// Where the promise is broken.
pub async fn the_key_stays_the_same(signer: &dyn Signer) {
    let key = signer.public_key();
    signer.sign(b"x").await.expect("a working signer signs");
    assert_eq!(signer.public_key(), key);
    assert_eq!(key.to_string().parse(), Ok(key), "a weak or invalid key would not read back");
}

/// Nothing is too short or too long to be signed.
///
/// # Panics
/// Where the promise is broken.
pub async fn any_message_can_be_signed(signer: &dyn Signer) {
    for message in [&[][..], &[0; 1], &[0xff; 64 * 1024]] {
        assert!(verifies(signer, message, message).await);
    }
}
