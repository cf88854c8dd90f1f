//! The checker's atomics, with the standard library's interface, and mistakes on purpose.
//!
//! They can be made in constants, which loom's cannot: what begins as zero takes the checker's when it is first used, from those
//! that were made before the schedule began ([`provide`]). Every operation with an order says
//! where in the source it stands ([`orders`]): there the order can be weakened to `Relaxed`, and a fence left out.
//!
//! loom knows no total order of `SeqCst` accesses; it takes them for acquire and release. But it knows fences. So there is a
//! `SeqCst` fence before each such access, which is how compilers implement them on processors with weak memory, and gives them
//! the total order that the language promises.
//!
//! loom chooses the schedules that it tries by which accesses depend on each other, and remembers of each atomic one access only:
//! a store after two loads by two threads is tried before the second and never before the first. So each atomic has a second one
//! beside it, to which every access stores: every order of accesses is tried.

pub use std::sync::atomic::Ordering;

pub(crate) use loom as checker;

pub use checker::thread;

pub(crate) use checker::sync::atomic::AtomicBool as Turn;
use orders::{Access, at};
use std::cell::OnceCell;
use std::fmt;
use std::num::NonZero;
use std::panic::Location;
use std::sync::Mutex;

pub mod death;
pub mod mistakes;
pub mod orders;

/// Whether the mistake of this name is to be made.
#[macro_export]
macro_rules! mutation {
    ($name:literal) => {
        $crate::sync::mistakes::is_made($name)
    };
}
pub use crate::mutation;

macro_rules! checked_thread_local {
    ($($(#[$a:meta])* static $name:ident: $t:ty = const { $start:expr };)*) => {
        $crate::sync::checker::thread_local! { $($(#[$a])* static $name: $t = $start;)* }
    };
}
pub(crate) use checked_thread_local as thread_local;

/// One processor: nobody keeps it to himself.
pub fn available_parallelism() -> std::io::Result<NonZero<usize>> {
    Ok(NonZero::<usize>::MIN)
}

/// A fence.
#[track_caller]
pub fn fence(order: Ordering) {
    if at(Location::caller(), order, Access::Fence) != Ordering::Relaxed {
        checker::sync::atomic::fence(order);
    }
}

/// What a processor's translation of an address orders before its store; see [`mapping`](crate::mapping).
pub(crate) fn processor_orders() {
    checker::sync::atomic::fence(Ordering::AcqRel);
}

/// The order for the checker's access, after the fence that stands for what loom does not know.
fn order(place: &'static Location<'static>, order: Ordering, access: Access) -> Ordering {
    death::may_strike();
    match at(place, order, access) {
        Ordering::SeqCst => {
            checker::sync::atomic::fence(Ordering::SeqCst);
            access.strongest()
        }
        other => other,
    }
}

/// The checker's atomics that are zero and that nobody has taken.
struct Ready {
    bools: Vec<(checker::sync::atomic::AtomicBool, Turn)>,
    u8s: Vec<(checker::sync::atomic::AtomicU8, Turn)>,
    u16s: Vec<(checker::sync::atomic::AtomicU16, Turn)>,
    u32s: Vec<(checker::sync::atomic::AtomicU32, Turn)>,
    u64s: Vec<(checker::sync::atomic::AtomicU64, Turn)>,
    usizes: Vec<(checker::sync::atomic::AtomicUsize, Turn)>,
    i32s: Vec<(checker::sync::atomic::AtomicI32, Turn)>,
}

static READY: Mutex<Ready> = Mutex::new(Ready {
    bools: Vec::new(),
    u8s: Vec::new(),
    u16s: Vec::new(),
    u32s: Vec::new(),
    u64s: Vec::new(),
    usizes: Vec::new(),
    i32s: Vec::new(),
});

/// Before the threads of a schedule: makes atomics that were there before all of them.
pub fn provide() {
    fn make<T>(n: usize, new: impl Fn() -> T) -> Vec<(T, Turn)> {
        (0..n).map(|_| (new(), Turn::new(false))).collect()
    }
    use checker::sync::atomic;
    let ready = Ready {
        bools: make(4, || atomic::AtomicBool::new(false)),
        u8s: make(16, || atomic::AtomicU8::new(0)),
        u16s: make(4, || atomic::AtomicU16::new(0)),
        u32s: make(32, || atomic::AtomicU32::new(0)),
        u64s: make(64, || atomic::AtomicU64::new(0)),
        usizes: make(8, || atomic::AtomicUsize::new(0)),
        i32s: make(2, || atomic::AtomicI32::new(0)),
    };
    // Those of an earlier schedule mean nothing any more.
    std::mem::forget(std::mem::replace(&mut *READY.lock().unwrap(), ready));
}

macro_rules! atomic {
    ($name:ident, $of:ty, $list:ident) => {
        /// The checker's atomic of this name.
        pub struct $name {
            start: $of,
            cell: OnceCell<(checker::sync::atomic::$name, Turn)>,
        }

        // SAFETY: a checker runs its threads one at a time, and changes them inside its own operations only.
        unsafe impl Sync for $name {}
        // SAFETY: as above.
        unsafe impl Send for $name {}

        impl $name {
            pub const fn new(start: $of) -> Self {
                Self { start, cell: OnceCell::new() }
            }

            /// One that is made now.
            pub fn now(start: $of) -> Self {
                Self {
                    start,
                    cell: OnceCell::from((checker::sync::atomic::$name::new(start), Turn::new(false))),
                }
            }

            fn cell(&self) -> &checker::sync::atomic::$name {
                let (cell, turn) = self.cell.get_or_init(|| {
                    let zero = <$of>::default();
                    let provided = (self.start == zero).then(|| READY.lock().unwrap().$list.pop()).flatten();
                    provided
                        .unwrap_or_else(|| (checker::sync::atomic::$name::new(self.start), Turn::new(false)))
                });
                turn.store(true, Ordering::Relaxed);
                cell
            }

            /// What it is, for the kernel: a process that dies does not die there.
            pub(crate) fn peek(&self) -> $of {
                self.cell().load(Ordering::Relaxed)
            }

            #[track_caller]
            pub fn load(&self, o: Ordering) -> $of {
                self.cell().load(order(Location::caller(), o, Access::Load))
            }

            #[track_caller]
            pub fn store(&self, value: $of, o: Ordering) {
                self.cell().store(value, order(Location::caller(), o, Access::Store));
            }

            #[track_caller]
            pub fn swap(&self, value: $of, o: Ordering) -> $of {
                self.cell().swap(value, order(Location::caller(), o, Access::Both))
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                is: $of,
                to: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                let place = Location::caller();
                let success = order(place, success, Access::Both);
                let failure = orders::weaker(place, failure, Access::Load);
                self.cell().compare_exchange(is, to, success, failure)
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                is: $of,
                to: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                self.compare_exchange(is, to, success, failure)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(<$of>::default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

macro_rules! number {
    ($name:ident, $of:ty, $list:ident) => {
        atomic!($name, $of, $list);

        impl $name {
            #[track_caller]
            pub fn fetch_add(&self, n: $of, o: Ordering) -> $of {
                self.cell().fetch_add(n, order(Location::caller(), o, Access::Both))
            }

            #[track_caller]
            pub fn fetch_sub(&self, n: $of, o: Ordering) -> $of {
                self.cell().fetch_sub(n, order(Location::caller(), o, Access::Both))
            }

            #[track_caller]
            pub fn fetch_and(&self, n: $of, o: Ordering) -> $of {
                self.cell().fetch_and(n, order(Location::caller(), o, Access::Both))
            }

            #[track_caller]
            pub fn fetch_or(&self, n: $of, o: Ordering) -> $of {
                self.cell().fetch_or(n, order(Location::caller(), o, Access::Both))
            }

            #[track_caller]
            pub fn fetch_max(&self, n: $of, o: Ordering) -> $of {
                self.cell().fetch_max(n, order(Location::caller(), o, Access::Both))
            }

            #[track_caller]
            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                f: impl FnMut($of) -> Option<$of>,
            ) -> Result<$of, $of> {
                let place = Location::caller();
                let set = order(place, set, Access::Both);
                self.cell().fetch_update(set, orders::weaker(place, fetch, Access::Load), f)
            }
        }
    };
}

atomic!(AtomicBool, bool, bools);
number!(AtomicU8, u8, u8s);
number!(AtomicU16, u16, u16s);
number!(AtomicU32, u32, u32s);
number!(AtomicU64, u64, u64s);
number!(AtomicUsize, usize, usizes);
number!(AtomicI32, i32, i32s);
