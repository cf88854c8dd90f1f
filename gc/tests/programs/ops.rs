//! The operations of a program, and its text.

use arbitrary::{Arbitrary, Unstructured};
use std::fmt;
use std::str::FromStr;

/// The most operations of a program that is made of bytes.
const MOST: usize = 400;

/// Makes the type, its text and its weights from one table. A line: how often it is chosen, its name in a text, and itself.
macro_rules! operations {
    ($($(#[$doc:meta])* $weight:literal $word:literal $name:ident { $($operand:ident),* })*) => {
        /// One operation. Every operand counts among what there is when the operation is done, modulo how many that are; where
        /// there is none, nothing happens.
        #[derive(Copy, Clone, PartialEq, Eq, Debug, Arbitrary)]
        pub enum Op {
            $($(#[$doc])* $name { $(#[allow(missing_docs)] $operand: u8),* },)*
        }

        impl Op {
            /// Of each operation: how often it is chosen, and its name.
            pub const ALL: &[(u32, &str)] = &[$(($weight, $word)),*];

            /// The operation of this name with these operands, as many of them as it has.
            pub fn of(word: &str, operands: [u8; 3]) -> Option<Self> {
                let mut operands = operands.into_iter();
                Some(match word {
                    $($word => Self::$name { $($operand: operands.next()?),* },)*
                    _ => return None,
                })
            }
        }

        impl fmt::Display for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($operand),* } => {
                        f.write_str($word)?;
                        $(write!(f, " {}", $operand)?;)*
                    })*
                }
                Ok(())
            }
        }
    };
}

operations! {
    /// A new object, and a root for it. The shape and the size are numbers of `language::Plan::new`.
    18 "alloc" Alloc { shape, size }
    /// A new object with blocks of its own, which no allocation opens: only a write does.
    7 "large" Large { shape, size }
    /// A reference from one object to another.
    9 "write" Write { from, slot, to }
    /// Takes the reference out of a slot.
    5 "clear" Clear { from, slot }
    /// Moves a reference to another object: what a snapshot has to see in one of them.
    6 "move" Move { from, to, slot }
    /// A new object that nothing but another object refers to.
    12 "adopt" Adopt { from, slot, shape }
    /// Has an object refer to another instead of a root: then only that leads there.
    9 "tuck" Tuck { root, from, slot }
    /// Makes a root of what an object refers to instead: while a cycle is marked, then only the snapshot leads there.
    20 "hide" Hide { from, slot }
    /// Drops a root.
    14 "unroot" Unroot { root }
    /// Makes a root.
    3 "root" Root { object }
    /// Has a root refer to something else.
    3 "reroot" Reroot { root, object }
    /// Stores a reference in native memory that is a root.
    4 "store" Store { place, object }
    /// Takes it out.
    5 "erase" Erase { place }
    /// Makes a weak reference.
    6 "weak" Weak { object }
    /// Makes one that belongs to an object.
    2 "slot" Slot { owner, object }
    /// Reads one, and makes its target a root, or not.
    6 "upgrade" Upgrade { weak, keep }
    /// Has one refer to something else.
    2 "retarget" Retarget { weak, object }
    /// Drops one.
    1 "unweak" Unweak { weak }
    /// Puts a key with a value into a weak map.
    4 "insert" Insert { map, key, value }
    /// Takes a key out.
    2 "remove" Remove { map, key }
    /// Looks a key up, and makes its value a root, or not.
    2 "lookup" Lookup { map, key, keep }
    /// Asks a map for its keys.
    1 "keys" Keys { map }
    /// Drops a map and makes a new one.
    1 "forget" Forget { map }
    /// Makes an ephemeron.
    3 "ephemeron" Ephemeron { key, value }
    /// Reads one, and makes both a root, or not.
    3 "visit" Visit { ephemeron, keep }
    /// Gives one another value.
    2 "change" Change { ephemeron, value }
    /// Drops one.
    1 "unephemeron" Unephemeron { ephemeron }
    /// Puts an object into the weak table.
    3 "intern" Intern { object }
    /// Finds one there, and makes it a root, or not.
    3 "find" Find { entry, keep }
    /// Registers an object for finalization.
    5 "finalize" Finalize { object }
    /// Takes a registration back.
    2 "unfinalize" Unfinalize { registration }
    /// Takes an object from the queue of finalizers, and makes it a root, or not.
    4 "take" Take { keep }
    /// Opens an object for the kernel, until it is unpinned.
    2 "pin" Pin { object }
    /// Closes it again.
    2 "unpin" Unpin { pin }
    /// Has the kernel write to an object.
    4 "receive" Receive { object }
    /// Attaches a thread: with its stack scanned or not, and waiting in a blocking region or stepped out.
    3 "attach" Attach { how }
    /// Detaches one.
    2 "detach" Detach { thread }
    /// What comes is done by this thread.
    6 "on" On { thread }
    /// A blocking region.
    2 "block" Block { times }
    /// Garbage, as much as there is between cycles.
    4 "churn" Churn { amount }
    /// A full cycle.
    3 "collect" Collect {}
    /// A cycle of the young.
    5 "young" Young {}
    /// Begins a cycle, full or of the young, and goes on: its workers wait at the gate, with nothing marked or with part of it.
    12 "start" Start { how }
    /// Opens the gate and waits for the cycle to end.
    9 "finish" Finish {}
    /// Forks as a host does: the child goes on for a while with its copy of the heap, or has none.
    2 "fork" Fork {}
    /// Compares without a cycle.
    2 "check" Check {}
}

/// What is run: the heap's options, and operations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// As for `HeapBuilder::options`.
    pub options: String,
    /// In their order.
    pub ops: Vec<Op>,
}

/// Options of a heap, from some bits.
pub fn options(bits: u8) -> String {
    let mut options = vec!["worker-patience=300ms"];
    let choices = [
        (1, "young=off"),
        (2, "workers=2"),
        (4, "cycle-every=64K"),
        (8 | 16, "stress=9"),
        (32 | 64, "preimage-limit=64K"),
        (16 | 128, "worker-chaos=5"),
        (8, "host-fork=copy"),
    ];
    options.extend(choices.iter().filter(|(mask, _)| bits & mask == *mask).map(|(_, option)| option));
    options.join(",")
}

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let options = options(bytes.arbitrary()?);
        let ops = bytes.arbitrary_iter()?.take(MOST).collect::<arbitrary::Result<_>>()?;
        Ok(Self { options, ops })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "heap {}", self.options)?;
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}

impl FromStr for Program {
    type Err = String;

    /// Reads what is displayed. Lines that begin with `#` say something to people.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = lines.next().and_then(|line| line.strip_prefix("heap"));
        let options = first.ok_or("a program begins with a line `heap OPTIONS`")?.trim().to_owned();
        let op = |line: &str| {
            let mut words = line.split_whitespace();
            let word = words.next().unwrap_or_default();
            let mut operands = [0; 3];
            for (to, from) in operands.iter_mut().zip(words) {
                *to = from.parse().map_err(|_| format!("`{line}`: {from} is no operand"))?;
            }
            let op = Op::of(word, operands).ok_or_else(|| format!("`{word}` is no operation"))?;
            if op.to_string() == line { Ok(op) } else { Err(format!("`{line}` is read as `{op}`")) }
        };
        Ok(Self { options, ops: lines.map(op).collect::<Result<_, String>>()? })
    }
}
