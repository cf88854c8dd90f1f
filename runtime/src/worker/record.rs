//! What a worker tells its parent: that it goes on, that it is done, and a few numbers.

use crate::crash::Line;
use crate::error::Error;
use crate::mapping::{Region, Shared};
use crate::sync::{AtomicU32, AtomicU64, Ordering, mutation};
use crate::sys::futex;
use crate::unit::Address;
use std::fmt::{self, Write};
use std::time::Duration;

/// Numbers that a worker's body may report besides.
pub const FIGURES: usize = 16;

const CYCLE: usize = 0;
const PROGRESS: usize = 1;
const CPU_NS: usize = 2;
const NOTE: usize = 3;
const FIRST_FIGURE: usize = NOTE + NOTE_WORDS;

/// Of a note: whether there is one and how long its text is, the address, and the text.
const NOTE_WORDS: usize = 2 + NOTE_BYTES / 8;
const NOTE_BYTES: usize = 88;

/// What a worker found to be impossible in the heap: its word for it, no more. Cut off where it is long.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Note {
    text: [u8; NOTE_BYTES],
    len: usize,
    at: Option<Address>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is no text was written by a worker that is out of its mind.
        let text = &self.text[..self.len];
        let text = str::from_utf8(text)
            .unwrap_or_else(|e| str::from_utf8(&text[..e.valid_up_to()]).unwrap_or_default());
        // Quoted as far as it could do harm to a terminal.
        write!(f, "{}", text.escape_debug())?;
        self.at.map_or(Ok(()), |at| write!(f, " (at {at})"))
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A completion record in shared memory.
#[derive(Debug)]
pub struct Record {
    words: Shared<AtomicU64>,
    /// 1 once the worker may begin.
    go: Shared<AtomicU32>,
}

impl Record {
    /// An empty record.
    pub fn new() -> Result<Self, Error> {
        let words = Shared::scratch("palimpsest-record", FIRST_FIGURE + FIGURES)?;
        Ok(Self { words, go: Shared::scratch("palimpsest-go", 1)? })
    }

    /// Where it is.
    pub(super) fn regions(&self) -> [Region<'_>; 2] {
        [self.words.region(), self.go.region()]
    }

    /// Reports that something has written past the record. Called between cycles.
    pub fn check_guards(&self) {
        self.regions().iter().for_each(Region::check_slack);
    }

    /// Prepares for a cycle's worker: nothing is complete.
    pub(super) fn begin(&self, cycle: u64) {
        debug_assert_ne!(cycle, 0);
        for word in self.words.iter() {
            word.store(0, Ordering::Relaxed);
        }
        self.go[0].store(0, Ordering::Release);
    }

    /// Lets the worker begin.
    pub(super) fn let_go(&self) {
        self.go[0].store(1, Ordering::Release);
        if !mutation!("record: nobody is woken that waits to begin") {
            futex::wake_all_shared(&self.go[0]);
        }
    }

    /// The worker's side: waits until it may begin, or until `give_up`. Async-signal-safe.
    pub(super) fn wait_for_go(&self, give_up: impl Fn() -> bool) -> bool {
        while self.go[0].load(Ordering::Acquire) == 0 {
            if give_up() {
                return false;
            }
            futex::wait_shared(&self.go[0], 0, Duration::from_millis(10));
        }
        true
    }

    /// The worker's side: tells what it has found, if it is the first of its crew that does. Async-signal-safe.
    pub(crate) fn leave_note(&self, at: Option<Address>, what: fmt::Arguments<'_>) {
        let note = &self.words[NOTE..FIRST_FIGURE];
        let claimed = note[0].compare_exchange(0, u64::MAX, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_err() {
            return;
        }
        let mut line = Line::new();
        // What does not fit is cut off.
        let _ = line.write_fmt(what);
        let text = line.as_str().as_bytes();
        let len = text.len().min(NOTE_BYTES);
        note[1].store(at.map_or(0, |at| at.as_usize() as u64), Ordering::Relaxed);
        for (word, bytes) in note[2..].iter().zip(text[..len].chunks(8)) {
            let mut all = [0; 8];
            all[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(all), Ordering::Relaxed);
        }
        // Release: whoever sees the length sees the text. Pairs with `note`.
        note[0].store(1 + len as u64, Ordering::Release);
    }

    /// The parent's side: what a worker found, once all of them are gone.
    pub(super) fn note(&self) -> Option<Note> {
        let note = &self.words[NOTE..FIRST_FIGURE];
        // One that ended in the middle of it has found something too.
        let len = match note[0].load(Ordering::Acquire) {
            0 => return None,
            u64::MAX => 0,
            len => (len as usize - 1).min(NOTE_BYTES),
        };
        let at = Some(note[1].load(Ordering::Relaxed) as usize).filter(|at| *at != 0).map(Address::new);
        let mut text = [0; NOTE_BYTES];
        for (bytes, word) in text.chunks_exact_mut(8).zip(&note[2..]) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        Some(Note { text, len, at })
    }

    /// Counts a step forward. Async-signal-safe.
    #[inline]
    pub fn advance(&self) {
        self.words[PROGRESS].fetch_add(1, Ordering::Relaxed);
    }

    /// Steps counted so far.
    pub fn progress(&self) -> u64 {
        self.words[PROGRESS].load(Ordering::Relaxed)
    }

    /// One of the body's own numbers.
    ///
    /// # Panics
    /// If `k` is not below [`FIGURES`].
    pub fn figure(&self, k: usize) -> &AtomicU64 {
        &self.words[FIRST_FIGURE..][k]
    }

    /// The last thing a complete worker does. Async-signal-safe.
    pub(super) fn complete(&self, cycle: u64, cpu_ns: u64) {
        if mutation!("record: complete before all is in it") {
            self.words[CYCLE].store(cycle, Ordering::Release);
        }
        self.words[CPU_NS].store(cpu_ns, Ordering::Relaxed);
        // Release: whoever sees the cycle's number sees its results. Pairs with `is_complete`.
        self.words[CYCLE].store(cycle, Ordering::Release);
    }

    /// Whether the worker of this cycle has completed.
    pub fn is_complete(&self, cycle: u64) -> bool {
        self.words[CYCLE].load(Ordering::Acquire) == cycle
    }

    /// CPU time that the last complete worker used.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.words[CPU_NS].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_note_of_a_cycle_is_kept_as_far_as_it_fits() {
        let record = Record::new().unwrap();
        record.begin(1);
        assert_eq!(record.note(), None);
        record.leave_note(Some(Address::new(0x40)), format_args!("{} is wrong", "x".repeat(70)));
        record.leave_note(None, format_args!("another"));
        let note = record.note().expect("a note").to_string();
        assert_eq!(note, format!("{} is wrong (at 0x40)", "x".repeat(70)));
        record.begin(2);
        assert_eq!(record.note(), None, "of this cycle");
        record.leave_note(None, format_args!("{}", "é".repeat(200)));
        assert_eq!(record.note().expect("a note").to_string(), "é".repeat(44));
    }

    #[test]
    fn a_note_that_no_sane_worker_writes_is_shown_without_harm() {
        let record = Record::new().unwrap();
        record.begin(1);
        record.leave_note(None, format_args!("a\u{1b}[2Jb"));
        assert_eq!(record.note().expect("a note").to_string(), "a\\u{1b}[2Jb");
        record.words[NOTE].store(u64::MAX - 1, Ordering::Relaxed);
        record.words[NOTE + 2].store(0xffff_ffff_ffff_4241, Ordering::Relaxed);
        assert_eq!(record.note().expect("a note").to_string(), "AB");
    }
}
