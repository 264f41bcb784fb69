//! Randomness as an argument.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::{Zeroize as _, Zeroizing};

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

/// How many bytes [`DrawnAhead`] draws at once: some ten questions' worth.
const AHEAD: usize = 1024;

/// Draws from another in larger pieces, since each small draw from the operating system is a call to the kernel. What was
/// given out is wiped here. Not for a process that forks: parent and child would give out the same bytes.
#[derive(Debug)]
pub struct DrawnAhead<E> {
    source: E,
    pool: Mutex<Pool>,
}

struct Pool {
    bytes: Zeroizing<[u8; AHEAD]>,
    left: usize,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<E> DrawnAhead<E> {
    /// From this source.
    pub fn new(source: E) -> Self {
        Self { source, pool: Mutex::new(Pool { bytes: Zeroizing::new([0; AHEAD]), left: 0 }) }
    }
}

impl<E: Entropy> Entropy for DrawnAhead<E> {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > AHEAD / 4 {
            return self.source.fill(out);
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.left < out.len() {
            self.source.fill(&mut *pool.bytes);
            pool.left = AHEAD;
        }
        let end = pool.left;
        let start = end - out.len();
        out.copy_from_slice(&pool.bytes[start..end]);
        pool.bytes[start..end].zeroize();
        pool.left = start;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_ahead_is_what_the_source_gives_and_never_the_same_twice() {
        let ahead = DrawnAhead::new(SeededEntropy::new(7));
        let mut all = vec![0; 2 * AHEAD];
        SeededEntropy::new(7).fill(&mut all);
        // Pieces are given out from the end of each pool.
        for number in 0..2 * AHEAD / 16 {
            let (pool, from_end) = (number / (AHEAD / 16), number % (AHEAD / 16) + 1);
            let end = (pool + 1) * AHEAD - (from_end - 1) * 16;
            assert_eq!(bytes::<16>(&ahead), all[end - 16..end], "{number}");
        }
    }

    #[test]
    fn much_is_drawn_at_once_and_nothing_that_was_given_out_stays() {
        let ahead = DrawnAhead::new(SeededEntropy::new(7));
        assert_eq!(bytes::<AHEAD>(&ahead), bytes::<AHEAD>(&SeededEntropy::new(7)));
        assert_ne!(bytes::<100>(&ahead), [0; 100]);
        let pool = ahead.pool.lock().unwrap();
        assert_eq!((pool.left, pool.bytes[pool.left..].to_vec()), (AHEAD - 100, vec![0; 100]));
    }
}
