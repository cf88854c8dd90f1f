//! Tables in memory of the checker, and a heap whose page table is modelled.
//!
//! A store either finds its page writable and lands, or traps: the look at the page table and the store are one step, as they
//! are for a processor. Loads, of a worker or of whoever copies a page, ask nobody.
//!
//! # What is taken for granted of processor and kernel
//!
//! Protecting and unprotecting are ordered among themselves and with the stores to the page (the page table's lock, and the
//! interrupt that has every processor forget its translations). And a store that goes through comes, for everyone, after what
//! its processor saw when it translated the address: after the unprotection that let it through, and what went before that. So
//! it is on x86-64, and on AArch64, whose memory is multi-copy atomic.

use crate::error::Error;
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, checker};
use crate::unit::{Address, Bytes, PAGE_SIZE, PAGE_WORDS, PageIndex, PageRange};
use std::fmt;
use std::ops::Deref;

/// What a table can consist of.
pub trait Zeroed: Sized {
    fn zero() -> Self;
}

macro_rules! zeroed {
    ($($atomic:ty)*) => {
        $(impl Zeroed for $atomic {
            fn zero() -> Self {
                Self::new(0)
            }
        })*
    };
}

zeroed!(AtomicU8 AtomicU16 AtomicU32 AtomicU64);
// What only counts.
zeroed!(std::sync::atomic::AtomicU8);

impl<T: Zeroed, const N: usize> Zeroed for [T; N] {
    fn zero() -> Self {
        std::array::from_fn(|_| T::zero())
    }
}

/// Where a table is, for workers: here, threads.
#[derive(Copy, Clone, Debug)]
pub struct Region<'a>(pub std::marker::PhantomData<&'a ()>);

impl Region<'_> {
    pub fn check_slack(&self) {}
}

macro_rules! table {
    ($name:ident) => {
        pub struct $name<T>(Box<[T]>);

        impl<T: Zeroed> $name<T> {
            fn zeroes(len: usize) -> Self {
                Self((0..len).map(|_| T::zero()).collect())
            }

            pub fn region(&self) -> Region<'_> {
                Region(std::marker::PhantomData)
            }

            pub fn populated(&self) -> Bytes {
                Bytes(self.0.len())
            }

            pub fn release(&self, _from: usize, _to: usize) {}
        }

        impl<T> Deref for $name<T> {
            type Target = [T];
            fn deref(&self) -> &[T] {
                &self.0
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

table!(Shared);
table!(Private);

impl<T: Zeroed> Shared<T> {
    pub fn new(_name: &str, len: usize) -> Result<Self, Error> {
        Ok(Self::zeroes(len))
    }

    pub fn scratch(_name: &str, len: usize) -> Result<Self, Error> {
        Ok(Self::zeroes(len))
    }
}

impl<T: Zeroed> Private<T> {
    pub fn new(len: usize) -> Result<Self, Error> {
        Ok(Self::zeroes(len))
    }
}

#[derive(Debug)]
struct Page {
    words: [AtomicU64; PAGE_WORDS],
    /// Under the lock of its entry in the page table.
    is_protected: checker::sync::Mutex<bool>,
}

/// A heap of a few pages.
#[derive(Debug)]
pub struct HeapMapping(Vec<Page>);

impl HeapMapping {
    /// Pages that are writable, with these words.
    pub fn of(pages: &[[u64; PAGE_WORDS]]) -> Self {
        let page = |words: &[u64; PAGE_WORDS]| Page {
            words: words.map(AtomicU64::now),
            is_protected: checker::sync::Mutex::new(false),
        };
        Self(pages.iter().map(page).collect())
    }

    pub fn base(&self) -> Address {
        Address::new(0x1_0000)
    }

    pub fn half(&self) -> Bytes {
        Bytes(self.0.len() * PAGE_SIZE)
    }

    pub fn is_lost(&self) -> bool {
        false
    }

    pub fn span(&self, pages: PageRange) -> (Address, Bytes) {
        (self.base().add(pages.start.0 as usize * PAGE_SIZE), Bytes(pages.len() as usize * PAGE_SIZE))
    }

    /// # Safety
    /// None here.
    pub unsafe fn copy_page(&self, page: PageIndex, into: &[AtomicU64; PAGE_WORDS]) {
        for (to, from) in into.iter().zip(&self.0[page.0 as usize].words) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    pub fn live(&self) -> Live<'_> {
        Live(self)
    }

    /// Whether a write to the page would trap.
    pub fn is_protected(&self, page: u32) -> bool {
        *self.0[page as usize].is_protected.lock().unwrap()
    }

    /// What is in the page, for a thread that knows that nobody writes to it.
    pub fn contents(&self, page: u32) -> [u64; PAGE_WORDS] {
        std::array::from_fn(|k| self.0[page as usize].words[k].load(Ordering::Relaxed))
    }

    pub fn protect(&self, pages: PageRange, to: bool) {
        for page in pages.iter() {
            *self.0[page.0 as usize].is_protected.lock().unwrap() = to;
        }
    }

    /// A processor's store. `false`: it traps.
    pub fn store(&self, page: u32, word: usize, value: u64) -> bool {
        let page = &self.0[page as usize];
        let is_protected = page.is_protected.lock().unwrap();
        if *is_protected {
            return false;
        }
        crate::sync::processor_orders();
        page.words[word].store(value, Ordering::Relaxed);
        true
    }
}

#[derive(Copy, Clone, Debug)]
pub struct Live<'a>(&'a HeapMapping);

impl<'a> Live<'a> {
    /// # Safety
    /// None here.
    pub unsafe fn words(self, offset: usize, len: usize) -> &'a [AtomicU64] {
        let first = offset % PAGE_SIZE / 8;
        &self.0.0[offset / PAGE_SIZE].words[first..first + len]
    }
}
