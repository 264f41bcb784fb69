//! Whether an event stands twice, in bounded memory: a filter first, which lets hardly any pass, and then exactly.

/// The most memory, in blocks of 64 bytes: 256 MiB.
const MOST: u64 = 1 << 22;
/// Bits that are set of each identifier, of the 512 of its block: nine bits of a word choose each.
const BITS: u32 = 7;
/// As many that passed are looked at exactly.
pub(super) const CANDIDATES: usize = 1 << 20;

/// A blocked Bloom filter.
#[derive(Debug)]
pub(super) struct Filter(Vec<[u64; 8]>);

impl Filter {
    /// For this many identifiers: eight bytes each, so that of ten million about one passes that is new.
    pub(super) fn new(expected: u64) -> Self {
        let blocks = (expected / 8).next_power_of_two().clamp(1 << 10, MOST);
        Self(vec![[0; 8]; usize::try_from(blocks).unwrap_or(1 << 10)])
    }

    /// Remembers one; tells whether it may have been there before.
    pub(super) fn insert(&mut self, id: &[u8; 16]) -> bool {
        let half = |at: usize| id[at..at + 8].iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let bits = mixed(half(0) ^ mixed(half(8)));
        let block = usize::try_from(mixed(bits) % self.0.len() as u64).unwrap_or(0);
        let mut there = true;
        for n in 0..BITS {
            let bit = bits >> (9 * n) & 511;
            let word = &mut self.0[block][usize::try_from(bit / 64).unwrap_or(0)];
            there &= *word >> (bit % 64) & 1 == 1;
            *word |= 1 << (bit % 64);
        }
        there
    }
}

/// Identifiers need not be random: every bit of the result hangs on every bit (the finalizer of `SplitMix64`).
const fn mixed(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{self, SeededEntropy};

    #[test]
    fn what_was_there_passes_and_what_is_new_hardly_ever() {
        let entropy = SeededEntropy::new(5);
        let ids: Vec<[u8; 16]> = (0..200_000).map(|_| rng::bytes(&entropy)).collect();
        let mut filter = Filter::new(200_000);
        assert_eq!(ids.iter().filter(|id| filter.insert(id)).count(), 0);
        assert!(ids.iter().all(|id| filter.insert(id)));
        // Also of identifiers that are hardly random.
        let mut filter = Filter::new(200_000);
        let counted = (0..200_000_u128).map(u128::to_be_bytes);
        assert!(counted.filter(|id| filter.insert(id)).count() < 3);
    }
}
