//! What this machine offers, found out by trying.

use super::{Missing, Rung, Snapshot};
use crate::barrier::DeliveryKind;
use crate::mapping::Backing;
use crate::sys::pagemap::Pagemap;
use crate::sys::uffd::{self, Door, Features};
use crate::sys::{Errno, memory, process, signal};
use crate::unit::PAGE_SIZE;

/// What this kernel offers this process at this moment.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// The kernel's version, as `uname -v` prints it. Some distributions say here which stable release theirs is.
    pub version: String,
    /// Bytes in a page.
    pub page_size: usize,
    /// The ways to a userfaultfd: the features it has, or the kernel's answer.
    pub doors: [(Door, Result<Features, Errno>); 3],
    /// Whether the page tables can be scanned for written pages.
    pub scan: Result<(), Errno>,
    /// Whether memory files can be made.
    pub memory_file: Result<(), Errno>,
    /// Whether workers can be forked and waited for.
    pub fork: Result<(), Errno>,
    /// How many mappings a process may have.
    pub most_mappings: usize,
}

impl Machine {
    /// Looks. Opens a few descriptors and closes them again, and forks a child that exits at once.
    pub fn look() -> Self {
        Self::look_for(&[DeliveryKind::Signal, DeliveryKind::Async].map(|delivery| Rung {
            snapshot: Snapshot::Preimage,
            delivery: Some(delivery),
            door: None,
        }))
    }

    /// Looks at what these rungs need, and makes no system call that none of them needs: a sandbox may end a process for one.
    /// For the rest, the answer is that it is not there.
    pub(super) fn look_for(rungs: &[Rung]) -> Self {
        let any = |needs: fn(&Rung) -> bool| if rungs.iter().any(needs) { Ok(()) } else { Err(Errno::NOSYS) };
        let uffd = any(|rung| rung.delivery.is_some_and(DeliveryKind::needs_uffd));
        let scan = any(|rung| rung.delivery == Some(DeliveryKind::Async));
        let fork = any(|rung| rung.snapshot != Snapshot::StopTheWorld);
        let (release, version) = process::kernel();
        Self {
            release,
            version,
            page_size: memory::page_size(),
            fork: fork.and_then(|()| can_fork()),
            doors: Door::ALL.map(|door| (door, uffd.and_then(|()| uffd::features(door)))),
            scan: scan.and_then(|()| Pagemap::open()).and_then(|pagemap| pagemap.probe()),
            memory_file: memory::probe_memfd(),
            most_mappings: memory::most_mappings(),
        }
    }

    /// Whether a rung may hold here. That it does shows only when a heap is made on it.
    pub fn allows(&self, rung: &Rung) -> Result<(), Missing> {
        if self.page_size != PAGE_SIZE && rung.snapshot != Snapshot::StopTheWorld {
            return Err(Missing::PageSize(self.page_size));
        }
        self.memory_file.map_err(Missing::MemoryFile)?;
        if rung.snapshot != Snapshot::StopTheWorld {
            self.can_have_workers()?;
        }
        match rung.delivery {
            Some(delivery) => self.delivers(delivery, rung.door, rung.snapshot.backing()),
            None => Ok(()),
        }
    }

    /// Whether workers can be had. A refusal for want of processes or memory may be over when one is needed: such cycles mark
    /// in the stopped world.
    fn can_have_workers(&self) -> Result<(), Missing> {
        match self.fork {
            Ok(()) | Err(Errno::AGAIN | Errno::NOMEM) => Ok(()),
            Err(errno) => Err(Missing::Fork(errno)),
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
        } else if backing == Backing::Shared && loses_notifications(&self.release, &self.version) {
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

/// Forks a child that exits at once, as a worker is forked, and waits for it.
fn can_fork() -> Result<(), Errno> {
    // Signals are held: a host's handler has no business in the child.
    // SAFETY: the child does nothing but exit.
    let forked = signal::with_signals_held(|| match unsafe { process::fork() } {
        Ok(process::Forked::Child) => process::exit_now(0),
        forked => forked,
    });
    match forked? {
        process::Forked::Child => process::exit_now(0),
        process::Forked::Parent(mut child) => match child.wait() {
            process::ChildExit::Status(0) => Ok(()),
            _ => Err(Errno::CHILD),
        },
    }
}

/// Kernels before 6.2 could drop write-protection of shared memory when a page was migrated or its mapping changed (fixed by
/// "mm/userfaultfd: enable writenotify while userfaultfd-wp is enabled for a VMA", January 2023, and in 6.1.8). A release
/// that cannot be read is taken for a new one.
///
/// Debian's release names the interface (`6.1.0-39-amd64`), and its version the stable release (`... Debian 6.1.148-1 ...`).
fn loses_notifications(release: &str, version: &str) -> bool {
    let stable = version.split_once("Debian ").map_or(release, |(_, stable)| stable);
    let mut numbers = stable.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    match (next(), next(), next()) {
        (Some(major), Some(minor), patch) => {
            (major, minor) < (6, 1) || ((major, minor) == (6, 1) && patch.unwrap_or(0) < 8)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_lose_notifications_are_known() {
        let plain = "#1 SMP PREEMPT_DYNAMIC Mon Jan 2 10:00:00 UTC 2023";
        for release in ["5.19.0", "6.0.12-generic", "6.1.0", "6.1.7"] {
            assert!(loses_notifications(release, plain), "{release}");
        }
        for release in ["6.1.8", "6.1.140", "6.2.0-rc4", "6.18.44-fc", "7.0", "unknown"] {
            assert!(!loses_notifications(release, plain), "{release}");
        }
        let debian = |stable| format!("#1 SMP PREEMPT_DYNAMIC Debian {stable} (2025-01-01)");
        assert!(loses_notifications("6.1.0-2-amd64", &debian("6.1.7-1")));
        assert!(!loses_notifications("6.1.0-39-amd64", &debian("6.1.148-1")));
    }

    #[test]
    fn without_workers_the_world_is_stopped() {
        let mut machine = Machine::look();
        for (errno, held) in [(Errno::INVAL, false), (Errno::AGAIN, true)] {
            machine.fork = Err(errno);
            let rung = Rung { snapshot: Snapshot::ForkCow, delivery: None, door: None };
            assert_eq!(machine.allows(&rung).is_ok(), held && machine.page_size == PAGE_SIZE);
            let rung = Rung { snapshot: Snapshot::StopTheWorld, ..rung };
            assert!(machine.allows(&rung).is_ok());
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
