//! What an object holds: which of its words are references, and how they are found.

/// How an object is traced. Recorded in the object's metadata, outside the object, so that an object needs no
/// header.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Kind(u8);

impl Kind {
    /// No references. Lives in the leaf space, which is never write-protected: kernel I/O into it works.
    pub const LEAF: Self = Self(1);
    /// Every word goes through [`Embedder::decode`](crate::Embedder::decode).
    pub const UNIFORM: Self = Self(2);
    /// Any word may be a reference, also one into the middle of an object.
    pub const CONSERVATIVE: Self = Self(3);
    /// [`Embedder::layout`](crate::Embedder::layout) tells the layout from the object's first word.
    pub const HEADED: Self = Self(4);

    const FIRST_LAYOUT: u8 = 5;
    pub(crate) const MASK: u8 = 0x0f;

    /// How many layouts without a header a heap can have.
    pub const LAYOUTS: usize = (Self::MASK - Self::FIRST_LAYOUT + 1) as usize;

    /// As a number from 1 to 15: how it stands in the metadata ([`InlineAlloc`](crate::InlineAlloc)).
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The kind with this number. Of a layout that was not defined, objects have no references.
    pub const fn from_number(number: u8) -> Option<Self> {
        if number == 0 || number > Self::MASK { None } else { Some(Self(number)) }
    }

    /// The kind of objects with the heap's `k`th layout.
    pub(crate) const fn of_layout(k: usize) -> Self {
        assert!(k < Self::LAYOUTS);
        Self(Self::FIRST_LAYOUT + k as u8)
    }

    /// Which layout, for kinds made by [`Kind::of_layout`].
    #[inline(always)]
    pub(crate) const fn layout(self) -> Option<usize> {
        if self.0 >= Self::FIRST_LAYOUT { Some((self.0 - Self::FIRST_LAYOUT) as usize) } else { None }
    }

    #[inline(always)]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::MASK)
    }
}

/// Which words of an object are references. Each goes through [`Embedder::decode`](crate::Embedder::decode). Or that the embedder
/// finds them itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bit `i` is set if word `i` is a reference.
    mask: u64,
    /// All words from this one on are references; [`Layout::NO_TAIL`] for none.
    tail: u16,
    /// The number that the embedder's trace function is told. There are no mask and no tail then.
    native: Option<u16>,
}

impl Layout {
    const NO_TAIL: u16 = u16::MAX;

    /// No references.
    pub const fn leaf() -> Self {
        Self { mask: 0, tail: Self::NO_TAIL, native: None }
    }

    /// All words.
    pub const fn words() -> Self {
        Self { tail: 0, ..Self::leaf() }
    }

    /// What the embedder's own code finds: [`Embedder::trace`](crate::Embedder::trace) is called for the object, with this number.
    pub const fn native(id: u16) -> Self {
        Self { native: Some(id), ..Self::leaf() }
    }

    /// The words whose bits are set, of the first 64.
    pub const fn mask(bits: u64) -> Self {
        Self { mask: bits, ..Self::leaf() }
    }

    /// Besides, all words from `from_word` on.
    ///
    /// # Panics
    /// If `from_word` is 65535, or for a [`Layout::native`].
    pub const fn with_tail(self, from_word: u16) -> Self {
        assert!(from_word != Self::NO_TAIL && self.native.is_none());
        Self { tail: from_word, ..self }
    }

    /// References among the first 64 words that are not in the tail.
    #[inline(always)]
    pub(crate) const fn bits(self) -> u64 {
        if self.tail < 64 { self.mask & ((1 << self.tail) - 1) } else { self.mask }
    }

    /// Whether word `k` is a reference.
    #[inline]
    pub(crate) const fn has(self, k: usize) -> bool {
        (k < 64 && self.mask >> k & 1 != 0) || (self.tail != Self::NO_TAIL && k >= self.tail as usize)
    }

    /// Where the tail begins, in words.
    #[inline(always)]
    pub(crate) const fn tail(self) -> Option<usize> {
        if self.tail == Self::NO_TAIL { None } else { Some(self.tail as usize) }
    }

    /// The number that the embedder's trace function is told, where that finds the references.
    #[inline(always)]
    pub(crate) const fn native_id(self) -> Option<u16> {
        self.native
    }

    /// As numbers, for a table that is read without a lock. All zero is a layout without references.
    pub(crate) const fn pack(self) -> [u64; 2] {
        let native = match self.native {
            Some(id) => 1 << 32 | (id as u64) << 16,
            None => 0,
        };
        [self.mask, native | !self.tail as u64]
    }

    #[inline(always)]
    pub(crate) const fn unpack(packed: [u64; 2]) -> Self {
        let native = if packed[1] >> 32 != 0 { Some((packed[1] >> 16) as u16) } else { None };
        Self { mask: packed[0], tail: !(packed[1] as u16), native }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_layouts_round_trip() {
        for k in 0..Kind::LAYOUTS {
            assert_eq!(Kind::from_bits(Kind::of_layout(k).bits()).layout(), Some(k));
        }
        assert_eq!(Kind::HEADED.layout(), None);
        assert_eq!((Kind::from_number(0), Kind::from_number(16)), (None, None));
        assert_eq!(Kind::from_number(Kind::of_layout(10).number()), Some(Kind::of_layout(10)));
        let layout = Layout::mask(0b1011).with_tail(3);
        assert_eq!(Layout::unpack(layout.pack()), layout);
        assert_eq!((layout.bits(), layout.tail()), (0b011, Some(3)));
        assert_eq!(Layout::unpack([0, 0]), Layout::leaf());
        for id in [0, 1, u16::MAX] {
            let native = Layout::unpack(Layout::native(id).pack());
            assert_eq!((native.native_id(), native.bits(), native.tail()), (Some(id), 0, None));
        }
        assert_eq!((Layout::words().bits(), Layout::words().tail()), (0, Some(0)));
    }
}
