//! Strings: bytes in a leaf object, interned, so that equality is identity.
//!
//! ```text
//! word 0  header, payload: length in bytes
//! word 1  hash of the bytes
//! word 2  the bytes
//! ```
//!
//! The set of all strings is the collector's weak table: it does not keep a string alive, and a string that nothing else
//! refers to vanishes from it. Its operations are no safepoints, so a fresh string need not be rooted for them.

use palimpsest::{Address, OutOfMemory};

use crate::heap::LoxHeap;
use crate::object::{ObjectKind, ObjectRef, reference_type};
use crate::value::Value;

reference_type! {
    /// A string.
    StringRef, String
}

const HASH: usize = 1;
const BYTES: usize = 2;

impl StringRef {
    /// The one string with these bytes.
    pub fn intern(heap: &mut LoxHeap, bytes: &[u8]) -> Result<StringRef, OutOfMemory> {
        let hash = hash_of(bytes);
        if let Some(known) = find(heap, hash, bytes) {
            return Ok(known);
        }
        let string = StringRef::uninterned(heap, bytes.len())?;
        string.fill(0, bytes);
        string.0.set_word(HASH, hash);
        string.enter(heap)
    }

    /// The one string that is `left` followed by `right`, both of which are rooted by the caller.
    pub fn concatenate(
        heap: &mut LoxHeap,
        left: StringRef,
        right: StringRef,
    ) -> Result<StringRef, OutOfMemory> {
        let string = StringRef::uninterned(heap, left.len() + right.len())?;
        string.fill(0, left.bytes());
        string.fill(left.len(), right.bytes());
        let hash = hash_of(string.bytes());
        string.0.set_word(HASH, hash);
        match find(heap, hash, string.bytes()) {
            Some(known) => Ok(known),
            None => string.enter(heap),
        }
    }

    fn uninterned(heap: &mut LoxHeap, len: usize) -> Result<StringRef, OutOfMemory> {
        ObjectRef::leaf(heap, ObjectKind::String, BYTES * 8 + len, len as u64).map(StringRef)
    }

    fn fill(self, at: usize, bytes: &[u8]) {
        debug_assert!(at + bytes.len() <= self.len());
        let target = self.0.bytes_from(BYTES).wrapping_add(at);
        // SAFETY: the object was allocated with room for its length, and is too new for `bytes` to lie in it.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    fn enter(self, heap: &mut LoxHeap) -> Result<StringRef, OutOfMemory> {
        let (strings, mutator) = heap.strings_and_mutator();
        strings.insert(mutator, self.0.word(HASH), self.0.address())?;
        Ok(self)
    }

    /// Length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.0.payload() as usize
    }

    /// The bytes, which are valid UTF-8, as all source is.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the object is alive, holds this many initialised bytes, and is not written once it is interned.
        unsafe { std::slice::from_raw_parts(self.0.bytes_from(BYTES), self.len()) }
    }

    /// The text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

fn find(heap: &mut LoxHeap, hash: u64, bytes: &[u8]) -> Option<StringRef> {
    let (strings, mutator) = heap.strings_and_mutator();
    // Among the candidates may be strings that have just died; their kind is looked at before anything else.
    let string_at = |address: Address| StringRef::from_value(Value::reference(address));
    let is_equal = |candidate: Address| string_at(candidate).is_some_and(|string| string.bytes() == bytes);
    strings.find(mutator, hash, is_equal).and_then(string_at)
}

/// Eight bytes a step, with one multiplication each; the high bits are folded down at every step, since a product's
/// low bits never see them.
fn hash_of(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |hash: u64, chunk: u64| {
        let product = (hash ^ chunk).wrapping_mul(FACTOR);
        product ^ product >> 29
    };
    let mut chunks = bytes.chunks_exact(8);
    let mut hash = bytes.len() as u64;
    for chunk in &mut chunks {
        hash = step(hash, u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes")));
    }
    let mut tail = [0; 8];
    tail[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    step(step(hash, u64::from_le_bytes(tail)), FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::HeapOptions;

    #[test]
    fn equal_bytes_are_one_object() {
        let mut heap = LoxHeap::new(&HeapOptions::default()).unwrap();
        let whole = StringRef::intern(&mut heap, b"palimpsest").unwrap();
        heap.temporaries.push(whole.value());
        let left = StringRef::intern(&mut heap, b"palim").unwrap();
        heap.temporaries.push(left.value());
        let right = StringRef::intern(&mut heap, b"psest").unwrap();
        heap.temporaries.push(right.value());
        assert!(StringRef::concatenate(&mut heap, left, right).unwrap() == whole);
        assert!(StringRef::intern(&mut heap, b"palimpsest").unwrap() == whole);
        assert!(left != right);
        assert_eq!(whole.bytes(), b"palimpsest");
    }

    #[test]
    fn hashes_see_every_byte_and_the_length() {
        let mut hashes: Vec<u64> =
            [&b""[..], b"\0", b"\0\0", b"a", b"b", b"12345678", b"123456789", b"x2345678", b"12345678\0"]
                .iter()
                .map(|bytes| hash_of(bytes))
                .collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 9);
    }
}
