//! Sections of code whose instructions a tracer counts by stepping through them.
//!
//! Each section is a function of the same signature, called in the same way, so that what the call takes is the same in all of
//! them, and the difference of two is what the second does more. What is done `n` times is counted in two sections of different
//! `n`; then what comes before and after cancels out as well.

use std::arch::asm;
use std::error::Error;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use clap::ValueEnum;
use palimpsest::{Address, Handle, Heap, Kind, Layout, PlainPointers, StackScan};
use serde_json::{Value, json};

use crate::mark::{Mark, mark};

type Mutator = palimpsest::Mutator<PlainPointers>;

/// What is stepped through.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Section {
    /// Loads an address and a value.
    NoStore,
    /// The same, and stores it there: a reference into an object on a page that is not armed.
    Store,
    /// Four safepoints in a row.
    Polls4,
    /// Eight.
    Polls8,
    /// A loop that allocates 64 objects with two references, within a run.
    Pairs64,
    /// 128.
    Pairs128,
    /// A loop that allocates 64 leaf objects of 16 bytes, within a run.
    Leaves64,
    /// 128.
    Leaves128,
    /// 128 objects with two references, of which one takes a new block.
    PairsAcross,
    /// The same with leaf objects.
    LeavesAcross,
}

/// Objects of 16 bytes after which a block has room for less than 128 more, and for some: a block has room for 4096.
const MOST_OF_A_BLOCK: usize = 4096 - 64;

#[derive(Clone, Copy)]
#[repr(C)]
struct Pair([*mut Pair; 2]);

/// What the sections work on. The root goes before the mutator.
struct Context {
    _root: Handle,
    object: *mut u64,
    pair: Kind,
    mutator: Mutator,
}

/// What the tracer looks at after each step: not 0 when the section is over.
static OVER: AtomicU64 = AtomicU64::new(0);

pub fn run(section: Section) -> Result<Value, Box<dyn Error>> {
    let heap = Heap::builder(PlainPointers).limit(64 << 20).cycle_every(32 << 20).build()?;
    let mut mutator = heap.attach(StackScan::Conservative)?;
    let pair = heap.define_layout(Layout::mask(0b11))?;
    let object = mutator.alloc(Kind::UNIFORM, 64)?.cast::<u64>().as_ptr();
    let root = heap.handle(Address::from_ptr(object));
    let mut context = Context { _root: root, object, pair, mutator };
    // Each space's run begins.
    pairs::<1>(&mut context);
    leaves::<1>(&mut context);
    match section {
        Section::PairsAcross => pairs::<MOST_OF_A_BLOCK>(&mut context),
        Section::LeavesAcross => leaves::<MOST_OF_A_BLOCK>(&mut context),
        _ => {}
    }
    step_through(black_box(code(section)), &mut context);
    if heap.stats().cycles > 0 {
        return Err("a cycle began: what it did was counted".into());
    }
    Ok(json!({ "ships": !cfg!(debug_assertions) }))
}

/// The mark passes on where the end is to be seen: a step sees no system call.
#[inline(never)]
fn step_through(section: fn(&mut Context), context: &mut Context) {
    mark(Mark::Begin, (&raw const OVER).addr());
    section(context);
    OVER.store(1, SeqCst);
    mark(Mark::End, 0);
}

fn code(section: Section) -> fn(&mut Context) {
    match section {
        Section::NoStore => no_store,
        Section::Store => store,
        Section::Polls4 => polls_4,
        Section::Polls8 => polls_8,
        Section::Pairs64 => pairs::<64>,
        Section::Pairs128 | Section::PairsAcross => pairs::<128>,
        Section::Leaves64 => leaves::<64>,
        Section::Leaves128 | Section::LeavesAcross => leaves::<128>,
    }
}

#[inline(never)]
fn no_store(context: &mut Context) {
    loaded(context);
}

#[inline(never)]
fn store(context: &mut Context) {
    let (at, value) = loaded(context);
    // SAFETY: the first word of an object that the root keeps; a reference to itself.
    unsafe { at.write_volatile(value) };
}

/// The object and a reference to it, in two registers.
#[inline(always)]
fn loaded(context: &Context) -> (*mut u64, u64) {
    let (at, value) = (context.object, context.object as u64);
    // SAFETY: no instruction; it keeps the compiler from doing without the two. `black_box` would want them in memory.
    unsafe {
        asm!("/* {0} {1} */", in(reg) at.addr(), in(reg) value, options(nomem, nostack, preserves_flags))
    };
    (at, value)
}

#[inline(never)]
fn polls_4(context: &mut Context) {
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
}

#[inline(never)]
fn polls_8(context: &mut Context) {
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
    context.mutator.poll();
}

#[inline(never)]
fn pairs<const N: usize>(context: &mut Context) {
    for _ in 0..black_box(N) {
        new(&mut context.mutator, context.pair, Pair([ptr::null_mut(); 2]));
    }
}

#[inline(never)]
fn leaves<const N: usize>(context: &mut Context) {
    for _ in 0..black_box(N) {
        new(&mut context.mutator, Kind::LEAF, [1u64; 2]);
    }
}

/// An object, as a compiler would make it: the size is a constant, and it is written at once.
#[inline(always)]
fn new<T: Copy>(mutator: &mut Mutator, kind: Kind, value: T) {
    // SAFETY: written before this thread's next safepoint.
    let place = unsafe { mutator.alloc_uninit(kind, size_of::<T>()) };
    let place = place.expect("the limit is above what is kept").cast::<T>().as_ptr();
    // SAFETY: fresh memory of this size, which nobody else knows.
    unsafe { place.write(value) };
}
