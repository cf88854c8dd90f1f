//! Hash tables from strings to values: fields, methods and the slots of globals.
//!
//! ```text
//! word 0  header, payload: entries << 8 | log2(capacity)
//! word 1  key, value, key, value, ... (open addressing, linear probing; key 0: free)
//! ```
//!
//! Keys are interned and objects never move, so a key's *address* serves as its hash, and neither finding nor
//! growing reads the string. Nothing is ever removed from a table in Lox, so there are no tombstones. Small tables
//! are filled to the last entry, larger ones to three quarters: an instance with four fields takes 80 bytes for them.
//!
//! Growing makes a new object, so a table is always held by a field of another object, and it is that field that
//! [`TableRef::put_in`] is given. It is also how the collector's barrier sees most of its work in a Lox program.

use palimpsest::OutOfMemory;

use crate::heap::LoxHeap;
use crate::object::{ObjectKind, ObjectRef, StringRef, reference_type};
use crate::value::Value;

reference_type! {
    /// A hash table.
    TableRef, Table
}

/// The all-zero word is a number, so no key looks like it.
const FREE: Value = Value::from_bits(0);
const ENTRIES: usize = 1;
/// Up to this capacity a table may be completely full.
const SMALL: usize = 8;
/// The smallest table has four entries.
pub(super) const SMALLEST_LOG2: u32 = 2;

impl TableRef {
    /// Stores `value` under `key` in the table in field `field` of `holder`; a first table gets `1 << first_log2`
    /// entries. The caller has rooted `holder`, `key` and `value`.
    pub(super) fn put_in(
        heap: &mut LoxHeap,
        holder: ObjectRef,
        field: usize,
        key: StringRef,
        value: Value,
        first_log2: u32,
    ) -> Result<(), OutOfMemory> {
        let table = match TableRef::from_value(holder.field(field)) {
            Some(table) => {
                if table.replace(key, value) {
                    return Ok(());
                }
                if table.is_full() {
                    let larger = TableRef::with_capacity(heap, table.log2_capacity() + 1)?;
                    for (key, value) in table.entries() {
                        larger.insert(key, value);
                    }
                    holder.set_field(field, larger.value());
                    larger
                } else {
                    table
                }
            }
            None => {
                let table = TableRef::with_capacity(heap, first_log2)?;
                holder.set_field(field, table.value());
                table
            }
        };
        table.insert(key.value(), value);
        Ok(())
    }

    /// Stores every entry of `source` in the table in field `field` of `holder`. The caller has rooted both.
    pub(super) fn copy_in(
        heap: &mut LoxHeap,
        holder: ObjectRef,
        field: usize,
        source: TableRef,
    ) -> Result<(), OutOfMemory> {
        let copy = TableRef::with_capacity(heap, source.log2_capacity())?;
        for (key, value) in source.entries() {
            copy.insert(key, value);
        }
        holder.set_field(field, copy.value());
        Ok(())
    }

    fn with_capacity(heap: &mut LoxHeap, log2: u32) -> Result<TableRef, OutOfMemory> {
        ObjectRef::traced(heap, ObjectKind::Table, ENTRIES + (2 << log2), log2 as u64).map(TableRef)
    }

    /// The value stored under `key`.
    #[inline]
    pub fn get(self, key: StringRef) -> Option<Value> {
        self.find(key.value()).map(|word| self.0.field(word + 1))
    }

    /// Stores `value` under `key` if there already is an entry for it.
    #[inline]
    pub fn replace(self, key: StringRef, value: Value) -> bool {
        match self.find(key.value()) {
            Some(word) => {
                self.0.set_field(word + 1, value);
                true
            }
            None => false,
        }
    }

    #[inline(always)]
    pub(super) fn log2_capacity(self) -> u32 {
        self.0.payload() as u8 as u32
    }

    /// How many entries are in use.
    pub fn len(self) -> usize {
        (self.0.payload() >> 8) as usize
    }

    fn is_full(self) -> bool {
        let capacity = 1usize << self.log2_capacity();
        if capacity <= SMALL { self.len() == capacity } else { self.len() * 4 >= capacity * 3 }
    }

    /// Where probing for `key` begins. Objects start at multiples of 16; the multiplication spreads what is left.
    #[inline(always)]
    fn home(key: Value, log2: u32) -> usize {
        ((key.bits() >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - log2)) as usize
    }

    /// The word of the entry for `key`.
    #[inline(always)]
    fn find(self, key: Value) -> Option<usize> {
        let log2 = self.log2_capacity();
        let mask = (1usize << log2) - 1;
        let home = Self::home(key, log2);
        for step in 0..=mask {
            let word = ENTRIES + 2 * ((home + step) & mask);
            let found = self.0.field(word);
            if found == key {
                return Some(word);
            }
            if found == FREE {
                return None;
            }
        }
        None
    }

    /// Adds an entry for a key that has none. There is room.
    fn insert(self, key: Value, value: Value) {
        let log2 = self.log2_capacity();
        let mask = (1usize << log2) - 1;
        let mut at = Self::home(key, log2);
        while self.0.field(ENTRIES + 2 * (at & mask)) != FREE {
            at += 1;
        }
        let word = ENTRIES + 2 * (at & mask);
        self.0.set_field(word, key);
        self.0.set_field(word + 1, value);
        self.0.set_payload(((self.len() as u64 + 1) << 8) | log2 as u64);
    }

    fn entries(self) -> impl Iterator<Item = (Value, Value)> {
        (0..1usize << self.log2_capacity())
            .map(move |entry| (self.0.field(ENTRIES + 2 * entry), self.0.field(ENTRIES + 2 * entry + 1)))
            .filter(|(key, _)| *key != FREE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::HeapOptions;
    use crate::object::{ClassRef, InstanceRef};

    /// An instance, whose fields are the table under test, and `count` keys, all rooted.
    fn instance_and_keys(heap: &mut LoxHeap, count: usize) -> (InstanceRef, Vec<StringRef>) {
        let name = StringRef::intern(heap, b"Test").unwrap();
        heap.temporaries.push(name.value());
        let class = ClassRef::new(heap, name).unwrap();
        heap.temporaries.push(class.value());
        let instance = InstanceRef::new(heap, class).unwrap();
        heap.temporaries.push(instance.value());
        let keys = (0..count)
            .map(|index| {
                let key = StringRef::intern(heap, format!("key{index}").as_bytes()).unwrap();
                heap.temporaries.push(key.value());
                key
            })
            .collect();
        (instance, keys)
    }

    #[test]
    fn what_is_put_is_found_through_all_growth() {
        for stress in [None, Some(1)] {
            let mut heap = LoxHeap::new(&HeapOptions { stress, ..HeapOptions::default() }).unwrap();
            let (instance, keys) = instance_and_keys(&mut heap, 100);
            for (index, key) in keys.iter().enumerate() {
                assert!(instance.field(*key).is_none());
                instance.set_field(&mut heap, *key, Value::number(index as f64)).unwrap();
                for (earlier, key) in keys[..=index].iter().enumerate() {
                    assert!(instance.field(*key) == Some(Value::number(earlier as f64)));
                }
            }
        }
    }

    #[test]
    fn putting_again_replaces() {
        let mut heap = LoxHeap::new(&HeapOptions::default()).unwrap();
        let (instance, keys) = instance_and_keys(&mut heap, 4);
        for round in 0..3 {
            for key in &keys {
                instance.set_field(&mut heap, *key, Value::number(round as f64)).unwrap();
            }
        }
        let table = instance.fields().unwrap();
        assert_eq!(table.len(), 4);
        assert_eq!(table.log2_capacity(), SMALLEST_LOG2, "four entries fill the smallest table");
        assert!(keys.iter().all(|key| table.get(*key) == Some(Value::number(2.0))));
    }
}
