//! Memory that the collector's thread keeps for a cycle.
//!
//! A cycle makes a few small vectors and strings. In a process whose allocator has no memory left the first of them would
//! end the process, in the one cycle that might help. So the thread keeps some memory that it lets go when a cycle begins:
//! what a thread frees, allocators give to that thread again.

/// More than a cycle takes, in bytes. Less than what the C library would give back to the system.
const BALLAST: usize = 64 << 10;

/// The memory that is kept, if it could be had.
#[derive(Default)]
pub(super) struct Ballast(Vec<u8>);

impl Ballast {
    /// Before a cycle.
    pub(super) fn drop_it(&mut self) {
        self.0 = Vec::new();
    }

    /// After it. Where there is no memory, there is none for the next cycle either until there is.
    pub(super) fn take_it(&mut self) {
        // An allocator in trouble is asked again after the next cycle.
        let _ = self.0.try_reserve_exact(BALLAST);
        std::hint::black_box(self.0.as_ptr());
    }
}
