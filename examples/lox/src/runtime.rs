//! What compiling and running share: the heap, and the few objects that live as long as the interpreter.

use palimpsest::{Error, OutOfMemory};

use crate::heap::{HeapOptions, LoxHeap};
use crate::object::{GlobalsRef, Native, NativeRef, StringRef};

/// The heap with its permanent objects, which are the first of its temporary roots and never popped.
pub struct Runtime {
    pub heap: LoxHeap,
    pub globals: GlobalsRef,
    /// The string `init`.
    pub init: StringRef,
}

/// Why an interpreter could not be set up.
#[derive(Debug)]
pub enum SetupError {
    /// The collector could not create the heap.
    Heap(Error),
    /// The heap limit is too small even for the built-in functions.
    OutOfMemory,
}

impl From<Error> for SetupError {
    fn from(error: Error) -> SetupError {
        SetupError::Heap(error)
    }
}

impl From<OutOfMemory> for SetupError {
    fn from(_: OutOfMemory) -> SetupError {
        SetupError::OutOfMemory
    }
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SetupError::Heap(error) => write!(f, "cannot create the heap: {error}"),
            SetupError::OutOfMemory => write!(f, "the heap limit is too small to start with"),
        }
    }
}

impl std::error::Error for SetupError {}

impl Runtime {
    /// A heap with the built-in functions defined.
    pub fn new(options: &HeapOptions) -> Result<Runtime, SetupError> {
        let mut heap = LoxHeap::new(options)?;
        let globals = GlobalsRef::new(&mut heap)?;
        heap.temporaries.push(globals.value());
        let init = StringRef::intern(&mut heap, b"init")?;
        heap.temporaries.push(init.value());
        for (native, name) in Native::ALL {
            let name = StringRef::intern(&mut heap, name.as_bytes())?;
            heap.temporaries.push(name.value());
            let slot = globals.slot(&mut heap, name)?;
            let function = NativeRef::new(&mut heap, native)?;
            globals.set(slot, function.value());
            heap.temporaries.pop();
        }
        Ok(Runtime { heap, globals, init })
    }
}
