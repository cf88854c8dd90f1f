//! The global variables: a slot number for each name, and a value for each slot.
//!
//! ```text
//! Globals  header | table: name -> slot | array: slot -> value | array: slot -> name
//! ```
//!
//! The compiler asks for a name's slot the first time it meets the name, defined or not, and the bytecode uses the
//! number. A slot whose `var`, `fun` or `class` has not run yet holds [`Value::UNDEFINED`], so that using a global too
//! early is still an error of the run and not of compilation, as Lox wants it.

use palimpsest::OutOfMemory;

use crate::heap::LoxHeap;
use crate::object::table::SMALLEST_LOG2;
use crate::object::{ArrayRef, ObjectKind, ObjectRef, StringRef, TableRef, reference_type};
use crate::value::Value;

reference_type! {
    /// All global variables.
    GlobalsRef, Globals
}

const SLOTS: usize = 1;
const VALUES: usize = 2;
const NAMES: usize = 3;

impl GlobalsRef {
    /// No globals.
    pub fn new(heap: &mut LoxHeap) -> Result<GlobalsRef, OutOfMemory> {
        let globals = ObjectRef::traced(heap, ObjectKind::Globals, 4, 0)?;
        for field in [SLOTS, VALUES, NAMES] {
            globals.set_field(field, Value::NIL);
        }
        Ok(GlobalsRef(globals))
    }

    /// The slot for `name`, a new one if it has none yet. The caller has rooted `name`.
    pub fn slot(self, heap: &mut LoxHeap, name: StringRef) -> Result<usize, OutOfMemory> {
        let known = TableRef::from_value(self.0.field(SLOTS)).and_then(|slots| slots.get(name));
        if let Some(slot) = known.and_then(Value::as_number) {
            return Ok(slot as usize);
        }
        // Memory may run out at each step. The name is entered in the table last, so that a name with a slot always
        // has a value too; what an interrupted attempt left behind is an unused slot.
        let slot = ArrayRef::push_in(heap, self.0, VALUES, Value::UNDEFINED)?;
        while ArrayRef::from_value(self.0.field(NAMES)).map_or(0, ArrayRef::len) <= slot {
            ArrayRef::push_in(heap, self.0, NAMES, name.value())?;
        }
        TableRef::put_in(heap, self.0, SLOTS, name, Value::number(slot as f64), SMALLEST_LOG2)?;
        Ok(slot)
    }

    /// The name of a slot.
    pub fn name(self, slot: usize) -> StringRef {
        let name = ArrayRef::from_value(self.0.field(NAMES))
            .and_then(|names| StringRef::from_value(names.get(slot)));
        name.expect("every slot has a name")
    }

    /// Assigns a slot.
    pub fn set(self, slot: usize, value: Value) {
        ArrayRef::from_value(self.0.field(VALUES)).expect("a slot has been handed out").set(slot, value);
    }

    /// The first slot, for the interpreter loop; dangling if there is none.
    pub fn values(self) -> *mut Value {
        ArrayRef::from_value(self.0.field(VALUES)).map_or(std::ptr::dangling_mut(), ArrayRef::elements)
    }
}
