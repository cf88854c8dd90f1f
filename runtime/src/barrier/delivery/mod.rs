//! How a write to an armed page is noticed.
//!
//! | delivery | who resolves the first write | writes by the kernel | needs |
//! | --- | --- | --- | --- |
//! | `Signal` | the writing thread, in a `SIGBUS` handler | `EFAULT` | userfaultfd |
//! | `Monitor` | a thread of its own, which reads events | resolved like others, where the door allows | userfaultfd |
//! | `Protect` | the writing thread, in a `SIGSEGV` handler | `EFAULT` | `mprotect` |
//! | `Async` | the kernel; asked afterwards | noticed | userfaultfd and `PAGEMAP_SCAN` of Linux 6.7 |
//!
//! The deliveries differ in the system calls they make. The state machine above them ([`super::Barrier`]) is one, and
//! serves those that are *synchronous*: the writer waits until the page is saved. `Async` is not,
//! so it can tell which pages were written and not what they held: it serves a [`Tracker`](super::Tracker).

pub(super) mod asynchronous;
mod interface;
pub(super) mod monitor;
pub(super) mod protect;
pub(super) mod signal;

pub use interface::Delivery;

use crate::error::Error;
use crate::mapping::{Backing, HeapMapping};
use crate::sys::Errno;
use crate::sys::uffd::{Door, Feature, Features, Uffd};
use crate::unit::PageRange;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The ways of noticing a write.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum DeliveryKind {
    /// userfaultfd; the writing thread gets `SIGBUS` and resolves its fault itself.
    Signal,
    /// userfaultfd; a thread reads events.
    Monitor,
    /// `mprotect`; the writing thread gets `SIGSEGV`.
    Protect,
    /// userfaultfd; the kernel resolves the fault and remembers the page.
    Async,
}

impl DeliveryKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Signal, Self::Monitor, Self::Protect, Self::Async];

    /// The name, as it is written in options and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Monitor => "monitor",
            Self::Protect => "protect",
            Self::Async => "async",
        }
    }

    /// Whether the writer waits until its write is noticed: what a pre-image needs.
    pub const fn is_synchronous(self) -> bool {
        !matches!(self, Self::Async)
    }

    /// Whether it works through a userfaultfd.
    pub const fn needs_uffd(self) -> bool {
        !matches!(self, Self::Protect)
    }

    /// The doors to try, in this order. A monitor is there to serve the kernel's writes too, so it tries the doors first
    /// through which it hears of them.
    pub const fn doors(self) -> &'static [Door] {
        match self {
            Self::Signal | Self::Async => &Door::ALL,
            Self::Monitor => &[Door::SystemCall, Door::Device, Door::SystemCallUserOnly],
            Self::Protect => &[],
        }
    }

    /// The features it needs of a userfaultfd over such memory.
    pub fn needed(self, backing: Backing) -> Vec<Feature> {
        let mut needed = match self {
            Self::Signal => vec![Feature::WRITE_PROTECT, Feature::SIGBUS],
            Self::Monitor => vec![Feature::WRITE_PROTECT],
            Self::Async => vec![Feature::WRITE_PROTECT, Feature::ASYNC],
            Self::Protect => return Vec::new(),
        };
        needed.push(match backing {
            Backing::Shared => Feature::SHARED,
            Backing::Private => Feature::UNPOPULATED,
        });
        needed
    }
}

impl fmt::Display for DeliveryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeliveryKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("{text:?} is no delivery: signal, monitor, protect or async"))
    }
}

/// Makes a synchronous delivery over a heap's traced half. `door` is the way to the userfaultfd, where it needs one; by
/// default the first that opens.
pub(super) fn make(
    kind: DeliveryKind,
    door: Option<Door>,
    heap: &Arc<HeapMapping>,
) -> Result<Box<dyn Delivery>, Error> {
    Ok(match kind {
        DeliveryKind::Protect => Box::new(protect::Protect::new(heap.clone())?),
        DeliveryKind::Signal => Box::new(signal::Signal::new(Registered::new(kind, door, heap)?)?),
        DeliveryKind::Monitor => Box::new(monitor::Monitor::new(Registered::new(kind, door, heap)?)?),
        DeliveryKind::Async => return Err(Error::NotSynchronous),
    })
}

/// A userfaultfd with which a heap's traced half is registered: what three deliveries have in common.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) uffd: Uffd,
    pub(super) heap: Arc<HeapMapping>,
    pub(super) door: Door,
    features: Features,
}

impl Registered {
    pub(super) fn new(
        kind: DeliveryKind,
        door: Option<Door>,
        heap: &Arc<HeapMapping>,
    ) -> Result<Self, Error> {
        let features = Features::of(&kind.needed(heap.backing()));
        let doors = door.as_ref().map_or(kind.doors(), std::slice::from_ref);
        let mut result = Err((doors[0], Errno::NOSYS));
        for &door in doors {
            result = Uffd::open(door, features).map(|uffd| (door, uffd)).map_err(|errno| (door, errno));
            if result.is_ok() {
                break;
            }
        }
        let (door, uffd) = result.map_err(|(door, errno)| {
            Error::advise(
                format!("opening {door}"),
                errno,
                "run the doctor, which says what this kernel offers and what to change",
            )
        })?;
        let (at, len) = (heap.base(), heap.half());
        uffd.register(at, len).map_err(|errno| {
            let advice = match errno {
                Errno::BUSY => "the range is already tracked by another userfaultfd",
                _ => "",
            };
            Error::advise(format!("registering {at}..{} for tracking", heap.base().add(len.0)), errno, advice)
        })?;
        Ok(Self { uffd, heap: heap.clone(), door, features })
    }

    pub(super) fn arm(&self, pages: PageRange) -> Result<(), Error> {
        let (at, len) = self.heap.span(pages);
        self.uffd
            .arm(at, len)
            .map_err(|errno| Error::denied(format!("write-protecting {len} at {at}"), errno))
    }

    #[inline]
    pub(super) fn open(&self, pages: PageRange) -> Result<(), Errno> {
        let (at, len) = self.heap.span(pages);
        self.uffd.open_pages(at, len)
    }

    /// In a child: the parent's descriptor is replaced by one of this process's. Async-signal-safe.
    pub(super) fn begin_anew(&self) -> Result<(), Errno> {
        self.uffd.reopen(self.door, self.features)?;
        self.uffd.register(self.heap.base(), self.heap.half())
    }

    pub(super) fn give_up(&self) -> Result<(), Errno> {
        let (at, len) = (self.heap.base(), self.heap.half());
        // Ending the registration removes the protection, but wakes nobody who waits for the answer to a write fault: the kernel
        // does that for missing pages only. Whoever is woken tries again, and waits no more.
        let ended = self.uffd.unregister(at, len).and_then(|()| self.uffd.wake(at, len));
        ended.or_else(|_| self.uffd.abandon())
    }
}
