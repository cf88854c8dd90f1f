//! Marsaglia's xorshift with 32 bits of state: the same numbers in every language that has the workloads.

/// The generator, started from the seed that all programs use.
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new() -> Self {
        Self(2_463_534_242)
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
    fn below_stays_below() {
        let mut random = Random::new();
        assert!((0..10_000).all(|_| random.below(7) < 7));
    }
}
