//! The questions, a theme a file. Each finds its facts with the verbs of [`crate::watch`] and compares them there and
//! then; the sentence in the table says the same in words.

mod blocked;
mod dropping;
mod first_write;
mod fork;
mod huge;
mod inherited;
mod kernel_writes;
mod missing;
mod pins;
mod protections;
mod races;
mod registration;
mod remap;
mod scan;
mod unpopulated;

use crate::conformance::Question;

/// All questions, in the order of the table.
pub static ALL: &[&Question] = &[
    &first_write::PLAIN,
    &first_write::ATOMIC,
    &unpopulated::WITHOUT,
    &unpopulated::WITH,
    &missing::MISSING,
    &races::SIGNALS,
    &races::TWO_WRITERS,
    &blocked::BLOCKED,
    &kernel_writes::READ,
    &kernel_writes::WRITEV,
    &kernel_writes::DEBUGGER,
    &kernel_writes::PIN,
    &pins::THROUGH,
    &protections::READ_ONLY,
    &protections::NO_ACCESS,
    &protections::NO_ACCESS_MISSING,
    &registration::SECOND,
    &registration::CLOSE,
    &registration::CLOSE_WAKES,
    &fork::IN_PARENT,
    &fork::IN_CHILD,
    &fork::WITH_EVENT,
    &fork::ENFORCED_COW,
    &inherited::PAGEMAP,
    &inherited::UFFD,
    &dropping::DONTNEED,
    &dropping::HOLE,
    &remap::AGAIN,
    &remap::MOVED,
    &huge::WHOLE,
    &huge::PART,
    &scan::REARM,
    &scan::RESUME,
    &scan::NOT_ASYNC,
    &scan::LOST,
];
