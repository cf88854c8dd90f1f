//! The 32-bit word of a page.

use std::fmt;

/// A page's state as it stands in shared memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct PageWord(u32);

/// A place in the pre-image pool.
pub type Slot = u32;

impl PageWord {
    /// Writes go through. What a page is at first.
    pub const OPEN: Self = Self(0);
    /// Protected: the next write traps.
    pub const ARMED: Self = Self(1);
    /// One thread stores the pre-image or unprotects the page; the live page is unchanged so far, or no snapshot wants
    /// what it holds.
    pub const SAVING: Self = Self(2);
    /// The collector is protecting the page. Never while a worker looks at it.
    pub const ARMING: Self = Self(3);
    const FIRST_SLOT: u32 = 4;

    /// The pre-image is stored in this slot.
    #[inline]
    pub const fn saved(slot: Slot) -> Self {
        Self(Self::FIRST_SLOT + slot)
    }

    /// Where the pre-image is, if there is one.
    #[inline]
    pub const fn slot(self) -> Option<Slot> {
        self.0.checked_sub(Self::FIRST_SLOT)
    }

    /// The word as it is stored.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The word that was stored so.
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

impl fmt::Display for PageWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OPEN => f.write_str("open"),
            Self::ARMED => f.write_str("armed"),
            Self::SAVING => f.write_str("being saved or opened"),
            Self::ARMING => f.write_str("being armed"),
            Self(raw) => write!(f, "saved in pre-image {}", raw - Self::FIRST_SLOT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_saved_pages_have_a_slot() {
        for word in [PageWord::OPEN, PageWord::ARMED, PageWord::SAVING, PageWord::ARMING] {
            assert_eq!(word.slot(), None);
        }
        assert_eq!(PageWord::from_raw(PageWord::saved(9).raw()).slot(), Some(9));
    }
}
