//! Running a program: its threads, and the rungs.
//!
//! The thread that runs a program is its first; others are attached by operations. One of them does an operation while the others wait
//! where the collector does not wait for them, in a blocking region or stepped out. One more thread has nothing but the cycles
//! that are to run beside the program.

use super::language::{Gate, Language};
use super::ops::{Op, Program};
use super::world::{Background, LIMIT, Sabotage, World};
use palimpsest::{Heap, HostFork, Mutator, StackScan, Wish};
use std::fmt;
use std::ops::AddAssign;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

/// Threads beside the first.
const MOST_THREADS: usize = 3;

/// Makes the type, sums and a line of numbers from one list.
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How much was done.
        #[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl Counts {
            /// All of them, for another process to read.
            pub fn to_line(self) -> String {
                [$(self.$name),*].map(|number| number.to_string()).join(" ")
            }

            /// What that process reads.
            pub fn from_line(line: &str) -> Option<Self> {
                let mut numbers = line.split(' ').map(str::parse);
                Some(Self { $($name: numbers.next()?.ok()?),* })
            }
        }
    };
}

counts! {
    programs,
    operations,
    cycles,
    young,
    failures,
    /// Cycles that were marked with the world stopped after all.
    fallbacks,
    /// Cycles that were held at the gate.
    held,
    preimages,
    /// Children that the program forked.
    children,
    weak_cut,
    finalized,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { programs, operations, cycles, young, failures, .. } = self;
        let Self { fallbacks, held, preimages, children, weak_cut, finalized, .. } = self;
        write!(
            f,
            "{programs} programs, {operations} operations, {cycles} cycles ({young} young, {failures} failed, \
             {fallbacks} fell back, {held} held at the gate), {preimages} pre-images, \
             {children} children, {weak_cut} weak references cut, {finalized} finalizers taken"
        )
    }
}

/// Runs a program on a heap of its own, on this rung or the best. What was found wrong, if anything was.
///
/// Verifies every cycle and poisons what is freed, unless something is done wrong on purpose that is to be noticed without the
/// verifier, which ends the process.
pub fn run(program: &Program, rung: Option<Wish>, sabotage: Option<Sabotage>) -> Result<Counts, String> {
    let gate = Arc::new(Gate::new().map_err(|e| e.to_string())?);
    let is_verified = matches!(sabotage, None | Some(Sabotage::HiddenAndVerified));
    let builder = Heap::builder(Language(gate)).limit(LIMIT).verify(is_verified).poison(true);
    let builder = rung.into_iter().fold(builder, |builder, rung| builder.rung(rung));
    let builder = builder.options(&program.options).map_err(|e| e.to_string())?;
    let copies = if program.options.contains("host-fork=copy") { HostFork::Copy } else { HostFork::NoHeap };
    let heap = builder.build().map_err(|e| e.to_string())?;
    let mut m = heap.attach(StackScan::None).map_err(|e| e.to_string())?;
    let done = std::thread::scope(|s| {
        let background = background(s, &heap);
        let world = Mutex::new(World::new(&mut m, background, copies, sabotage)?);
        let done = std::thread::scope(|s| Threads::new(s, &heap, &world).run(&mut m, program));
        let mut world = world.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Also where the program has failed: nobody waits at the gate, or for a cycle, when the heap goes.
        let finished = world.finish(&mut m);
        done.and(finished)
            .and_then(|()| world.step(&mut m, Op::Collect {}))
            .and_then(|()| world.end(&mut m))?;
        Ok::<_, String>((world.held, world.children))
    });
    let stats = heap.stats();
    done.map(|(held, children)| Counts {
        programs: 1,
        operations: program.ops.len() as u64,
        cycles: stats.cycles,
        young: stats.young_cycles,
        failures: stats.failures,
        weak_cut: stats.weak_refs_cleared + stats.weak_entries_cleared,
        finalized: stats.finalizers_taken,
        fallbacks: stats.fallbacks,
        held,
        children,
        preimages: stats.preimages,
    })
}

/// The thread that makes cycles.
fn background<'s>(s: &'s Scope<'s, '_>, heap: &'s Heap<Language>) -> Background {
    let (begin, asked) = channel();
    let (tell, ended) = channel();
    s.spawn(move || {
        let mut m = heap.attach(StackScan::None).expect("a thread can attach");
        while let Ok(young) = m.blocking(|| asked.recv()) {
            if young {
                m.collect_young()
            } else {
                m.collect()
            };
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    Background { begin, ended, runs: false }
}

/// A thread that does what it is told.
struct Actor<'s> {
    tell: Sender<Op>,
    done: Receiver<Result<(), String>>,
    thread: ScopedJoinHandle<'s, ()>,
    scan: StackScan,
}

/// The threads of a program.
struct Threads<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    heap: &'s Heap<Language>,
    world: &'s Mutex<World>,
    actors: Vec<Actor<'s>>,
    /// Who does what comes: 0 is this thread.
    current: usize,
}

impl<'s, 'e> Threads<'s, 'e> {
    fn new(scope: &'s Scope<'s, 'e>, heap: &'s Heap<Language>, world: &'s Mutex<World>) -> Self {
        Self { scope, heap, world, actors: Vec::new(), current: 0 }
    }

    fn run(mut self, m: &mut Mutator<Language>, program: &Program) -> Result<(), String> {
        for (k, op) in program.ops.iter().enumerate() {
            self.step(m, *op).map_err(|why| format!("operation {}, `{op}`: {why}", k + 1))?;
        }
        while !self.actors.is_empty() {
            self.detach(m, 0);
        }
        Ok(())
    }

    fn step(&mut self, m: &mut Mutator<Language>, op: Op) -> Result<(), String> {
        match op {
            Op::Attach { how } => self.attach(m, how),
            Op::Detach { thread } if !self.actors.is_empty() => {
                self.detach(m, usize::from(thread) % self.actors.len());
            }
            Op::On { thread } => self.current = usize::from(thread) % (self.actors.len() + 1),
            op if self.current == 0 => return lock(self.world).step(m, op),
            op => {
                let actor = &self.actors[self.current - 1];
                actor.tell.send(op).map_err(|_| "a thread has ended")?;
                return m.blocking(|| actor.done.recv()).map_err(|_| "a thread has ended")?;
            }
        }
        Ok(())
    }

    fn attach(&mut self, m: &mut Mutator<Language>, how: u8) {
        if self.actors.len() == MOST_THREADS {
            return;
        }
        let scan = [StackScan::None, StackScan::None, StackScan::None, StackScan::Conservative]
            [usize::from(how) % 4];
        let steps_out = scan == StackScan::None && how & 4 != 0;
        let (tell, told) = channel();
        let (say, done) = channel();
        let (heap, world) = (self.heap, self.world);
        let thread = self.scope.spawn(move || {
            let mut m = heap.attach(scan).expect("a thread can attach");
            // The first word says that it is attached.
            let mut result = Ok(());
            while say.send(result).is_ok() {
                let op = if steps_out {
                    m.step_out();
                    let op = told.recv();
                    m.step_in();
                    op
                } else {
                    m.blocking(|| told.recv())
                };
                let Ok(op) = op else { return };
                result = lock(world).step(&mut m, op);
            }
        });
        lock(self.world).scanned += usize::from(scan == StackScan::Conservative);
        m.blocking(|| done.recv()).expect("a thread can attach").expect("nothing is wrong yet");
        self.actors.push(Actor { tell, done, thread, scan });
    }

    fn detach(&mut self, m: &mut Mutator<Language>, k: usize) {
        let Actor { tell, thread, scan, .. } = self.actors.remove(k);
        drop(tell);
        if let Err(panic) = m.blocking(|| thread.join()) {
            std::panic::resume_unwind(panic);
        }
        lock(self.world).scanned -= usize::from(scan == StackScan::Conservative);
        self.current = 0;
    }
}

/// The state. A thread that has panicked with it says so by itself.
fn lock(world: &Mutex<World>) -> std::sync::MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
