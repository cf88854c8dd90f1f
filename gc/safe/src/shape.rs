//! Where the references of a value are, as far as its type says.
//!
//! A shape is a constant of a type. It decides, without a look at any value, how an object of that type is traced:
//!
//! | shape | object | who finds the references |
//! | --- | --- | --- |
//! | [`Shape::Leaf`] | in the half of the heap that is never looked at | nobody: there are none |
//! | [`Shape::Words`] | the value alone, no header | the collector, word by word, at full speed |
//! | [`Shape::Native`] | a header of a word, then the value | the type's own [`Trace::trace`](crate::Trace::trace), on a frozen copy |
//!
//! Shapes are joined from those of fields by functions that err on one side only: whatever is not certain is `Native`, which is right
//! for every value.

/// Which words of a value are references.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// None, nor any in memory that it owns.
    Leaf,
    /// Exactly those whose bits are set, of the first 64 words: each a [`Gc`](crate::Gc), or null. All others are data.
    Words(u64),
    /// What [`Trace::trace`](crate::Trace::trace) finds.
    Native {
        /// Whether there may be references in memory outside of the value itself, as in a `Vec`. Every cycle of the young looks at
        /// all objects of such types, since no page of the heap tells that something was stored there.
        external: bool,
    },
}

/// Words that a mask has bits for.
const MASKED: usize = u64::BITS as usize;

impl Shape {
    /// A single reference.
    pub const REFERENCE: Self = Self::Words(1);

    /// Whether there are no references.
    pub const fn is_leaf(self) -> bool {
        matches!(self, Self::Leaf)
    }

    const fn is_external(self) -> bool {
        matches!(self, Self::Native { external: true })
    }

    /// A value that holds another one in itself, but not always, or not always valid: references are where
    /// [`Trace::trace`](crate::Trace::trace) finds them.
    pub const fn held(self) -> Self {
        if self.is_leaf() { self } else { Self::Native { external: self.is_external() } }
    }

    /// A value that owns others in memory of its own, as a `Vec` does.
    pub const fn outside(self) -> Self {
        if self.is_leaf() { self } else { Self::Native { external: true } }
    }

    /// This shape at so many bytes from the start of a value.
    const fn moved(self, offset: usize) -> Self {
        let Self::Words(mask) = self else { return self };
        let word = offset / 8;
        if !offset.is_multiple_of(8) || word >= MASKED || mask.leading_zeros() < word as u32 {
            return self.held();
        }
        Self::Words(mask << word)
    }

    /// Two parts of one value, each at its place.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Leaf, shape) | (shape, Self::Leaf) => shape,
            (Self::Words(one), Self::Words(another)) => Self::Words(one | another),
            _ => Self::Native { external: self.is_external() || other.is_external() },
        }
    }

    /// A struct: the shape of each field, and its offset in bytes.
    pub const fn of_fields(fields: &[(usize, Self)]) -> Self {
        let (mut all, mut k) = (Self::Leaf, 0);
        while k < fields.len() {
            all = all.and(fields[k].1.moved(fields[k].0));
            k += 1;
        }
        all
    }

    /// An enum: the shapes of all fields of all variants.
    pub const fn of_variants(fields: &[Self]) -> Self {
        let (mut all, mut k) = (Self::Leaf, 0);
        while k < fields.len() {
            all = all.and(fields[k].held());
            k += 1;
        }
        all
    }

    /// An array of so many values, each of so many bytes.
    pub const fn repeated(self, bytes: usize, times: usize) -> Self {
        let (mut all, mut k) = (Self::Leaf, 0);
        while k < times {
            all = all.and(self.moved(k * bytes));
            if !matches!(all, Self::Words(_)) {
                break;
            }
            k += 1;
        }
        all
    }

    /// An `Option` of `option` bytes around a value of this shape, which has `value` bytes. Where the option of a pointer is no larger
    /// than the pointer, `None` is null.
    pub const fn optional(self, value: usize, option: usize) -> Self {
        match self {
            Self::Words(1) if value == 8 && option == 8 => self,
            _ => self.held(),
        }
    }

    /// Whether every word of a value of so many bytes is a reference.
    pub(crate) const fn is_all_of(self, bytes: usize) -> bool {
        let words = bytes / 8;
        match self {
            Self::Words(mask) => {
                bytes.is_multiple_of(8)
                    && words <= MASKED
                    && words > 0
                    && mask == u64::MAX >> (MASKED - words)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INLINE: Shape = Shape::Native { external: false };
    const EXTERNAL: Shape = Shape::Native { external: true };

    #[test]
    fn fields_are_joined_at_their_places() {
        assert_eq!(Shape::of_fields(&[]), Shape::Leaf);
        assert_eq!(Shape::of_fields(&[(0, Shape::Leaf), (8, Shape::Leaf)]), Shape::Leaf);
        assert_eq!(Shape::of_fields(&[(16, Shape::REFERENCE), (0, Shape::Leaf)]), Shape::Words(0b100));
        assert_eq!(
            Shape::of_fields(&[(8, Shape::Words(0b101)), (0, Shape::REFERENCE)]),
            Shape::Words(0b1011)
        );
        assert_eq!(Shape::of_fields(&[(8, Shape::REFERENCE), (16, INLINE)]), INLINE);
        assert_eq!(Shape::of_fields(&[(0, INLINE), (16, EXTERNAL)]), EXTERNAL);
    }

    #[test]
    fn what_a_mask_cannot_say_is_native() {
        assert_eq!(Shape::of_fields(&[(4, Shape::REFERENCE)]), INLINE, "a packed field");
        assert_eq!(Shape::of_fields(&[(63 * 8, Shape::REFERENCE)]), Shape::Words(1 << 63));
        assert_eq!(Shape::of_fields(&[(64 * 8, Shape::REFERENCE)]), INLINE);
        assert_eq!(Shape::of_fields(&[(63 * 8, Shape::Words(0b11))]), INLINE);
    }

    #[test]
    fn arrays_repeat() {
        assert_eq!(Shape::REFERENCE.repeated(8, 0), Shape::Leaf);
        assert_eq!(Shape::REFERENCE.repeated(8, 3), Shape::Words(0b111));
        assert_eq!(Shape::Words(0b01).repeated(16, 3), Shape::Words(0b010101));
        assert_eq!(Shape::REFERENCE.repeated(8, 64), Shape::Words(u64::MAX));
        assert_eq!(Shape::REFERENCE.repeated(8, 65), INLINE);
        assert_eq!(EXTERNAL.repeated(24, 1_000_000), EXTERNAL);
        assert_eq!(Shape::Leaf.repeated(8, 1_000_000), Shape::Leaf);
    }

    #[test]
    fn an_option_is_a_word_only_if_none_is_null() {
        assert_eq!(Shape::REFERENCE.optional(8, 8), Shape::REFERENCE);
        assert_eq!(Shape::REFERENCE.optional(8, 16), INLINE);
        assert_eq!(Shape::Words(0b11).optional(16, 16), INLINE);
        assert_eq!(Shape::Leaf.optional(4, 8), Shape::Leaf);
        assert_eq!(EXTERNAL.optional(24, 24), EXTERNAL);
    }

    #[test]
    fn variants_are_native_unless_all_are_leaves() {
        assert_eq!(Shape::of_variants(&[Shape::Leaf, Shape::Leaf]), Shape::Leaf);
        assert_eq!(Shape::of_variants(&[Shape::Leaf, Shape::REFERENCE]), INLINE);
        assert_eq!(Shape::of_variants(&[Shape::REFERENCE, EXTERNAL]), EXTERNAL);
    }

    #[test]
    fn values_that_are_nothing_but_references() {
        assert!(Shape::Words(0b11).is_all_of(16));
        assert!(Shape::Words(u64::MAX).is_all_of(512));
        assert!(!Shape::Words(0b1).is_all_of(16));
        assert!(!Shape::Words(u64::MAX).is_all_of(520));
        assert!(!Shape::Leaf.is_all_of(0));
    }
}
