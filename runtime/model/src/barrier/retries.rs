//! Faults on a page that looks resolved: here always races, which end.

use crate::unit::Address;

pub(super) fn retries_left(_page: Address, _arming: u32) -> bool {
    crate::sys::futex::yield_now();
    true
}
