//! Randomness as an argument.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use crate::canon::sha256;

/// Where ids, codes and nonces come from: cryptographic quality ([`OsEntropy`]), or a seed in tests ([`SeededEntropy`]).
///
/// It never fails and fills everything: whoever has no randomness to give must not return. Nobody may predict the bytes, not
/// even from earlier ones; implementing it over anything but the system's generator is seldom right.
///
/// ```
/// use identree_core::rng::{Entropy, OsEntropy};
///
/// /// Counts how much is drawn.
/// #[derive(Debug, Default)]
/// struct Metered(std::sync::atomic::AtomicUsize);
///
/// impl Entropy for Metered {
///     fn fill(&self, out: &mut [u8]) {
///         self.0.fetch_add(out.len(), std::sync::atomic::Ordering::Relaxed);
///         OsEntropy.fill(out);
///     }
/// }
/// ```
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills all of `out`.
    fn fill(&self, out: &mut [u8]);
}

impl<E: Entropy + ?Sized> Entropy for Arc<E> {
    fn fill(&self, out: &mut [u8]) {
        (**self).fill(out);
    }
}

/// An array of random bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut out = [0; N];
    entropy.fill(&mut out);
    out
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// If the operating system has no randomness to give; nothing safe can be done without it.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the operating system")]
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system gives randomness");
    }
}

/// A reproducible stream made of SHA-256 over seed and counter: for tests and simulations, never for production.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<(u64, u64)>);

impl SeededEntropy {
    /// The same seed gives the same bytes.
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new((seed, 0)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in out.chunks_mut(32) {
            let block = sha256(&[state.0.to_be_bytes(), state.1.to_be_bytes()].concat());
            state.1 += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}
