//! What the embedder implements. The other half of the interface, what it calls, is [`Heap`](crate::Heap) and
//! [`Mutator`](crate::Mutator).

use crate::kind::Layout;
use crate::mark::{Frozen, Tracer};
use palimpsest_runtime::Address;

/// The language's side of the collector: how references look in its words.
///
/// # Where it runs
/// In the forked worker, in the collector's thread, and in attached threads that verify. The value is shared by all of
/// them; the worker sees it as it was at the fork.
///
/// # Safety
/// * [`decode`](Embedder::decode) returns `None` or the address at which an object of this heap starts, for every word
///   that a traced object or a root range can hold; it depends on nothing but the word and on what does not change.
/// * No method allocates, takes a lock, does I/O or panics: in a worker, any lock may be held by a thread that does not
///   exist there.
pub unsafe trait Embedder: Send + Sync + 'static {
    /// The start of the object that a word refers to, or `None` if the word is not a reference.
    fn decode(&self, word: u64) -> Option<Address>;

    /// The layout of a [`Kind::HEADED`](crate::Kind::HEADED) object, told from its first word. By default every word
    /// goes through [`decode`](Embedder::decode), the header too.
    ///
    /// Has an answer for every word, also for one that no object's header can be: a conservative word may keep an object whose
    /// header was overwritten. A marker asks for objects of the snapshot only, which were complete then: what is younger has
    /// another colour.
    fn layout(&self, header: u64) -> Layout {
        let _ = header;
        Layout::words()
    }

    /// Finds the references of an object whose layout is [`Layout::native`] of this number, and tells the tracer each.
    ///
    /// The object's bytes are frozen: they are what they were at the snapshot. So is memory outside of the heap, a `Vec` that the
    /// object owns, say: in a worker it is what it was at the fork, and where there is none, the world is stopped. This holds
    /// for memory that attached threads write to between safepoints, and nobody else does. Code that walks ordinary collections
    /// is therefore right without a lock and without a barrier, while the program goes on changing them. But no page tells of
    /// what is written there: an object with references in such memory is registered
    /// ([`Mutator::register_external`](crate::Mutator::register_external)), or a cycle of the young loses them.
    ///
    /// Besides what holds for all methods: it writes to nothing, and looks at [`Tracer::goes_on`] every thousand references or so
    /// where there may be many. By default it finds none.
    fn trace(&self, id: u16, object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
        let _ = (id, object, tracer);
    }
}

/// For runtimes whose references are plain addresses: a word is the address of an object's start, or 0.
#[derive(Copy, Clone, Debug, Default)]
pub struct PlainPointers;

// SAFETY: depends on the word alone. That words are addresses of objects or 0 is what the embedder chooses this for.
unsafe impl Embedder for PlainPointers {
    #[inline(always)]
    fn decode(&self, word: u64) -> Option<Address> {
        if word == 0 { None } else { Some(Address::new(word as usize)) }
    }
}
