//! A session: what the server remembers of a client.
//!
//! A history of the last requests, linked from the oldest to the newest, and a small map with chains. Some sixty objects, all of
//! them old but for what the last requests have stored.

use std::ptr;

use palimpsest::{Error, Heap, Kind, Layout, PlainPointers};

use crate::objects::{self, Mutator};
use crate::random::Random;

/// Entries of a history, always.
const HISTORY: usize = 16;
/// Chains of a map, and keys there are.
const CHAINS: u64 = 8;
const KEYS: u64 = 16;

/// Words of a text.
pub(super) fn text_len(random: &mut Random) -> usize {
    2 + random.below(7)
}

/// The kinds of the server's objects.
pub(super) struct Kinds {
    session: Kind,
    entry: Kind,
    pair: Kind,
    pub(super) node: Kind,
}

impl Kinds {
    pub(super) fn define(heap: &Heap<PlainPointers>) -> Result<Self, Error> {
        Ok(Self {
            session: heap.define_layout(Layout::mask(0b111))?,
            entry: heap.define_layout(Layout::mask(0b11))?,
            pair: heap.define_layout(Layout::mask(0b11))?,
            node: heap.define_layout(Layout::mask(0b111))?,
        })
    }
}

#[derive(Clone, Copy)]
pub(super) struct Session {
    oldest: *mut Entry,
    newest: *mut Entry,
    chains: *mut *mut Pair,
}

/// One request of the past.
#[derive(Clone, Copy)]
struct Entry {
    next: *mut Entry,
    text: *mut u64,
    value: u64,
    number: u64,
}

/// What a map has for a key.
#[derive(Clone, Copy)]
struct Pair {
    next: *mut Pair,
    text: *mut u64,
    key: u64,
    hits: u64,
}

impl Session {
    /// A new session with a full history.
    pub(super) fn open(mutator: &mut Mutator, kinds: &Kinds, random: &mut Random) -> *mut Session {
        let chains = objects::pointers(mutator, CHAINS as usize);
        let first = Entry::new(mutator, kinds, random, 0, 0);
        let session = Session { oldest: first, newest: first, chains };
        let session = objects::new(mutator, kinds.session, session);
        for number in 1..HISTORY as u64 {
            let value = random.next().into();
            let entry = Entry::new(mutator, kinds, random, value, number);
            // SAFETY: live, as this frame holds it.
            unsafe { (*session).append(entry) };
        }
        session
    }

    /// A new entry takes the place of the oldest, of which something for the checksum is returned.
    ///
    /// # Safety
    /// A live session.
    pub(super) unsafe fn remember(
        session: *mut Session,
        mutator: &mut Mutator,
        kinds: &Kinds,
        random: &mut Random,
        value: u64,
        number: u64,
    ) -> u64 {
        let entry = Entry::new(mutator, kinds, random, value, number);
        // SAFETY: the session leads to its entries; no safepoint before the oldest was read.
        unsafe {
            (*session).append(entry);
            let oldest = *(*session).oldest;
            (*session).oldest = oldest.next;
            oldest.value.wrapping_add(objects::read_words(oldest.text))
        }
    }

    fn append(&mut self, entry: *mut Entry) {
        // SAFETY: the newest entry is live, as the session is.
        unsafe { (*self.newest).next = entry };
        self.newest = entry;
    }

    /// Enters a value into the map, under the key that it says. Something of what the key had before, for the checksum.
    ///
    /// # Safety
    /// A live session.
    pub(super) unsafe fn enter(
        session: *mut Session,
        mutator: &mut Mutator,
        kinds: &Kinds,
        random: &mut Random,
        value: u64,
    ) -> u64 {
        let key = value % KEYS;
        let text = objects::words(mutator, text_len(random), value);
        // SAFETY: the session leads to its chains and pairs; no safepoint between a look at one and its use.
        unsafe {
            let chain = (*session).chains.add((key % CHAINS) as usize);
            let mut pair = *chain;
            while let Some(found) = pair.as_mut() {
                if found.key == key {
                    let old = std::mem::replace(&mut found.text, text);
                    found.hits += 1;
                    return objects::read_words(old).wrapping_add(found.hits);
                }
                pair = found.next;
            }
            let next = *chain;
            let pair = objects::new(mutator, kinds.pair, Pair { next, text, key, hits: 0 });
            chain.write(pair);
        }
        0
    }

    /// All that the history says, oldest first.
    ///
    /// # Safety
    /// A live session.
    pub(super) unsafe fn recall(session: *const Session) -> u64 {
        let mut sum = 0u64;
        // SAFETY: passed on to the caller; no safepoint on the way.
        let mut entry = unsafe { (*session).oldest };
        // SAFETY: as above.
        while let Some(found) = unsafe { entry.as_ref() } {
            sum = sum.wrapping_mul(31).wrapping_add(found.value ^ found.number);
            entry = found.next;
        }
        sum
    }
}

impl Entry {
    fn new(mutator: &mut Mutator, kinds: &Kinds, random: &mut Random, value: u64, number: u64) -> *mut Entry {
        let text = objects::words(mutator, text_len(random), value);
        objects::new(mutator, kinds.entry, Entry { next: ptr::null_mut(), text, value, number })
    }
}
