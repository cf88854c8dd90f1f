//! Marsaglia's xorshift with 32 bits of state: the same numbers in every language that has the workloads.

const SEED: u32 = 2_463_534_242;
/// 2^32 by the golden ratio: neighbouring numbers times this lie far apart.
const SPREAD: u32 = 2_654_435_769;

/// The generator, started from the seed that all programs use.
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new() -> Self {
        Self(SEED)
    }

    /// One of many generators: a thread's, or a request's. All have different seeds, but for pairs that lie far apart; none is zero.
    #[inline]
    pub(crate) fn of(index: u64) -> Self {
        Self((SEED ^ (index as u32).wrapping_mul(SPREAD)) | 1)
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u32 {
        let mut word = self.0;
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        self.0 = word;
        word
    }

    /// A number below `bound`, which must fit 32 bits.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> usize {
        ((u64::from(self.next()) * bound) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_those_of_the_paper() {
        let mut random = Random::new();
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [723_471_715, 2_497_366_906, 2_064_144_800]
        );
    }

    #[test]
    fn generators_of_neighbours_have_little_in_common() {
        let firsts: std::collections::BTreeSet<u64> =
            (0..1000).map(|index| Random::of(index).below(1 << 16) as u64).collect();
        assert!(firsts.len() > 980, "{}", firsts.len());
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new();
        assert!((0..10_000).all(|_| random.below(7) < 7));
    }
}
