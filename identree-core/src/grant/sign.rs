//! Making the signature.

use std::sync::Arc;

use async_trait::async_trait;
use ed25519_dalek::{Signer as _, SigningKey};

use super::{Answer, PublicKey, SignedAnswer};

/// The signature could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Whoever keeps the key did not answer.
    #[error("the signing key is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Key custody: a file, Vault Transit, a KMS. [`LocalSigner`] holds the key in this process.
///
/// The engine signs when somebody is told a settled question ([`Engine::wait`](crate::Engine::wait), [`Engine::answer`](crate::Engine::answer)), not when it is decided: a
/// signer that is down delays answers and loses no decision. The same record gives the same message each time.
///
/// # What it must guarantee
///
/// - [`public_key`](Self::public_key) is known from the start, never waits and never changes.
/// - [`sign`](Self::sign) makes a pure Ed25519 signature (RFC 8032, not Ed25519ph) over the message as it is.
/// - A signer that works over a network sets its own deadline.
///
/// # Errors and retry
///
/// [`SignError`] goes to the caller as [`EngineError::Sign`](crate::EngineError::Sign): *we could not tell*. Asking again may succeed; the engine does not.
///
/// # A toy
///
/// ```
/// use async_trait::async_trait;
/// use identree_core::grant::{LocalSigner, PublicKey, SignError, Signer};
///
/// /// Refuses to sign while the key is locked away.
/// struct Lockable { key: LocalSigner, locked: std::sync::atomic::AtomicBool }
///
/// #[async_trait]
/// impl Signer for Lockable {
///     fn public_key(&self) -> PublicKey {
///         self.key.public_key()
///     }
///     async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
///         if self.locked.load(std::sync::atomic::Ordering::Relaxed) {
///             return Err(SignError::Unavailable("the key is locked".into()));
///         }
///         self.key.sign(message).await
///     }
/// }
/// ```
///
/// A signer is one when it passes [`signer_suite!`](crate::signer_suite) (feature `testkit`).
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The Ed25519 public key (RFC 8032).
    fn public_key(&self) -> PublicKey;

    /// Signs the message itself, not a digest of it.
    ///
    /// # Errors
    /// [`SignError`] if the key cannot be used now.
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

#[async_trait]
impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn public_key(&self) -> PublicKey {
        (**self).public_key()
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        (**self).sign(message).await
    }
}

/// Signs with a key held in this process; the memory is wiped on drop.
pub struct LocalSigner(SigningKey);

impl LocalSigner {
    /// From the 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// A new key.
    pub fn generate(entropy: &dyn crate::rng::Entropy) -> Self {
        let seed = zeroize::Zeroizing::new(crate::rng::bytes::<32>(entropy));
        Self::from_seed(&seed)
    }
}

impl std::fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSigner({})", self.public_key())
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.0.sign(message).to_bytes())
    }
}

impl SignedAnswer {
    /// Signs the answer.
    ///
    /// # Errors
    /// Those of the signer.
    pub(crate) async fn make(answer: &Answer, signer: &dyn Signer) -> Result<Self, SignError> {
        let bytes = answer.encode(signer.public_key().id());
        let signature = signer.sign(&bytes).await?.to_vec();
        Ok(Self { bytes, signature })
    }
}
