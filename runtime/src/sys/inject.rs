//! Makes system calls fail on purpose.
//!
//! Every system call of the project asks [`check`] first, with its [`Call`]; those that cannot fail, or whose failure means
//! nothing, are listed with the reason in `runtime/tests/seam.rs`, which holds the sources to that. A test arms a call with an
//! error and a number of calls to let through; the next after those fails with that error, once or always. The switches are
//! process-wide, so such a test needs a process of its own. Without the `fault-injection` feature [`check`] is empty.
//!
//! # Processes
//!
//! The same call is made in several processes: the program, its workers, children that the host forks. Each counts for itself
//! ([`Role`]). As a rule a worker has the switches as they were at its fork, and what it counts is gone with it; after
//! `share` all processes have the same ones, so that the program learns what failed in a worker.

macro_rules! calls {
    ($($(#[doc = $doc:literal])* $call:ident,)*) => {
        /// The kinds of system call that can be made to fail.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        #[repr(usize)]
        pub enum Call {
            $($(#[doc = $doc])* $call,)*
        }

        impl Call {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$call),*];

            /// What it does, in words.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$call => concat!($($doc),*),)*
                }
            }
        }
    };
}

calls! {
    /// Creating a memory file.
    Memfd,
    /// Giving a memory file its size.
    MemfdSize,
    /// Sealing a memory file.
    MemfdSeal,
    /// Moving a descriptor away from the standard ones.
    KeepClear,
    /// Mapping memory.
    Map,
    /// Keeping memory out of forks.
    DontFork,
    /// Letting a child inherit memory.
    DoFork,
    /// Dropping private memory.
    Discard,
    /// Punching a hole into a memory file.
    PunchHole,
    /// Populating pages ahead of use.
    Populate,
    /// Asking for huge pages.
    HugePages,
    /// Asking which pages are populated.
    Resident,
    /// Asking how much of a memory file is populated.
    FileStatus,
    /// Reading a file of `/proc` or `/sys`.
    ReadFile,
    /// Opening a userfaultfd.
    UffdOpen,
    /// Agreeing on features of a userfaultfd.
    UffdHandshake,
    /// Registering the heap with a userfaultfd.
    UffdRegister,
    /// Ending the work of a userfaultfd.
    UffdUnregister,
    /// Replacing the descriptor of a userfaultfd.
    UffdAbandon,
    /// Write-protecting pages by a userfaultfd.
    UffdArm,
    /// Removing that protection.
    UffdOpenPages,
    /// Reading an event of a userfaultfd.
    UffdRead,
    /// Waking a thread that waits for an event's answer.
    UffdWake,
    /// Taking away the permission to write with `mprotect`.
    Protect,
    /// Giving back the permission to write.
    ProtectOpen,
    /// Opening the page tables for scans.
    PagemapOpen,
    /// Scanning the page tables.
    Scan,
    /// Making an eventfd.
    Event,
    /// Raising an eventfd.
    EventRaise,
    /// Taking back an eventfd.
    EventTake,
    /// Waiting for descriptors.
    Poll,
    /// Waiting on a futex.
    FutexWait,
    /// Asking who handles faults.
    HandlerLook,
    /// Installing a handler of faults.
    Handler,
    /// Registering for the host's forks.
    AtFork,
    /// Starting a thread.
    Thread,
    /// Asking whether a thread is there.
    ThreadExists,
    /// Asking where a thread's stack is.
    StackBounds,
    /// Asking for the processor.
    Processor,
    /// Changing a priority.
    Priority,
    /// Forking the worker.
    Fork,
    /// Waiting for a worker that has ended.
    Wait,
    /// Killing a worker.
    Kill,
    /// Forking a further worker.
    ForkSibling,
    /// Looking for a further worker.
    AdoptLook,
    /// Opening a descriptor of a further worker.
    Adopt,
    /// Asking for a signal at the parent's death.
    DeathSignal,
    /// Closing the descriptors of the host.
    CloseRange,
    /// Mapping the heap and its tables.
    WorkerMap,
    /// Copying a memory file for a child.
    CopyFile,
    /// Mapping the copy of a memory file.
    PutCopy,
    /// Replacing a descriptor.
    PutInPlace,
    /// Reserving the place of a heap that is not copied.
    Reserve,
}

/// In which process a call is made.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
pub enum Role {
    /// The program's own.
    Program,
    /// The first worker of a cycle.
    Leader,
    /// A further one.
    Sibling,
    /// A child that the host forked.
    Child,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Program, Self::Leader, Self::Sibling, Self::Child];
}

#[cfg(feature = "fault-injection")]
mod switches {
    use super::{Call, Role};
    use crate::sys::Errno;
    use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

    /// What is known, and wanted, of one kind of call in one role.
    struct Switch {
        let_through: AtomicI64,
        failures: AtomicI64,
        errno: AtomicI32,
        made: AtomicU64,
        dealt: AtomicU64,
    }

    impl Switch {
        const fn new() -> Self {
            Self {
                let_through: AtomicI64::new(0),
                failures: AtomicI64::new(0),
                errno: AtomicI32::new(0),
                made: AtomicU64::new(0),
                dealt: AtomicU64::new(0),
            }
        }

        fn arm(&self, after: u32, times: u32, errno: Errno) {
            self.failures.store(0, Relaxed);
            self.dealt.store(0, Relaxed);
            self.errno.store(errno.raw_os_error(), Relaxed);
            self.let_through.store(after.into(), Relaxed);
            self.failures.store(times.into(), Relaxed);
        }
    }

    type Switches = [[Switch; Call::ALL.len()]; Role::ALL.len()];

    static OWN: Switches = [const { [const { Switch::new() }; Call::ALL.len()] }; Role::ALL.len()];
    /// Those that are used instead, once they are shared.
    static SHARED: AtomicPtr<Switches> = AtomicPtr::new(std::ptr::null_mut());
    /// The role of this process.
    static ROLE: AtomicUsize = AtomicUsize::new(Role::Program as usize);

    fn switches() -> &'static Switches {
        // SAFETY: null, or memory that `share` mapped for good. Relaxed: it was zero when it was mapped, and all of it is atomic.
        unsafe { SHARED.load(Relaxed).as_ref() }.unwrap_or(&OWN)
    }

    fn of(role: Role, call: Call) -> &'static Switch {
        &switches()[role as usize][call as usize]
    }

    /// From now on this process and those that are forked have the same switches, which begin anew.
    ///
    /// # Errors
    /// Where there is no memory for them.
    pub fn share() -> Result<(), Errno> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let may = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: new memory, where the kernel likes; all-zero are switches that let everything through.
        let at =
            unsafe { mmap_anonymous(std::ptr::null_mut(), size_of::<Switches>(), may, MapFlags::SHARED)? };
        SHARED.store(at.cast(), Relaxed);
        Ok(())
    }

    /// From now on this process has this role. Async-signal-safe.
    pub fn become_one(role: Role) {
        ROLE.store(role as usize, Relaxed);
    }

    /// Lets `after` calls of this kind through, then makes `times` of them fail with `errno`: in each role.
    pub fn arm(call: Call, after: u32, times: u32, errno: Errno) {
        Role::ALL.iter().for_each(|role| arm_in(*role, call, after, times, errno));
    }

    /// The same, in processes of one role.
    pub fn arm_in(role: Role, call: Call, after: u32, times: u32, errno: Errno) {
        of(role, call).arm(after, times, errno);
    }

    /// How many calls of this kind have been made to fail since it was armed, as far as this process knows.
    pub fn failed(call: Call) -> u64 {
        Role::ALL.iter().map(|role| of(*role, call).dealt.load(Relaxed)).sum()
    }

    /// How many calls of this kind have been made in this role, as far as this process knows.
    pub fn made(role: Role, call: Call) -> u64 {
        of(role, call).made.load(Relaxed)
    }

    /// Ends all failures.
    pub fn disarm() {
        switches().iter().flatten().for_each(|switch| switch.failures.store(0, Relaxed));
    }

    /// Whether this call is to fail. Async-signal-safe.
    #[inline]
    pub fn check(call: Call) -> Result<(), Errno> {
        let switch = &switches()[ROLE.load(Relaxed)][call as usize];
        switch.made.fetch_add(1, Relaxed);
        if switch.failures.load(Relaxed) <= 0
            || switch.let_through.fetch_sub(1, Relaxed) > 0
            || switch.failures.fetch_sub(1, Relaxed) <= 0
        {
            return Ok(());
        }
        switch.dealt.fetch_add(1, Relaxed);
        Err(Errno::from_raw_os_error(switch.errno.load(Relaxed)))
    }
}

#[cfg(feature = "fault-injection")]
pub use switches::{arm, arm_in, become_one, check, disarm, failed, made, share};

/// Whether this call is to fail: never, in this build. Async-signal-safe.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn check(_: Call) -> Result<(), super::Errno> {
    Ok(())
}

/// From now on this process has this role, which means nothing in this build. Async-signal-safe.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn become_one(_: Role) {}
