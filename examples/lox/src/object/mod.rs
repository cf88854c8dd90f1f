//! The objects of a Lox program: a typed layer over raw words in the Palimpsest heap.
//!
//! Every object begins with a header word, which is a small integer and so never decodes as a reference:
//!
//! ```text
//!  bits 0..8   the ObjectKind
//!  bits 8..48  payload: a length, a count, whatever the kind wants
//! ```
//!
//! Then come NaN-boxed values (`Kind::UNIFORM` to the collector: every word is looked at) or bytes (`Kind::LEAF`:
//! strings, bytecode, line tables). There is one file for each family of objects, and one reference type for each
//! kind: [`StringRef`], [`ClosureRef`], ... Such a reference is a plain copyable pointer.
//!
//! **The contract of the whole layer.** A value with the reference pattern is made only here, from a fresh object, so
//! it points to an object with a valid header. It stays dereferenceable as long as the object is reachable from a
//! root at every safepoint in between (the discipline at the top of `heap.rs`). The accessors below rely on that;
//! the type system does not check it, `--gc-stress` does. That a field exists and what it holds is ensured inside this
//! folder: `ObjectRef`'s word access is private to it, and each kind's file writes all its fields.

mod array;
mod class;
mod function;
mod globals;
mod print;
mod string;
mod table;

pub use array::ArrayRef;
pub use class::{BoundMethodRef, ClassRef, InstanceRef};
pub use function::{ClosureRef, FunctionRef, Native, NativeRef, UpvalueRef};
pub use globals::GlobalsRef;
pub use print::write_value;
pub use string::StringRef;
pub use table::TableRef;

use std::ptr::NonNull;

use palimpsest::{Address, OutOfMemory};

use crate::heap::LoxHeap;
use crate::value::Value;

/// What an object is, in the low byte of its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ObjectKind {
    String = 1,
    Bytes,
    Array,
    Table,
    Function,
    Closure,
    Upvalue,
    Class,
    Instance,
    BoundMethod,
    Native,
    Globals,
}

/// A reference to an object of any kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef(NonNull<u64>);

impl ObjectRef {
    /// A new object of `words` words (header included) that are traced; all fields are zero, the number 0.
    #[inline]
    fn traced(
        heap: &mut LoxHeap,
        kind: ObjectKind,
        words: usize,
        payload: u64,
    ) -> Result<ObjectRef, OutOfMemory> {
        let object = ObjectRef(heap.allocate_traced(words)?);
        object.set_word(0, kind as u64 | payload << 8);
        Ok(object)
    }

    /// A new object of `bytes` bytes (header included) that are never traced; the caller writes what follows the
    /// header.
    #[inline]
    fn leaf(
        heap: &mut LoxHeap,
        kind: ObjectKind,
        bytes: usize,
        payload: u64,
    ) -> Result<ObjectRef, OutOfMemory> {
        let object = ObjectRef(heap.allocate_leaf(bytes)?);
        object.set_word(0, kind as u64 | payload << 8);
        Ok(object)
    }

    /// The object that `value` refers to, if it is a reference.
    #[inline(always)]
    pub fn from_value(value: Value) -> Option<ObjectRef> {
        // SAFETY: it has just been checked.
        value.is_reference().then(|| unsafe { ObjectRef::from_reference(value) })
    }

    /// The object that `value` refers to.
    ///
    /// # Safety
    ///
    /// `value` is a reference.
    #[inline(always)]
    unsafe fn from_reference(value: Value) -> ObjectRef {
        debug_assert!(value.is_reference());
        let address = (value.bits() << 16 >> 16) as *mut u64;
        // SAFETY: no object starts at address 0, and the caller says that this is the address of one.
        ObjectRef(unsafe { NonNull::new_unchecked(address) })
    }

    /// The value that refers to this object.
    #[inline(always)]
    pub fn value(self) -> Value {
        Value::reference(self.address())
    }

    /// Where the object starts.
    #[inline(always)]
    pub fn address(self) -> Address {
        Address::from_ptr(self.0.as_ptr().cast_const())
    }

    /// What the object is.
    #[inline(always)]
    pub fn kind(self) -> ObjectKind {
        // SAFETY: the low byte of every header was written from an `ObjectKind` (module contract).
        unsafe { std::mem::transmute::<u8, ObjectKind>(self.word(0) as u8) }
    }

    /// Whether the object is of this kind. Unlike [`ObjectRef::kind`], may be asked of memory that has been freed.
    #[inline(always)]
    pub fn is(self, kind: ObjectKind) -> bool {
        self.word(0) as u8 == kind as u8
    }

    /// The payload of the header.
    #[inline(always)]
    fn payload(self) -> u64 {
        self.word(0) >> 8
    }

    #[inline(always)]
    fn set_payload(self, payload: u64) {
        debug_assert!(payload < 1 << 40, "a header must not look like a reference");
        self.set_word(0, self.word(0) & 0xff | payload << 8);
    }

    /// Word `index` as raw bits.
    #[inline(always)]
    fn word(self, index: usize) -> u64 {
        // SAFETY: the object is alive and has this word (module contract).
        unsafe { self.0.as_ptr().add(index).read() }
    }

    #[inline(always)]
    fn set_word(self, index: usize, word: u64) {
        // SAFETY: as for `word`. A plain store: the collector needs no more.
        unsafe { self.0.as_ptr().add(index).write(word) }
    }

    /// Word `index` as a value.
    #[inline(always)]
    fn field(self, index: usize) -> Value {
        Value::from_bits(self.word(index))
    }

    #[inline(always)]
    fn set_field(self, index: usize, value: Value) {
        self.set_word(index, value.bits());
    }

    /// The bytes from word `index` on.
    #[inline(always)]
    fn bytes_from(self, index: usize) -> *mut u8 {
        self.0.as_ptr().wrapping_add(index).cast()
    }
}

/// Defines the reference type of one kind of object, with its conversions from and to values.
macro_rules! reference_type {
    ($(#[$about:meta])* $name:ident, $kind:ident) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name($crate::object::ObjectRef);

        #[allow(dead_code, reason = "every reference type has all the conversions")]
        impl $name {
            /// The object, if `value` refers to one of this kind.
            #[inline(always)]
            pub fn from_value(value: $crate::value::Value) -> Option<$name> {
                let object = $crate::object::ObjectRef::from_value(value)?;
                object.is($crate::object::ObjectKind::$kind).then_some($name(object))
            }

            /// The object that `value` refers to.
            ///
            /// # Safety
            ///
            /// `value` refers to an object of this kind.
            #[inline(always)]
            pub unsafe fn from_known(value: $crate::value::Value) -> $name {
                // SAFETY: the caller says that it is a reference.
                let object = unsafe { $crate::object::ObjectRef::from_reference(value) };
                debug_assert!(object.is($crate::object::ObjectKind::$kind));
                $name(object)
            }

            /// The value that refers to the object.
            #[inline(always)]
            pub fn value(self) -> $crate::value::Value {
                self.0.value()
            }

            /// The object, whatever its kind.
            #[inline(always)]
            pub fn object(self) -> $crate::object::ObjectRef {
                self.0
            }
        }
    };
}
use reference_type;
