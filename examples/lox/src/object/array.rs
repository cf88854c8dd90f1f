//! Growable arrays of values: the constants of a function, the values and the names of the globals.
//!
//! ```text
//! word 0  header, payload: length
//! word 1  capacity, a raw integer
//! word 2  the elements
//! ```
//!
//! Growing makes a new object, so an array is always held by a field of another object, and it is that field that
//! [`ArrayRef::push_in`] is given.

use palimpsest::OutOfMemory;

use crate::heap::LoxHeap;
use crate::object::{ObjectKind, ObjectRef, reference_type};
use crate::value::Value;

reference_type! {
    /// An array of values.
    ArrayRef, Array
}

const CAPACITY: usize = 1;
const ELEMENTS: usize = 2;

impl ArrayRef {
    /// Appends `value` to the array in field `field` of `holder`, which is made on first use. Returns its index. The
    /// caller has rooted `holder` and `value`.
    pub(super) fn push_in(
        heap: &mut LoxHeap,
        holder: ObjectRef,
        field: usize,
        value: Value,
    ) -> Result<usize, OutOfMemory> {
        let old = ArrayRef::from_value(holder.field(field));
        let array = match old {
            Some(array) if array.len() < array.0.word(CAPACITY) as usize => array,
            _ => {
                let array = ArrayRef::grown(heap, old)?;
                holder.set_field(field, array.value());
                array
            }
        };
        let index = array.len();
        array.0.set_field(ELEMENTS + index, value);
        array.0.set_payload(index as u64 + 1);
        Ok(index)
    }

    fn grown(heap: &mut LoxHeap, old: Option<ArrayRef>) -> Result<ArrayRef, OutOfMemory> {
        let len = old.map_or(0, ArrayRef::len);
        let capacity = (len * 2).max(6);
        let array = ArrayRef(ObjectRef::traced(heap, ObjectKind::Array, ELEMENTS + capacity, len as u64)?);
        array.0.set_word(CAPACITY, capacity as u64);
        for index in 0..len {
            array.set(index, old.expect("an array with elements").get(index));
        }
        Ok(array)
    }

    /// How many elements there are.
    pub fn len(self) -> usize {
        self.0.payload() as usize
    }

    /// Element `index`.
    pub fn get(self, index: usize) -> Value {
        assert!(index < self.len());
        self.0.field(ELEMENTS + index)
    }

    /// Replaces element `index`.
    pub fn set(self, index: usize, value: Value) {
        assert!(index < self.len());
        self.0.set_field(ELEMENTS + index, value);
    }

    /// The first element, for the interpreter loop.
    #[inline(always)]
    pub fn elements(self) -> *mut Value {
        self.0.bytes_from(ELEMENTS).cast()
    }
}
