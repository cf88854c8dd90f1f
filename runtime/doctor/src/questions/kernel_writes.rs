//! Writes that the kernel makes for a system call. There is no instruction to try again and no thread to send a signal
//! to: the call fails, waits, or goes through, depending on the delivery.

use super::pins;
use crate::conformance::{
    Delivery, Doing, EVERY_DELIVERY, Facts, Memory, Question, SMALL_PAGES, Setting, Trouble,
};
use crate::kernel::memory::{Span, memory_file};
use crate::kernel::process::{self, Way};
use crate::kernel::ring::Ring;
use crate::kernel::uffd::Door;
use crate::kernel::{Answer, outcome};
use crate::watch::{Watch, Wish};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const USER_MODE_ONLY: &str =
    "refused: only a UFFD_USER_MODE_ONLY descriptor can be had, which does not wait for the kernel's faults";

fn expected(setting: Setting) -> &'static str {
    match setting.delivery {
        Delivery::Sigbus => "EFAULT, no signal, and the page stays armed: open it before the call",
        Delivery::Mprotect => "EFAULT, no signal, and the page stays armed: open it before the call",
        Delivery::Monitor => "waits until the monitor has opened the page, then succeeds; noticed once",
        Delivery::Async => "succeeds, and the page is written",
    }
}

/// `read(2)`.
pub static READ: Question = Question {
    name: "read-into-armed",
    asks: "What does read(2) into an armed page do?",
    source: "fs/userfaultfd.c, handle_userfault: the SIGBUS and user-mode-only cases; a copy to user space that faults \
             and may not wait is EFAULT",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected,
    ask: |setting| {
        let file = filled()?;
        into_armed(setting, EFAULT, |span| process::read_into(&file, span))
    },
};

/// `process_vm_writev(2)`.
pub static WRITEV: Question = Question {
    name: "writev-into-armed",
    asks: "What does process_vm_writev(2), which takes the page instead of copying to an address, do to an armed page?",
    source: "mm/gup.c, faultin_page: VM_FAULT_SIGBUS becomes EFAULT, a retry waits for the monitor; check_vma_flags: \
             EFAULT without VM_WRITE",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected,
    ask: |setting| {
        needs_copy_own()?;
        into_armed(setting, EFAULT, |span| process::copy_own(Way::Write, span, &mut FILL.clone()))
    },
};

/// Whether a process may copy its own memory by way of the kernel, which some filters deny.
pub fn needs_copy_own() -> Result<(), Trouble> {
    let word = [0_u64; 1];
    let span = Span { at: (&raw const word).expose_provenance(), len: 8 };
    match process::copy_own(Way::Read, span, &mut [0; 8]) {
        Err(errno) => Err(Trouble::NotAvailable(format!("process_vm_readv on oneself is denied ({errno})"))),
        Ok(_) => Ok(()),
    }
}

/// A debugger's write.
pub static DEBUGGER: Question = Question {
    name: "debugger-write",
    asks: "What does a write through /proc/self/mem, as debuggers make it, do to an armed page?",
    source: "mm/memory.c, __access_remote_vm: pages are taken with FOLL_FORCE, which overrides mprotect for private memory, and \
             without leave to wait, so that handle_userfault fails",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |setting| match (setting.delivery, setting.memory) {
        (Delivery::Mprotect, Memory::Anonymous) => {
            "goes through unnoticed, unless the kernel forbids forcing; the page stays armed"
        }
        (Delivery::Async, _) => "succeeds, and the page is written",
        _ => "EIO, no notification, and the page stays armed; the monitor is not waited for either",
    },
    ask: debugger,
};

fn debugger(setting: Setting) -> Result<Facts, Trouble> {
    let memory = File::options().write(true).open("/proc/self/mem");
    let memory =
        memory.map_err(|e| Trouble::NotAvailable(format!("/proc/self/mem: {}", process::reason(&e))))?;
    let write = |span: Span| {
        memory.write_at(&FILL, span.at as u64).map(|n| n as u64).map_err(|e| process::reason(&e))
    };
    if (setting.delivery, setting.memory) != (Delivery::Mprotect, Memory::Anonymous) {
        return into_armed(setting, Refusal { errno: "EIO", can_wait: false }, write);
    }
    let watch = Watch::new(setting, 1, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..1)?;
    facts.note("the call", outcome(&write(Span { len: FILL.len(), ..watch.memory.span(0..1) })));
    facts.check("noticed", watch.noticed(0)?, 0);
    facts.check("still armed", watch.is_armed(0)?, true);
    Ok(facts)
}

/// A pin for good, as of a device that will write.
pub static PIN: Question = Question {
    name: "pin-armed",
    asks: "What does taking a long-term pin for writing (an io_uring buffer) of an armed page do?",
    source: "mm/gup.c, pin_user_pages with FOLL_WRITE and FOLL_LONGTERM: taking the pin is the write that faults",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected,
    ask: |setting| {
        let file = filled()?;
        pins::ring()?;
        into_armed(setting, EFAULT, |span| {
            let ring = Ring::new()?;
            ring.pin(span)?;
            ring.read(&file, span)
        })
    },
};

/// A file of the fill.
pub fn filled() -> Result<File, Trouble> {
    let file = File::from(memory_file(0).doing("making a memory file")?);
    file.write_all_at(&FILL, 0).map_err(|e| process::reason(&e)).doing("filling it")?;
    Ok(file)
}

/// What is written.
pub const FILL: [u8; 64] = [0x5a; 64];

/// How a call that writes to an armed page is refused.
#[derive(Copy, Clone)]
struct Refusal {
    errno: &'static str,
    /// Rather than being refused it waits, where there is somebody to wait for.
    can_wait: bool,
}

const EFAULT: Refusal = Refusal { errno: "EFAULT", can_wait: true };

/// Has the kernel write the fill into an armed page.
fn into_armed(
    setting: Setting,
    refusal: Refusal,
    write: impl Fn(Span) -> Answer<u64> + Sync,
) -> Result<Facts, Trouble> {
    let mut watch = Watch::new(setting, 2, Wish { kernel_writes: true, ..Wish::default() })?;
    let mut facts = Facts::new();
    watch.arm(0..1)?;
    let span = Span { len: FILL.len(), ..watch.memory.span(0..1) };
    if setting.delivery == Delivery::Monitor && refusal.can_wait {
        let only_user = watch.uffd.as_ref().is_some_and(|uffd| uffd.door() == Door::SystemCallUserOnly);
        let (waited, answer) = while_unanswered(&mut watch, || write(span))?;
        facts.check("it waits", waited, !only_user);
        if only_user {
            facts.expect_instead(USER_MODE_ONLY);
            facts.check("the call", outcome(&answer), refusal.errno.into());
        } else {
            written(&mut facts, &watch, &answer)?;
        }
        return Ok(facts);
    }
    let answer = write(span);
    if setting.delivery == Delivery::Async {
        written(&mut facts, &watch, &answer)?;
    } else {
        facts.check("the call", outcome(&answer), refusal.errno.into());
        facts.check("notified", watch.noticed(0)?, 0);
        facts.check("still armed", watch.is_armed(0)?, true);
        facts.check("page changed", watch.memory.load(0) != 0, false);
        watch.open(0..1)?;
        facts.check("once opened", outcome(&write(span)), "ok".into());
    }
    Ok(facts)
}

fn written(facts: &mut Facts, watch: &Watch, answer: &Answer<u64>) -> Result<(), Trouble> {
    facts.check("the call", outcome(answer), "ok".into());
    facts.check("noticed", watch.noticed(0)?, 1);
    facts.check("all arrived", watch.memory.load(0) == u64::from_ne_bytes([0x5a; 8]), true);
    Ok(())
}

/// Runs `call` while nobody answers, and starts answering when it waits for that. Says whether it did.
fn while_unanswered<T: Send>(watch: &mut Watch, call: impl Fn() -> T + Sync) -> Result<(bool, T), Trouble> {
    watch.stop_monitor()?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let result = call();
            done.store(true, Ordering::Release);
            result
        });
        // A message is there exactly while a thread waits for its answer.
        let waits = watch
            .uffd
            .as_ref()
            .is_some_and(|uffd| process::readable([uffd.as_raw_fd()], Duration::from_millis(500)).is_some());
        // What does not wait now does not wait in a while either: room for a call that is only slow.
        std::thread::sleep(Duration::from_millis(20));
        let waited = waits && !done.load(Ordering::Acquire);
        watch.start_monitor()?;
        let result = caller.join().map_err(|_| Trouble::NotAvailable("the calling thread died".into()))?;
        Ok((waited, result))
    })
}
