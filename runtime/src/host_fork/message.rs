//! What a child is told that touches a heap which it has not. **Runs in a signal handler**, in part.

use crate::crash::Line;
use crate::sys::inherited;
use crate::sys::process;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a child can do.
const ADVICE: &str = "call exec, make a heap of its own, or have the heap made with HostFork::Copy.\n";

/// The same, where that was done.
const NO_COPY: &str = "the copy that HostFork::Copy asks for could not be made for this child.\n";

/// Whether this child was to have a copy of a heap, and has not.
pub(super) static NOT_COPIED: AtomicBool = AtomicBool::new(false);

fn advice() -> &'static str {
    if NOT_COPIED.load(Ordering::Relaxed) { NO_COPY } else { ADVICE }
}

/// The hook for faults in a child. It resolves none.
pub(super) fn on_fault(address: usize) -> bool {
    static SAID: AtomicBool = AtomicBool::new(false);
    if let Some((is_heap, first, last)) = inherited::lost(address)
        && !SAID.swap(true, Ordering::Relaxed)
    {
        let mut line = Line::new();
        let what = if is_heap { "heap" } else { "table of a heap" };
        // What does not fit is cut off.
        let _ = write!(
            line,
            "palimpsest: this process is a fork of the one that made the {what} at {first:#x}..{last:#x}, and touched \
             {address:#x} in it. A child has no heap: {}",
            advice()
        );
        process::say(line.as_str());
    }
    false
}

/// Ends a child that has called `operation` of a heap which it has not. For operations that cannot return an error, and that
/// would wait for a thread that does not exist here. Async-signal-safe.
#[cold]
pub fn stop_without_heap(operation: &str) -> ! {
    let mut line = Line::new();
    // What does not fit is cut off.
    let _ = write!(
        line,
        "palimpsest: {operation} in a process that is a fork of the one that made the heap. A child has no heap: {}",
        advice()
    );
    process::stop(line.as_str())
}
