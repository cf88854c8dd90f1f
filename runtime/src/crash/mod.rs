//! What is said, once, when an invariant of the collector does not hold; and then the process ends.
//!
//! A collector that has found its own state to be impossible must not go on: whatever it did next would crash the program
//! later and elsewhere. It must not be silent either, since whoever sees the crash has no other witness. So all such places
//! call [`violated`], which writes to the standard error what does not hold and what every heap of the process has to say of
//! itself ([`Witness`]), and ends the process with `SIGABRT`.
//!
//! **Everything here runs in a signal handler**, or in a worker, or on a thread that holds any of the collector's locks: no
//! allocation, no lock, no panic. Each line is put together on the stack and written by one system call, so that a
//! fault in the middle of the report, which a corrupted table may well cause, loses what comes after and not what came before.
//!
//! * **Once**: the first thread that calls reports. Others wait for the end that it brings, in case it hangs for a limited time.
//! * **In a worker** nothing is printed, and the host goes on: what the worker saw may be its own fault. It leaves a note in its
//!   record and ends ([`Failure::Finding`](crate::worker::Failure)), and the parent looks for itself.
//! * **The program's own mistakes** are no violations: those are errors, or panics that are documented.

mod line;
mod witness;

pub(crate) use line::Line;
pub use witness::{Presence, Witness};

use crate::sys::{clock, futex, inherited, process};
use crate::unit::Address;
use crate::worker::Record;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

/// What the report is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Scene {
    /// Where the violation was seen, if that is an address.
    pub at: Option<Address>,
    /// The kernel's number of the thread that reports.
    pub thread: u32,
}

/// The report, as it is being written.
#[derive(Debug)]
pub struct Account(());

impl Account {
    /// Writes a line: what it is about, and what there is to say. What does not fit is cut off.
    pub fn line(&mut self, about: &str, text: fmt::Arguments<'_>) {
        let mut line = Line::new();
        let _ = write!(line, "{about:>10}  {text}");
        process::say(line.finish());
    }
}

/// The thread that reports.
static REPORTER: AtomicU32 = AtomicU32::new(0);

/// In a worker, where it leaves its note.
static RECORD: AtomicPtr<Record> = AtomicPtr::new(std::ptr::null_mut());

/// For how long others wait for the reporter to end the process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a report has begun.
fn is_reporting() -> bool {
    REPORTER.load(Ordering::SeqCst) != 0
}

/// In a child of the host's: who reported in the parent is not here. Async-signal-safe.
pub(crate) fn in_child() {
    REPORTER.store(0, Ordering::SeqCst);
}

/// This process is a worker from now on, which reports to its parent by this record. Async-signal-safe.
///
/// # Safety
/// The record stays where it is as long as this process lives, and is mapped.
pub(crate) unsafe fn in_worker(record: &Record) {
    RECORD.store(std::ptr::from_ref(record).cast_mut(), Ordering::Release);
}

/// Ends the process with a report: `what` does not hold, as was seen at this address, if at one. A worker ends alone, and tells
/// its parent. Async-signal-safe.
#[cold]
#[inline(never)]
pub fn violated(at: Option<Address>, what: fmt::Arguments<'_>) -> ! {
    // SAFETY: null, or what `in_worker` was told stays.
    if let Some(record) = unsafe { RECORD.load(Ordering::Acquire).as_ref() } {
        record.leave_note(at, what);
        process::exit_now(crate::worker::FINDING);
    }
    let thread = clock::thread_id();
    match REPORTER.compare_exchange(0, thread, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => report(Scene { at, thread }, what),
        Err(first) if first == thread => {
            Account(()).line("ended", format_args!("by another violation: {what}"))
        }
        Err(_) => {
            let start = clock::monotonic_ns();
            while u128::from(clock::monotonic_ns() - start) < PATIENCE.as_nanos() {
                futex::nap(Duration::from_millis(10));
            }
        }
    }
    process::abort_now()
}

fn report(scene: Scene, what: fmt::Arguments<'_>) {
    let account = &mut Account(());
    process::say("palimpsest: an invariant of the garbage collector does not hold; the process ends\n");
    account.line("violated", what);
    let build = if cfg!(debug_assertions) { "with debug assertions" } else { "release" };
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let kernel = process::kernel_release();
    account.line("version", format_args!("palimpsest {version}, {arch}, {build}, Linux {kernel}"));
    let (process, thread) = (process::own_pid().as_raw_nonzero(), scene.thread);
    account.line("thread", format_args!("{thread} of process {process} reports"));
    witness::hear_all(account, &scene);
    account.line(
        "to do",
        format_args!(
            "run the program again with PALIMPSEST_OPTIONS=verify=on,poison=on (or stress=1000), which finds the same nearer to its cause"
        ),
    );
    account.line(
        "",
        format_args!("and report it with these lines, the options and the seed of the run if it had one"),
    );
}

/// Says, once, what the collector knows of a fault that it cannot resolve and that lies in its memory; the handler that was
/// there before is called then. Async-signal-safe.
pub(crate) fn explain(address: usize, word: Option<&dyn fmt::Display>) {
    static SAID: AtomicBool = AtomicBool::new(false);
    let Some((place, at, last)) = inherited::near(address) else { return };
    if SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut line = Line::new();
    let place = match place {
        inherited::Near::Heap => "the heap",
        inherited::Near::Table => "a table of the heap",
        inherited::Near::Guard => "the guard beside memory of the heap, which nothing may touch,",
    };
    let _ = write!(line, "palimpsest: a fault at {address:#x}, in {place} at {at:#x}..{last:#x}");
    if let Some(word) = word {
        let _ = write!(line, ", in a page that is {word}");
    }
    let _ = write!(
        line,
        ". It is none that the write barrier resolves: memory that cannot be populated (a limit of the machine or of the \
         cgroup), or a wild pointer. The handler that was there before is called."
    );
    process::say(line.finish());
}

/// A word that nobody writes to. Where it has changed, something has written past what lies beside it.
#[derive(Debug)]
pub struct Canary(u64);

impl Canary {
    const ALIVE: u64 = 0x9a11_3d5e_c0de_b12d;

    /// One that lives.
    pub const fn new() -> Self {
        Self(Self::ALIVE)
    }

    /// Reports that something has written to it, if that is so. `of` is what it lies in.
    #[inline]
    pub fn check(&self, of: &str) {
        // SAFETY: a field of this value. Volatile, since no code of the program changes it.
        let found = unsafe { (&raw const self.0).read_volatile() };
        if found != Self::ALIVE {
            violated(None, format_args!("the canary in {of} is {found:#x}: something has written over it"));
        }
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self::new()
    }
}
