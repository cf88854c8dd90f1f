//! How a function of this interface says that it failed: a status, and a message that is kept for the calling thread.
//!
//! The message lies in a buffer of the thread itself, so that saying it takes no memory: there may be none. Every function goes
//! through [`entry`] or [`entry_or`], where a panic ends: nothing unwinds into C.

use palimpsest::{Error, Kind, OutOfMemory};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_char;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a call ended. Of a call that failed, `palimpsest_last_error` says why, and what to do.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum palimpsest_status {
    /// It did what it was to do.
    PALIMPSEST_OK = 0,
    /// A pointer is NULL that must not be.
    PALIMPSEST_NULL = 1,
    /// An argument has a value that it cannot have.
    PALIMPSEST_INVALID = 2,
    /// A thing of this interface was freed before, or is not what it is used as. Best effort: a pointer to other memory is
    /// not found out, nor one to a thing whose place has been given to a new one.
    PALIMPSEST_FREED = 3,
    /// A mutator is used on another thread than it was attached on, or a collector's thread wants to attach.
    PALIMPSEST_WRONG_THREAD = 4,
    /// A thing is used with a mutator of another heap.
    PALIMPSEST_WRONG_HEAP = 5,
    /// An address is not one at which an object of this heap can start.
    PALIMPSEST_NOT_AN_OBJECT = 6,
    /// The mutator is in a blocking region, has stepped out, or is in a callback that does not allow this.
    PALIMPSEST_BLOCKED = 7,
    /// The heap limit leaves no room, even after a collection.
    PALIMPSEST_OUT_OF_MEMORY = 8,
    /// The process has no memory for something of the collector's own.
    PALIMPSEST_NO_MEMORY = 9,
    /// An option is unknown, or does not take its value.
    PALIMPSEST_BAD_OPTION = 10,
    /// This machine does not have what was asked for.
    PALIMPSEST_UNSUPPORTED = 11,
    /// There are as many of these as there can be.
    PALIMPSEST_TOO_MANY = 12,
    /// The thread is attached to this heap already.
    PALIMPSEST_ALREADY_ATTACHED = 13,
    /// The thread blocks the signal by which the write barrier works.
    PALIMPSEST_SIGNAL_BLOCKED = 14,
    /// The system refused something.
    PALIMPSEST_SYSTEM = 15,
    /// This process is a child that was forked of the one that made the heap, and has no heap.
    PALIMPSEST_NO_HEAP_IN_CHILD = 16,
    /// The heap has been freed, and its last mutator detached.
    PALIMPSEST_HEAP_GONE = 17,
    /// The library has a bug: the message is a panic's. What the call was about is in no known state.
    PALIMPSEST_PANIC = 18,
}

pub(crate) use palimpsest_status as Status;

/// What a call yields inside, its message being said already where it failed.
pub(crate) type Answer<T = ()> = Result<T, Status>;

/// The longest message, with its end.
const ROOM: usize = 2048;

/// The last message, as a C string.
struct Message(UnsafeCell<[u8; ROOM]>);

thread_local! {
    static MESSAGE: Message = const { Message(UnsafeCell::new([0; ROOM])) };
    static LAST: Cell<Status> = const { Cell::new(Status::PALIMPSEST_OK) };
}

/// Writes into a message, and leaves out what has no room.
struct Writer<'a> {
    to: &'a mut [u8; ROOM],
    len: usize,
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A NUL would end the message for C.
        for byte in text.bytes().filter(|byte| *byte != 0).take(ROOM - 1 - self.len) {
            self.to[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// Says why a call fails. Allocates nothing itself.
#[cold]
pub(crate) fn fail(status: Status, why: fmt::Arguments<'_>) -> Status {
    MESSAGE.with(|message| {
        // SAFETY: of this thread alone, and nothing that is formatted calls this interface.
        let mut writer = Writer { to: unsafe { &mut *message.0.get() }, len: 0 };
        // The writer takes everything; a `Display` that fails has said what it could.
        let _ = writer.write_fmt(why);
        let end = writer.len;
        writer.to[end] = 0;
    });
    LAST.set(status);
    status
}

/// Runs a function of the interface.
#[inline]
pub(crate) fn entry(f: impl FnOnce() -> Answer) -> Status {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => Status::PALIMPSEST_OK,
        Ok(Err(status)) => status,
        Err(panic) => panicked(panic),
    }
}

/// Runs one that yields something else than a status: `failed` where it fails.
#[inline]
pub(crate) fn entry_or<T>(failed: T, f: impl FnOnce() -> Answer<T>) -> T {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => value,
        Ok(Err(_)) => failed,
        Err(panic) => {
            panicked(panic);
            failed
        }
    }
}

/// The message of a panic, if it has one.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> Status {
    let text = panic_message(&*panic);
    let status =
        fail(Status::PALIMPSEST_PANIC, format_args!("a bug in the collector, please report it: {text}"));
    // Whoever panics with a value whose drop panics is not to be humoured.
    std::mem::forget(panic);
    status
}

/// The collector's errors, in C.
pub(crate) fn failed(error: &Error) -> Status {
    use palimpsest_runtime::Error as Runtime;
    let status = match error {
        Error::TooManyLayouts | Error::TooManyWeakRefs => Status::PALIMPSEST_TOO_MANY,
        Error::Option(_) => Status::PALIMPSEST_BAD_OPTION,
        Error::NoMemory(_) => Status::PALIMPSEST_NO_MEMORY,
        Error::CollectorThread => Status::PALIMPSEST_WRONG_THREAD,
        Error::Runtime(runtime) => match runtime {
            Runtime::NoMemory(_) => Status::PALIMPSEST_NO_MEMORY,
            Runtime::Missing(_) | Runtime::Refused(_) | Runtime::NotSynchronous => {
                Status::PALIMPSEST_UNSUPPORTED
            }
            Runtime::NoSuchRung(_) => Status::PALIMPSEST_BAD_OPTION,
            Runtime::TooManyHeaps(_) => Status::PALIMPSEST_TOO_MANY,
            Runtime::AlreadyAttached => Status::PALIMPSEST_ALREADY_ATTACHED,
            Runtime::SignalBlocked(_) => Status::PALIMPSEST_SIGNAL_BLOCKED,
            Runtime::NoHeapInChild => Status::PALIMPSEST_NO_HEAP_IN_CHILD,
            _ => Status::PALIMPSEST_SYSTEM,
        },
        _ => Status::PALIMPSEST_SYSTEM,
    };
    if let Error::TooManyLayouts = error {
        // In C's words.
        let most = Kind::LAYOUTS;
        let why = format_args!(
            "a heap can have {most} layouts without a header; further types have one (PALIMPSEST_HEADED)"
        );
        return fail(status, why);
    }
    fail(status, format_args!("{error}"))
}

/// There is no room in the heap.
#[cold]
pub(crate) fn out_of_memory(error: &OutOfMemory) -> Status {
    fail(
        Status::PALIMPSEST_OUT_OF_MEMORY,
        format_args!(
            "{error}; raise the limit, drop references, or use the reserve (palimpsest_with_reserve)"
        ),
    )
}

/// There is no native memory for something that the heap's tables were to hold.
#[cold]
pub(crate) fn no_memory(what: &str) -> Status {
    fail(
        Status::PALIMPSEST_NO_MEMORY,
        format_args!("no memory for {what}: the process or the machine has run out of it"),
    )
}

/// The message of the last call that failed on this thread; an empty string if none has. Valid until the next call of this
/// interface on this thread. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn palimpsest_last_error() -> *const c_char {
    MESSAGE.with(|message| message.0.get().cast_const().cast())
}

/// The status of the last call that failed on this thread; `PALIMPSEST_OK` if none has. For functions that return NULL.
#[unsafe(no_mangle)]
pub extern "C" fn palimpsest_last_status() -> palimpsest_status {
    LAST.get()
}
