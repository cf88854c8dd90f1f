//! What was noticed, in the order it was: one array that signal handlers and the monitor write and the question reads.
//!
//! A child that a question forks has its own copy from there on.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// What a notification was.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Notice {
    /// `SIGBUS` in the writing thread, and the page was write-protected.
    Bus = 1,
    /// `SIGSEGV` in the writing thread.
    Segv,
    /// A message: the page was write-protected.
    Protected,
    /// A message or `SIGBUS`: the page did not exist.
    Missing,
    /// A message of a forked child's own userfaultfd: the page was write-protected.
    InChild,
    /// A message: a child was forked.
    Fork,
}

const ALL: [Notice; 6] =
    [Notice::Bus, Notice::Segv, Notice::Protected, Notice::Missing, Notice::InChild, Notice::Fork];

const ROOM: usize = 1 << 16;

/// Each a notice in the upper byte and a page in the rest; 0 while it is being written.
static ENTRIES: [AtomicU32; ROOM] = [const { AtomicU32::new(0) }; ROOM];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Takes down a notice. Async-signal-safe. What does not fit any more is only counted.
pub fn record(notice: Notice, page: usize) {
    let at = NEXT.fetch_add(1, Ordering::Relaxed);
    if let Some(entry) = ENTRIES.get(at) {
        // Release: pairs with `notices`, for readers that are not the writing thread.
        entry.store((notice as u32) << 24 | page as u32, Ordering::Release);
    }
}

/// All notices of a page since [`clear`], in order.
pub fn of_page(page: usize) -> Vec<Notice> {
    ENTRIES[..NEXT.load(Ordering::Relaxed).min(ROOM)]
        .iter()
        .map(|entry| entry.load(Ordering::Acquire))
        .filter(|entry| entry & 0xff_ffff == page as u32)
        .filter_map(|entry| ALL.into_iter().find(|n| *n as u32 == entry >> 24))
        .collect()
}

/// How many notices of this kind, whatever the page. Allocates nothing.
pub fn total(notice: Notice) -> usize {
    ENTRIES[..NEXT.load(Ordering::Relaxed).min(ROOM)]
        .iter()
        .filter(|entry| entry.load(Ordering::Acquire) >> 24 == notice as u32)
        .count()
}

/// Forgets everything. Nothing may be going on.
pub fn clear() {
    for entry in &ENTRIES[..NEXT.swap(0, Ordering::Relaxed).min(ROOM)] {
        entry.store(0, Ordering::Relaxed);
    }
}

/// What happened to a page, in order, in words.
pub fn in_words(page: usize) -> String {
    words(&of_page(page))
}

/// Notices in words.
pub fn words(notices: &[Notice]) -> String {
    let name = |notice: &Notice| match notice {
        Notice::Bus => "SIGBUS",
        Notice::Segv => "SIGSEGV",
        Notice::Protected => "message",
        Notice::Missing => "missing",
        Notice::InChild => "message of the child",
        Notice::Fork => "fork",
    };
    if notices.is_empty() {
        "nothing".into()
    } else {
        notices.iter().map(name).collect::<Vec<_>>().join(" then ")
    }
}
