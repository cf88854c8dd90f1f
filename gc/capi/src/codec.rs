//! Which words are references, as data; and the embedder that reads it, for every heap that C makes.

use crate::kinds::{Layouts, palimpsest_layout};
use crate::status::{Answer, Status, fail};
use crate::trace::Traces;
use palimpsest::{Address, Embedder, Frozen, Layout, Tracer};

/// Which words are references: those with `(word & mask) == value`, but for those with no bit of `address_mask`. The address is
/// `word & address_mask`, where an object starts.
///
/// It holds for all words of uniform objects, for those that a layout names, and for those of root ranges.
/// `palimpsest_codec_pointers`, `palimpsest_codec_low_tag` and `palimpsest_codec_high_tag` make the usual ones.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct palimpsest_codec {
    /// The bits that tell a reference from other words.
    pub mask: u64,
    /// What those bits are in a reference.
    pub value: u64,
    /// The bits of the address.
    pub address_mask: u64,
}

impl palimpsest_codec {
    pub(crate) const POINTERS: Self = Self { mask: 0, value: 0, address_mask: u64::MAX };

    /// Refuses what no reference could be read by.
    pub(crate) fn check(&self) -> Answer {
        let Self { mask, value, address_mask } = *self;
        let why = if value & !mask != 0 {
            "`value` has bits outside of `mask`, so no word would be a reference"
        } else if address_mask == 0 {
            "`address_mask` is 0, so no word would be a reference"
        } else if value & address_mask != 0 {
            "bits of the tag `value` are in `address_mask` too, and would be part of every address"
        } else {
            return Ok(());
        };
        Err(fail(Status::PALIMPSEST_INVALID, format_args!("the codec makes no sense: {why}")))
    }
}

/// The codec for plain pointers: each word is the address of an object, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn palimpsest_codec_pointers() -> palimpsest_codec {
    palimpsest_codec::POINTERS
}

/// The codec for tags in the lowest bits: a word whose lowest `bits` bits are `tag` is a reference, and the address is the rest.
/// Addresses of objects have four such bits, so `bits` is at most 4; of more, the lowest 4 count.
#[unsafe(no_mangle)]
pub extern "C" fn palimpsest_codec_low_tag(bits: u32, tag: u64) -> palimpsest_codec {
    let mask = (1 << bits.min(4)) - 1;
    palimpsest_codec { mask, value: tag & mask, address_mask: !mask }
}

/// The codec for tags in the highest bits, such as NaN boxes: a word whose highest `bits` bits are those of `tag` is a reference,
/// and the address is the rest. `tag` is the whole word's pattern: `palimpsest_codec_high_tag(16, 0xfffc000000000000)`. At most 16
/// bits: addresses have 47.
#[unsafe(no_mangle)]
pub extern "C" fn palimpsest_codec_high_tag(bits: u32, tag: u64) -> palimpsest_codec {
    let mask = !(u64::MAX >> bits.min(16));
    palimpsest_codec { mask, value: tag & mask, address_mask: !mask }
}

/// The embedder of a heap that C made.
#[derive(Debug)]
pub struct Codec {
    pub(crate) words: palimpsest_codec,
    pub(crate) layouts: Option<Layouts>,
    pub(crate) traces: Traces,
}

// SAFETY: `decode` depends on the word and on what never changes. What the user's functions do is the user's contract; what
// they return has a meaning whatever it is.
unsafe impl Embedder for Codec {
    #[inline(always)]
    fn decode(&self, word: u64) -> Option<Address> {
        let address = word & self.words.address_mask;
        (word & self.words.mask == self.words.value && address != 0).then(|| Address::new(address as usize))
    }

    #[inline]
    fn layout(&self, header: u64) -> Layout {
        self.layouts.as_ref().map_or(Layout::words(), |layouts| layouts.of(header).into())
    }

    fn trace(&self, id: u16, object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
        self.traces.trace(id, object, tracer);
    }
}

impl From<palimpsest_layout> for Layout {
    #[inline]
    fn from(layout: palimpsest_layout) -> Self {
        if let Some(id) = layout.traced_by.checked_sub(1) {
            return Layout::native(id);
        }
        let words = Layout::mask(layout.mask);
        if layout.tail == palimpsest_layout::NO_TAIL { words } else { words.with_tail(layout.tail) }
    }
}
