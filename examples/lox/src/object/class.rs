//! Classes, their instances, and methods that remember their receiver.
//!
//! ```text
//! Class        header (log2 of the field table its instances needed) | name | methods | initializer
//! Instance     header | class | fields
//! BoundMethod  header | receiver | closure
//! ```
//!
//! A subclass starts with a copy of its superclass's methods, so a call looks in one table. Methods and fields are nil
//! until there are some. A class remembers how large its instances' field tables grew, so that the table of a later
//! instance is allocated once, in the right size.

use palimpsest::OutOfMemory;

use crate::heap::LoxHeap;
use crate::object::table::SMALLEST_LOG2;
use crate::object::{ClosureRef, ObjectKind, ObjectRef, StringRef, TableRef, reference_type};
use crate::value::Value;

reference_type! {
    /// A class.
    ClassRef, Class
}

const NAME: usize = 1;
const METHODS: usize = 2;
const INITIALIZER: usize = 3;

impl ClassRef {
    /// A class without methods. The caller has rooted `name`.
    pub fn new(heap: &mut LoxHeap, name: StringRef) -> Result<ClassRef, OutOfMemory> {
        let class = ObjectRef::traced(heap, ObjectKind::Class, 4, SMALLEST_LOG2 as u64)?;
        class.set_field(NAME, name.value());
        class.set_field(METHODS, Value::NIL);
        class.set_field(INITIALIZER, Value::NIL);
        Ok(ClassRef(class))
    }

    /// The name.
    pub fn name(self) -> StringRef {
        // SAFETY: `new` stored a string here, and nothing else ever does.
        unsafe { StringRef::from_known(self.0.field(NAME)) }
    }

    /// The method called `name`.
    #[inline]
    pub fn method(self, name: StringRef) -> Option<ClosureRef> {
        let method = TableRef::from_value(self.0.field(METHODS))?.get(name)?;
        // SAFETY: only `set_method` and `inherit` fill the table, with closures.
        Some(unsafe { ClosureRef::from_known(method) })
    }

    /// The method `init`.
    #[inline]
    pub fn initializer(self) -> Option<ClosureRef> {
        ClosureRef::from_value(self.0.field(INITIALIZER))
    }

    /// Adds or replaces a method. The caller has rooted all three.
    pub fn set_method(
        self,
        heap: &mut LoxHeap,
        name: StringRef,
        method: ClosureRef,
        is_initializer: bool,
    ) -> Result<(), OutOfMemory> {
        TableRef::put_in(heap, self.0, METHODS, name, method.value(), SMALLEST_LOG2)?;
        if is_initializer {
            self.0.set_field(INITIALIZER, method.value());
        }
        Ok(())
    }

    /// Copies the superclass's methods into this class, which has none yet. The caller has rooted both.
    pub fn inherit(self, heap: &mut LoxHeap, superclass: ClassRef) -> Result<(), OutOfMemory> {
        if let Some(methods) = TableRef::from_value(superclass.0.field(METHODS)) {
            TableRef::copy_in(heap, self.0, METHODS, methods)?;
        }
        self.0.set_field(INITIALIZER, superclass.0.field(INITIALIZER));
        self.0.set_payload(superclass.0.payload());
        Ok(())
    }
}

reference_type! {
    /// An instance of a class.
    InstanceRef, Instance
}

const CLASS: usize = 1;
const FIELDS: usize = 2;

impl InstanceRef {
    /// An instance without fields. The caller has rooted `class`.
    #[inline]
    pub fn new(heap: &mut LoxHeap, class: ClassRef) -> Result<InstanceRef, OutOfMemory> {
        let instance = ObjectRef::traced(heap, ObjectKind::Instance, 3, 0)?;
        instance.set_field(CLASS, class.value());
        instance.set_field(FIELDS, Value::NIL);
        Ok(InstanceRef(instance))
    }

    /// The class.
    #[inline(always)]
    pub fn class(self) -> ClassRef {
        // SAFETY: `new` stored a class here, and nothing else ever does.
        unsafe { ClassRef::from_known(self.0.field(CLASS)) }
    }

    /// The table of fields, once there are any.
    #[inline(always)]
    pub fn fields(self) -> Option<TableRef> {
        let fields = self.0.field(FIELDS);
        // SAFETY: the field is nil or the table that `set_field` made.
        fields.is_reference().then(|| unsafe { TableRef::from_known(fields) })
    }

    /// The field called `name`.
    #[inline(always)]
    pub fn field(self, name: StringRef) -> Option<Value> {
        self.fields()?.get(name)
    }

    /// Assigns a field that may be new. The caller has rooted all three.
    pub fn set_field(self, heap: &mut LoxHeap, name: StringRef, value: Value) -> Result<(), OutOfMemory> {
        let class = self.class().0;
        TableRef::put_in(heap, self.0, FIELDS, name, value, class.payload() as u32)?;
        let needed = self.fields().map_or(0, TableRef::log2_capacity);
        if u64::from(needed) > class.payload() && needed <= LARGEST_HINT_LOG2 {
            class.set_payload(needed.into());
        }
        Ok(())
    }
}

/// An instance that is used as a dictionary should not make its siblings allocate a dictionary each.
const LARGEST_HINT_LOG2: u32 = 5;

reference_type! {
    /// A method together with the instance it was taken from.
    BoundMethodRef, BoundMethod
}

impl BoundMethodRef {
    /// Binds `method` to `receiver`, both rooted by the caller.
    pub fn new(
        heap: &mut LoxHeap,
        receiver: Value,
        method: ClosureRef,
    ) -> Result<BoundMethodRef, OutOfMemory> {
        let bound = ObjectRef::traced(heap, ObjectKind::BoundMethod, 3, 0)?;
        bound.set_field(1, receiver);
        bound.set_field(2, method.value());
        Ok(BoundMethodRef(bound))
    }

    /// The instance.
    pub fn receiver(self) -> Value {
        self.0.field(1)
    }

    /// The method.
    pub fn method(self) -> ClosureRef {
        // SAFETY: `new` stored a closure here, and nothing else ever does.
        unsafe { ClosureRef::from_known(self.0.field(2)) }
    }
}
