//! What this machine offers, found out by trying.

use super::{Missing, Rung, Snapshot};
use crate::barrier::DeliveryKind;
use crate::mapping::Backing;
use crate::sys::pagemap::Pagemap;
use crate::sys::uffd::{self, Door, Features};
use crate::sys::{Errno, memory, process};
use crate::unit::PAGE_SIZE;

/// What this kernel offers this process at this moment.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// Bytes in a page.
    pub page_size: usize,
    /// The ways to a userfaultfd: the features it has, or the kernel's answer.
    pub doors: [(Door, Result<Features, Errno>); 3],
    /// Whether the page tables can be scanned for written pages.
    pub scan: Result<(), Errno>,
    /// Whether memory files can be made.
    pub memory_file: Result<(), Errno>,
    /// How many mappings a process may have.
    pub most_mappings: usize,
}

impl Machine {
    /// Looks. Opens a few descriptors and closes them again.
    pub fn look() -> Self {
        Self {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            page_size: rustix::param::page_size(),
            doors: Door::ALL.map(|door| (door, uffd::features(door))),
            scan: Pagemap::open().and_then(|pagemap| pagemap.probe()),
            memory_file: memory::probe_memfd(),
            most_mappings: memory::most_mappings(),
        }
    }

    /// Whether workers can be forked: tries it.
    pub fn can_fork() -> Result<(), Errno> {
        // SAFETY: the child does nothing but exit.
        match unsafe { process::fork() }? {
            process::Forked::Child => process::exit_now(0),
            process::Forked::Parent(mut child) => {
                child.wait();
                Ok(())
            }
        }
    }

    /// Whether a rung may hold here. That it does shows only when a heap is made on it.
    pub fn allows(&self, rung: &Rung) -> Result<(), Missing> {
        if self.page_size != PAGE_SIZE && rung.snapshot != Snapshot::StopTheWorld {
            return Err(Missing::PageSize(self.page_size));
        }
        self.memory_file.map_err(Missing::MemoryFile)?;
        match rung.delivery {
            Some(delivery) => self.delivers(delivery, rung.door, rung.snapshot.backing()),
            None => Ok(()),
        }
    }

    /// Whether writes to such memory can be noticed in this way, through this door (by default through any).
    ///
    /// # Errors
    /// What is missing; for several doors, at the last of them.
    pub fn delivers(
        &self,
        delivery: DeliveryKind,
        door: Option<Door>,
        backing: Backing,
    ) -> Result<(), Missing> {
        if !delivery.needs_uffd() {
            return Ok(());
        }
        if delivery == DeliveryKind::Async {
            self.scan.map_err(Missing::Scan)?;
        }
        let features = match door {
            Some(door) => self.features(door),
            None => {
                let open = delivery.doors().iter().map(|door| self.features(*door));
                open.reduce(Result::or).unwrap_or(Err(Missing::Closed(Door::Device, Errno::NOSYS)))
            }
        }?;
        let lacking: Vec<_> =
            delivery.needed(backing).into_iter().filter(|feature| !features.has(*feature)).collect();
        if !lacking.is_empty() {
            Err(Missing::Features(lacking))
        } else if backing == Backing::Shared && loses_notifications(&self.release) {
            Err(Missing::Unreliable(self.release.clone()))
        } else {
            Ok(())
        }
    }

    fn features(&self, door: Door) -> Result<Features, Missing> {
        let found = self.doors.iter().find(|(other, _)| *other == door);
        found.map_or(Err(Errno::NOSYS), |(_, answer)| *answer).map_err(|errno| Missing::Closed(door, errno))
    }
}

/// Kernels before 6.2 could drop write-protection of shared memory when a page was migrated or its mapping changed (fixed by
/// "mm/userfaultfd: enable writenotify while userfaultfd-wp is enabled for a VMA", January 2023, and in 6.1 stable soon
/// after). A release that cannot be read is taken for a new one.
fn loses_notifications(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    match (next(), next(), next()) {
        (Some(major), Some(minor), patch) => {
            (major, minor) < (6, 1) || ((major, minor) == (6, 1) && patch.unwrap_or(0) < 10)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_lose_notifications_are_known() {
        for release in ["5.19.0", "6.0.12-generic", "6.1.0", "6.1.9"] {
            assert!(loses_notifications(release), "{release}");
        }
        for release in ["6.1.140", "6.2.0-rc4", "6.18.44-fc", "7.0", "unknown"] {
            assert!(!loses_notifications(release), "{release}");
        }
    }

    #[test]
    fn a_machine_without_a_userfaultfd_still_has_rungs() {
        let mut machine = Machine::look();
        machine.doors = Door::ALL.map(|door| (door, Err(Errno::PERM)));
        let rungs = super::super::Wish::default().candidates();
        let held: Vec<_> = rungs.iter().map(|rung| machine.allows(rung).is_ok()).collect();
        if machine.page_size == PAGE_SIZE && machine.memory_file.is_ok() {
            assert_eq!(held, [false, false, false, true, true, true]);
        }
        let backing = Backing::Shared;
        assert!(machine.delivers(DeliveryKind::Signal, None, backing).is_err());
        assert!(machine.delivers(DeliveryKind::Protect, None, backing).is_ok());
    }

    #[test]
    fn an_old_kernel_is_told_by_its_features() {
        let mut machine = Machine::look();
        machine.doors = Door::ALL.map(|door| (door, Ok(Features::default())));
        match machine.delivers(DeliveryKind::Async, None, Backing::Private) {
            Err(Missing::Features(lacking)) => assert_eq!(lacking.len(), 3),
            Err(Missing::Scan(_)) => assert!(machine.scan.is_err()),
            other => panic!("{other:?}"),
        }
    }
}
