//! Objects whose references the embedder's own code finds.
//!
//! The code gets the object as a [`Frozen`] view, since the object itself may be changing: what it loads goes through the marker's
//! source, word by word, and is what was there at the snapshot. It passes on what it finds to a [`Tracer`], behind which is the
//! marker, or the verifier.

use super::source::Source;
use palimpsest_runtime::Address;
use std::fmt;

/// An object as it was when the snapshot was taken.
pub struct Frozen<'a> {
    at: Address,
    words: usize,
    source: &'a dyn Source,
}

impl<'a> Frozen<'a> {
    pub(crate) fn new(at: Address, words: usize, source: &'a dyn Source) -> Self {
        Self { at, words, source }
    }

    /// Where the object starts in the program. Not an address to load from: a worker has nothing mapped there, and elsewhere
    /// the object may be changing.
    pub fn address(&self) -> Address {
        self.at
    }

    /// What the object occupies, in bytes: its size, rounded up to granules of 16.
    pub fn bytes(&self) -> usize {
        self.words * 8
    }

    /// Loads words, from the `first` one on. Those beyond the end of the object are 0.
    pub fn load(&self, first: usize, into: &mut [u64]) {
        let there = self.words.saturating_sub(first).min(into.len());
        let (inside, beyond) = into.split_at_mut(there);
        if there > 0 {
            self.source.load(self.at.add(first * 8), inside);
        }
        beyond.fill(0);
    }
}

impl fmt::Debug for Frozen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frozen({}, {} bytes)", self.at, self.bytes())
    }
}

/// Who is told of references.
pub(crate) trait Told {
    /// The start of an object.
    fn precise(&mut self, object: Address);
    /// A word for [`Embedder::decode`](crate::Embedder::decode).
    fn coded(&mut self, word: u64);
    /// A word that may be the address of a place in an object.
    fn conservative(&mut self, word: u64);
    /// Whether it is worth going on.
    fn goes_on(&mut self) -> bool;
}

/// What [`Embedder::trace`](crate::Embedder::trace) tells of the references that it finds.
pub struct Tracer<'a>(&'a mut dyn Told);

impl<'a> Tracer<'a> {
    pub(crate) fn new(told: &'a mut dyn Told) -> Self {
        Self(told)
    }

    /// A reference to the object that starts here. One that leads to no object is counted
    /// ([`CycleRecord::stray_references`](crate::CycleRecord::stray_references)) and not followed.
    pub fn object(&mut self, start: Address) {
        self.0.precise(start);
    }

    /// A word that [`Embedder::decode`](crate::Embedder::decode) tells to be a reference, or not.
    pub fn word(&mut self, word: u64) {
        self.0.coded(word);
    }

    /// A word that may be a reference, also to a place within an object, or anything else.
    pub fn conservative(&mut self, word: u64) {
        self.0.conservative(word);
    }

    /// Whether to go on. If not, the marking has run out of its time and is given up: what is not told of any more does not
    /// matter. Looks at the clock.
    pub fn goes_on(&mut self) -> bool {
        self.0.goes_on()
    }
}

impl fmt::Debug for Tracer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}
