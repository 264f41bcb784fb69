//! Keeping a host's break-glass secret safe elsewhere: the contract. Deposit and reveal arrive with the backends.

use std::sync::Arc;

use async_trait::async_trait;

use crate::id::HostName;
use crate::retry::Retry;
use crate::secret::Secret;

/// Where a secret is kept: one host, one generation. The same slot twice overwrites.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EscrowSlot {
    /// Whose secret.
    pub host: HostName,
    /// Which generation; it rises with each rotation.
    pub generation: u64,
}

/// What the backend gave back, needed to find the secret again. Not secret itself, unless
/// [`EscrowCapabilities::receipt_is_sealed_box`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscrowReceipt(pub String);

/// What a backend can do; callers and the conformance suite follow this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EscrowCapabilities {
    /// Whether the receipt itself is the sealed secret (nothing is kept elsewhere).
    pub receipt_is_sealed_box: bool,
    /// Whether [`EscrowBackend::destroy`] really removes the secret.
    pub destroys: bool,
}

/// Bytes that the backend keeps and must not read: already encrypted by the caller.
pub type SealedBytes = Secret<Vec<u8>>;

/// The backend did not do it. The text never holds a secret or a token.
#[derive(Debug, thiserror::Error)]
#[error("the escrow backend failed: {text}")]
pub struct EscrowError {
    /// What went wrong.
    pub text: String,
    /// Whether trying again can help.
    pub retry: Retry,
}

/// A place that keeps secrets: a vault, a password manager. **Nothing calls it yet**: break-glass comes in a later release, and the
/// contract stands so that backends can be written.
///
/// # What it must guarantee
///
/// - What it is given is sealed already; it keeps the bytes and does not look into them.
/// - After `Ok` of [`store`](Self::store) the secret can be had with the receipt, also after a restart of either side. The same
///   [`EscrowSlot`] again overwrites.
/// - [`capabilities`](Self::capabilities) never change and never promise too much.
///
/// # Errors and retry
///
/// [`EscrowError::retry`] says whether the same call may succeed later. After an error of `store` nothing is promised: it is called
/// again with the same slot.
///
/// # A toy
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Mutex, PoisonError};
///
/// use async_trait::async_trait;
/// use identree_core::escrow::*;
/// use identree_core::retry::Retry;
/// use identree_core::secret::Secret;
///
/// /// Keeps them in memory: they are gone with the process.
/// #[derive(Default)]
/// struct Forgetful(Mutex<HashMap<String, Vec<u8>>>);
///
/// #[async_trait]
/// impl EscrowBackend for Forgetful {
///     fn capabilities(&self) -> EscrowCapabilities {
///         EscrowCapabilities { receipt_is_sealed_box: false, destroys: true }
///     }
///     async fn store(&self, slot: &EscrowSlot, secret: &SealedBytes) -> Result<EscrowReceipt, EscrowError> {
///         let receipt = format!("{}/{}", slot.host, slot.generation);
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(receipt.clone(), secret.expose().clone());
///         Ok(EscrowReceipt(receipt))
///     }
///     async fn retrieve(&self, receipt: &EscrowReceipt) -> Result<SealedBytes, EscrowError> {
///         let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         let missing = || EscrowError { text: "there is no such receipt".into(), retry: Retry::Never };
///         kept.get(&receipt.0).cloned().map(Secret::new).ok_or_else(missing)
///     }
///     async fn destroy(&self, receipt: &EscrowReceipt) -> Result<(), EscrowError> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&receipt.0);
///         Ok(())
///     }
///     async fn probe(&self) -> Result<(), EscrowError> {
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait EscrowBackend: Send + Sync + 'static {
    /// What it can do.
    fn capabilities(&self) -> EscrowCapabilities;

    /// Stores the secret under the slot.
    ///
    /// # Errors
    /// [`EscrowError`]; then nothing is promised, and the same slot may be stored again.
    async fn store(&self, slot: &EscrowSlot, secret: &SealedBytes) -> Result<EscrowReceipt, EscrowError>;

    /// Fetches a secret.
    ///
    /// # Errors
    /// [`EscrowError`] if it cannot be had.
    async fn retrieve(&self, receipt: &EscrowReceipt) -> Result<SealedBytes, EscrowError>;

    /// Removes a secret; a missing one is no error.
    ///
    /// # Errors
    /// [`EscrowError`] if it may still be there.
    async fn destroy(&self, receipt: &EscrowReceipt) -> Result<(), EscrowError>;

    /// Whether the backend answers.
    ///
    /// # Errors
    /// [`EscrowError`] says why not.
    async fn probe(&self) -> Result<(), EscrowError>;
}

#[async_trait]
impl<E: EscrowBackend + ?Sized> EscrowBackend for Arc<E> {
    fn capabilities(&self) -> EscrowCapabilities {
        (**self).capabilities()
    }
    async fn store(&self, slot: &EscrowSlot, secret: &SealedBytes) -> Result<EscrowReceipt, EscrowError> {
        (**self).store(slot, secret).await
    }
    async fn retrieve(&self, receipt: &EscrowReceipt) -> Result<SealedBytes, EscrowError> {
        (**self).retrieve(receipt).await
    }
    async fn destroy(&self, receipt: &EscrowReceipt) -> Result<(), EscrowError> {
        (**self).destroy(receipt).await
    }
    async fn probe(&self) -> Result<(), EscrowError> {
        (**self).probe().await
    }
}
