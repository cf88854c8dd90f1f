//! Where the protocols name a memory order, and weakening one of these.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock};

/// A place in the source that names an order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// As the compiler knows it.
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl Place {
    fn of(location: &Location<'_>) -> Self {
        Self { file: location.file().to_owned(), line: location.line(), column: location.column() }
    }

    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, ':');
        let column = parts.next()?.parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        Some(Self { file: parts.next()?.to_owned(), line, column })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What is done there.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Load,
    Store,
    Both,
    Fence,
}

impl Access {
    /// What is left of `SeqCst` beside its fence.
    pub(super) fn strongest(self) -> Ordering {
        match self {
            Self::Load => Ordering::Acquire,
            Self::Store => Ordering::Release,
            Self::Both | Self::Fence => Ordering::AcqRel,
        }
    }
}

static WEAKENED: OnceLock<Place> = OnceLock::new();
static SEEN: Mutex<BTreeSet<Place>> = Mutex::new(BTreeSet::new());

/// From now on the order at this place is `Relaxed` in this process; a fence there is none.
pub fn weaken(place: Place) {
    WEAKENED.set(place).expect("one weakened order a process");
}

/// The places of the protocols that were executed, and name an order that is not `Relaxed` already.
pub fn seen() -> Vec<Place> {
    SEEN.lock().unwrap().iter().cloned().collect()
}

/// The order that counts at this place.
pub(super) fn at(location: &Location<'_>, order: Ordering, _access: Access) -> Ordering {
    if order == Ordering::Relaxed {
        return order;
    }
    match WEAKENED.get() {
        Some(place) => {
            let is_weakened = place.line == location.line()
                && place.column == location.column()
                && place.file == location.file();
            if is_weakened { Ordering::Relaxed } else { order }
        }
        None => {
            note(location);
            order
        }
    }
}

/// The second order of a place whose fence stands already.
pub(super) fn weaker(location: &Location<'_>, order: Ordering, access: Access) -> Ordering {
    match at(location, order, access) {
        Ordering::SeqCst => access.strongest(),
        other => other,
    }
}

fn note(location: &Location<'_>) {
    std::thread_local! {
        /// Addresses of locations that are noted; there is one for each place.
        static NOTED: std::cell::RefCell<std::collections::HashSet<usize>> = std::cell::RefCell::default();
    }
    // The protocols' own files are included by a path out of the crate.
    let is_new = NOTED.with_borrow_mut(|noted| noted.insert(std::ptr::from_ref(location).addr()));
    if is_new && location.file().contains("/../") {
        SEEN.lock().unwrap().insert(Place::of(location));
    }
}
