//! Arming between snapshots, while mutators write: what is armed is armed, and no write goes unnoticed.

use super::spawn;
use crate::barrier::{Barrier, Choice, Round};
use crate::explore::Model;
use crate::unit::{PAGE_WORDS, PageRange};

/// A round arms a page to which a writer writes twice. The stopped world's last round finds everything armed afterwards, and
/// whoever looked at a page when he was last told that it was open has seen all that was written to it.
pub const ROUND: Model = Model {
    name: "arming in rounds",
    preemptions: 5,
    mistakes: &[
        ("trap: said to be open before it is", "a write traps for ever"),
        ("rounds: said to be armed before it is", "a page is left open in the snapshot"),
        ("rounds: a page being opened is forgotten", "a page is left open in the snapshot"),
    ],
    orders: &[],
    deaths: false,
    run: round,
};

/// A thread pins a page for a system call that writes to it, while a round arms: the kernel's write does not trap, and is
/// noticed, and a snapshot has the page as it was when it began.
pub const PIN: Model = Model {
    name: "pinning",
    preemptions: 3,
    mistakes: &[("pin: counted after the page is open", "the kernel's write trapped")],
    orders: &[],
    deaths: false,
    run: pin,
};

/// Looks at each page when told that it was open.
struct Seen<'a>(&'a Barrier, &'a mut Vec<[u64; PAGE_WORDS]>);

impl Round for Seen<'_> {
    fn choose(&mut self, _chunk: u32) -> Choice {
        Choice::All
    }

    fn written(&mut self, pages: PageRange) {
        pages.iter().for_each(|page| self.1[page.0 as usize] = self.0.heap().contents(page.0));
    }
}

fn round() {
    let barrier = Barrier::of(&[[0, 0]], 1);
    let mut seen = vec![[0, 0]];
    let writing = barrier.clone();
    let writer = spawn(move || {
        writing.write(0, 0, 1);
        writing.write(0, 0, 2);
    });
    barrier.arm_round(Seen(&barrier, &mut seen)).unwrap();
    barrier.arm_round(Seen(&barrier, &mut seen)).unwrap();
    writer.join();
    barrier.begin_snapshot(Seen(&barrier, &mut seen)).unwrap();
    assert!(barrier.heap().is_protected(0), "a page is left open in the snapshot");
    assert_eq!(seen, [[2, 0]], "a write went unnoticed");
    barrier.end_snapshot();
}

fn pin() {
    let barrier = Barrier::of(&[[0, 0]], 1);
    let mut seen = vec![[0, 0]];
    let pinning = barrier.clone();
    let thread = spawn(move || {
        let pin = pinning.pin(PageRange::new(0, 1));
        assert!(pinning.heap().store(0, 0, 1), "the kernel's write trapped");
        drop(pin);
    });
    barrier.arm_round(Seen(&barrier, &mut seen)).unwrap();
    thread.join();
    barrier.begin_snapshot(Seen(&barrier, &mut seen)).unwrap();
    assert!(barrier.heap().is_protected(0), "a page is left open in the snapshot");
    assert_eq!(seen, [[1, 0]], "a write went unnoticed");
    barrier.end_snapshot();
}
