//! What a heap says of itself when an invariant does not hold ([`palimpsest_runtime::crash`]). **Async-signal-safe**: no lock,
//! no allocation. Anything may be corrupt, so bytes are shown as they are and nothing that is found is followed unchecked.

use crate::core::Core;
use crate::embedder::Embedder;
use crate::kind::Kind;
use crate::poison::POISON;
use crate::space::BlockState;
use crate::unit::{BLOCK_GRANULES, GRANULE};
use palimpsest_runtime::crash::{Account, Scene, Witness};
use palimpsest_runtime::{Address, Bytes, PAGE_SIZE, PageIndex};
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

/// Granules on either side of the one in question whose bytes are shown.
const NEIGHBOURS: usize = 8;

/// Words of memory that are shown.
const WORDS: usize = 4;

impl<E: Embedder> Witness for Core<E> {
    fn place(&self) -> Option<(Address, Bytes)> {
        self.is_ours().then(|| (Address::new(self.geometry.base), Bytes(2 * self.geometry.half.0)))
    }

    fn testify(&self, account: &mut Account, scene: &Scene) {
        let (base, half) = (self.geometry.base, self.geometry.half.0);
        let (used, limit) = (self.used(), self.options.limit);
        account
            .line("heap", format_args!("{} at {base:#x}..{:#x}, on {}", self.id, base + 2 * half, self.rung));
        account.line(
            "",
            format_args!(
                "{used} of {limit} in use, {} bytes allocated since it was made, {} given back",
                self.allocated.load(Relaxed),
                self.returned.load(Relaxed)
            ),
        );
        account.line("options", format_args!("{}", self.options_text));
        let settled = if self.settled.load(Relaxed) { "" } else { "; colours are not settled" };
        account.line("cycle", format_args!("{}{settled}", self.standing));
        let granule = scene.at.and_then(|at| self.geometry.granule(at.as_usize()));
        if let Some(barrier) = &self.barrier {
            let page = granule.map(|granule| (granule * GRANULE / PAGE_SIZE) as u32);
            barrier.testify(account, page.map(PageIndex));
        }
        self.registry.testify(account, scene.thread);
        if let (Some(at), Some(granule)) = (scene.at, granule) {
            self.tell_of(account, at, granule);
        }
    }
}

impl<E: Embedder> Core<E> {
    /// Tells of the memory at an address of the heap: its block, its granule, and last, since that may fault, what is there.
    fn tell_of(&self, account: &mut Account, at: Address, granule: usize) {
        let block = self.geometry.block_of(granule);
        let half = if self.geometry.is_traced(block) { "traced" } else { "leaf" };
        let raw = self.blocks.raw(block);
        let number = self.blocks.large_number(block);
        let state = BlockState::from_raw(raw);
        match state {
            Some(BlockState::LargeHead) => {
                account.line(
                    "block",
                    format_args!("{} is {raw}, LargeHead of {number} granules, {half} half", block.0),
                );
            }
            Some(BlockState::LargeTail) => {
                account.line(
                    "block",
                    format_args!("{} is {raw}, LargeTail of block {number}, {half} half", block.0),
                );
            }
            Some(state) => {
                account.line("block", format_args!("{} is {raw}, {state:?}, {half} half", block.0))
            }
            None => account
                .line("block", format_args!("{} is {raw}, no state that there is, {half} half", block.0)),
        }
        let meta = self.metadata.get(granule);
        let living = self.living();
        let colour = match meta.colour() {
            _ if meta.start().is_none() => "none",
            colour if colour == living.marked => "marked",
            colour if colour == living.young => "young",
            _ => "dead",
        };
        let starts = |kind: Kind| kind.number();
        account.line(
            "granule",
            format_args!(
                "{granule} of {at}: byte {:#04x}; kind {} (0: no object starts here), colour {colour}, {}",
                meta.0,
                meta.start().map_or(0, starts),
                if meta.ends() { "an object ends here" } else { "no object ends here" }
            ),
        );
        let start = (granule.saturating_sub(NEIGHBOURS)).max(block.granule());
        let end = (granule + NEIGHBOURS + 1).min(block.granule() + BLOCK_GRANULES);
        account.line("", format_args!("bytes of granules {start}..{end}: {}", Row(self, start, end)));
        if matches!(state, Some(state) if !matches!(state, BlockState::LargeHead | BlockState::LargeTail)) {
            match self.metadata.start_of(granule) {
                Some(start) => account.line(
                    "object",
                    format_args!(
                        "at {}, {} bytes",
                        self.geometry.address(start),
                        self.metadata.size(start).bytes()
                    ),
                ),
                None => account.line("object", format_args!("none covers the address")),
            }
        }
        let first = Address::new(at.as_usize() & !(GRANULE - 1));
        // SAFETY: the memory of a granule or two of the heap, which is mapped readable; words past the last are not looked at.
        let words: [u64; WORDS] = std::array::from_fn(|k| unsafe {
            let word = first.add(k * 8);
            if self.geometry.has(word, Bytes(8)) { word.as_ptr::<u64>().read_volatile() } else { 0 }
        });
        let [a, b, c, d] = words;
        let poison = if words.contains(&POISON) { " (the poison of freed memory)" } else { "" };
        account.line("memory", format_args!("at {first}: {a:#018x} {b:#018x} {c:#018x} {d:#018x}{poison}"));
    }
}

/// Bytes of granules, in hexadecimal.
struct Row<'a, E>(&'a Core<E>, usize, usize);

impl<E: Embedder> fmt::Display for Row<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1..self.2).try_for_each(|granule| write!(f, " {:02x}", self.0.metadata.get(granule).0))
    }
}

/// Checks that are made after every cycle in builds with debug assertions.
impl<E: Embedder> Core<E> {
    /// Reports a table that something has written past, and a part of the collector's own state that something has written
    /// over.
    pub(crate) fn check_guards(&self) {
        self.canary.check("the state of a heap");
        self.mailbox.check();
        self.record.check_guards();
        self.regions().iter().for_each(|region| region.check_slack());
        if let Some(barrier) = &self.barrier {
            barrier.check_guards();
        }
    }
}
