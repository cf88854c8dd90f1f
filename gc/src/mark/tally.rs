//! What a marker has done, in figures.

/// What a marker has done.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Objects marked.
    pub(crate) objects: u64,
    /// Granules they occupy.
    pub(crate) granules: u64,
    /// References, from precise places, to what is not an object: the embedder's mistake.
    pub(crate) stray: u64,
    /// Blocks scanned again because packets ran out.
    pub(crate) rescanned: u64,
    /// Old objects, and pieces of old large ones, that were scanned because of what may have been written to them.
    pub(crate) remembered: u64,
    /// Packets passed on to markers that had nothing to do.
    pub(crate) shared: u64,
}

impl Tally {
    /// How many figures it has.
    pub(crate) const FIGURES: usize = 6;

    /// As numbers, for shared memory.
    pub(crate) fn figures(self) -> [u64; Self::FIGURES] {
        [self.objects, self.granules, self.stray, self.rescanned, self.remembered, self.shared]
    }

    /// From the numbers.
    pub(crate) fn from_figures(figures: [u64; Self::FIGURES]) -> Self {
        let [objects, granules, stray, rescanned, remembered, shared] = figures;
        Self { objects, granules, stray, rescanned, remembered, shared }
    }

    /// The sum of two.
    pub(crate) fn with(self, other: Self) -> Self {
        let (a, b) = (self.figures(), other.figures());
        Self::from_figures(std::array::from_fn(|k| a[k] + b[k]))
    }
}
