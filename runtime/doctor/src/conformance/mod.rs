//! The questions put to the running kernel, what is expected, and what came out.
//!
//! A [`Question`] is asked once in each of its [`Setting`]s, each time in a process of its own ([`ask`]): a kernel that
//! answers with a signal, or not at all, ends that process and not the table. The process finds [`facts::Facts`] and
//! compares each with what it should be, so a verdict always comes out of what was seen.

pub mod ask;
pub mod facts;
pub mod report;

pub use facts::{Doing, Facts, Finding, Trouble, Verdict};

pub use crate::kernel::memory::Kind as Memory;

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a write is told of.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// userfaultfd with `UFFD_FEATURE_SIGBUS`: the writing thread handles it itself.
    Sigbus,
    /// userfaultfd: a thread reads messages, the writer waits.
    Monitor,
    /// userfaultfd with `UFFD_FEATURE_WP_ASYNC`: the kernel keeps book, `PAGEMAP_SCAN` reads it.
    Async,
    /// `mprotect` and `SIGSEGV`.
    Mprotect,
}

/// All four.
pub const EVERY_DELIVERY: &[Delivery] =
    &[Delivery::Sigbus, Delivery::Monitor, Delivery::Async, Delivery::Mprotect];
/// Those that need a userfaultfd.
pub const BY_UFFD: &[Delivery] = &[Delivery::Sigbus, Delivery::Monitor, Delivery::Async];
/// Those that tell of each write when it happens.
pub const SYNCHRONOUS: &[Delivery] = &[Delivery::Sigbus, Delivery::Monitor, Delivery::Mprotect];
/// The two kinds of memory that a heap may consist of.
pub const SMALL_PAGES: &[Memory] = &[Memory::Anonymous, Memory::Shared];

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Delivery::Sigbus => "sigbus",
            Delivery::Monitor => "monitor",
            Delivery::Async => "async",
            Delivery::Mprotect => "mprotect",
        })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Memory::Anonymous => "anonymous",
            Memory::Shared => "shared",
            Memory::AnonymousHuge => "anonymous-huge",
            Memory::SharedHuge => "shared-huge",
            Memory::Hugetlb => "hugetlb",
        })
    }
}

/// What a question is asked of.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// The memory.
    pub memory: Memory,
    /// How writes to it are told of.
    pub delivery: Delivery,
}

/// One question.
#[derive(Debug)]
pub struct Question {
    /// Its name, by which it is chosen.
    pub name: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// Where the kernel documents or implements the answer.
    pub source: &'static str,
    /// The memory it is asked of,
    pub memory: &'static [Memory],
    /// times the deliveries.
    pub delivery: &'static [Delivery],
    /// What a runtime may rely on, in this setting.
    pub expected: fn(Setting) -> &'static str,
    /// Finds out. Runs in a process of its own.
    pub ask: fn(Setting) -> Result<Facts, Trouble>,
}

impl Question {
    /// All settings it is asked in.
    pub fn settings(&self) -> impl Iterator<Item = Setting> {
        self.memory
            .iter()
            .flat_map(|&memory| self.delivery.iter().map(move |&delivery| Setting { memory, delivery }))
    }
}

/// A question in a setting, by name: `first-write/shared/sigbus`.
pub fn row_name(question: &Question, setting: Setting) -> String {
    format!("{}/{}/{}", question.name, setting.memory, setting.delivery)
}

/// Finds a row by its name.
pub fn find(name: &str) -> Option<(&'static Question, Setting)> {
    rows().find(|(question, setting)| row_name(question, *setting) == name)
}

/// All rows of the table, in order.
pub fn rows() -> impl Iterator<Item = (&'static Question, Setting)> {
    crate::questions::ALL
        .iter()
        .flat_map(|question| question.settings().map(move |setting| (*question, setting)))
}
