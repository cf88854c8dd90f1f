//! Captured variables: while they are on the stack, and when they leave it.
//!
//! Open upvalues form a list through the objects themselves, highest stack slot first. Its head is a root: a closure
//! that died must not leave the list dangling.

use palimpsest::OutOfMemory;

use crate::object::UpvalueRef;
use crate::value::Value;
use crate::vm::Vm;

impl Vm {
    fn slot_index(&self, slot: *mut Value) -> usize {
        (slot as usize - self.stack.base() as usize) / size_of::<Value>()
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> *mut Value {
        self.stack.base().wrapping_add(index)
    }

    /// The value of a captured variable.
    #[inline(always)]
    pub(super) fn captured(&self, upvalue: UpvalueRef) -> Value {
        match upvalue.open_slot() {
            // SAFETY: an upvalue is open as long as its slot is in use.
            Some(index) => unsafe { self.slot(index).read() },
            None => upvalue.closed_value(),
        }
    }

    /// Assigns a captured variable.
    #[inline(always)]
    pub(super) fn set_captured(&mut self, upvalue: UpvalueRef, value: Value) {
        match upvalue.open_slot() {
            // SAFETY: an upvalue is open as long as its slot is in use.
            Some(index) => unsafe { self.slot(index).write(value) },
            None => upvalue.set_closed_value(value),
        }
    }

    /// The upvalue for a stack slot, of which there is only ever one open.
    pub(super) fn capture(&mut self, slot: *mut Value) -> Result<UpvalueRef, OutOfMemory> {
        let wanted = self.slot_index(slot);
        let mut above = None;
        let mut next = self.open_upvalues.get(0);
        while let Some(upvalue) = UpvalueRef::from_value(next) {
            match upvalue.open_slot() {
                Some(index) if index == wanted => return Ok(upvalue),
                Some(index) if index > wanted => {
                    above = Some(upvalue);
                    next = upvalue.next();
                }
                _ => break,
            }
        }
        let upvalue = UpvalueRef::new(&mut self.runtime.heap, wanted, next)?;
        match above {
            Some(above) => above.set_next(upvalue),
            None => self.set_first_open(upvalue.value()),
        }
        Ok(upvalue)
    }

    /// Closes every upvalue whose variable is in slot `lowest` or above it.
    pub(super) fn close_upvalues(&mut self, lowest: *mut Value) {
        let lowest = self.slot_index(lowest);
        while let Some(upvalue) = UpvalueRef::from_value(self.open_upvalues.get(0)) {
            match upvalue.open_slot() {
                Some(index) if index >= lowest => {
                    let next = upvalue.next();
                    upvalue.close(self.captured(upvalue));
                    self.set_first_open(next);
                }
                _ => break,
            }
        }
    }

    fn set_first_open(&mut self, first: Value) {
        self.open_upvalues.pop();
        self.open_upvalues.push(first);
        let slot = UpvalueRef::from_value(first).and_then(UpvalueRef::open_slot);
        self.highest_captured = slot.map_or(std::ptr::null_mut(), |index| self.slot(index));
    }
}
