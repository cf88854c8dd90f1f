//! The models: each is a protocol's code with a few threads, and what must hold in every schedule.

use crate::explore::Model;

mod epoch;
mod handshake;
mod lock;
mod rounds;
mod snapshot;

/// All of them, the longest first.
pub const ALL: &[Model] = &[
    handshake::STEPS,
    handshake::COMING_BACK,
    snapshot::PREIMAGE,
    snapshot::END,
    snapshot::LATE,
    snapshot::EXHAUSTED,
    snapshot::BULK,
    rounds::ROUND,
    rounds::PIN,
    crate::barrier::dirty_model::DIRTY,
    epoch::EPOCH,
    lock::LOCK,
    lock::BELL,
    handshake::HANDSHAKE,
    handshake::STAYING_OUT,
    crate::worker::record_model::RECORD,
    crate::worker::record_model::DEATH,
];

/// A thread of the checker.
pub struct Thread(crate::sync::thread::JoinHandle<()>);

/// Starts one.
pub fn spawn(f: impl FnOnce() + Send + 'static) -> Thread {
    Thread(crate::sync::thread::spawn(f))
}

impl Thread {
    pub fn join(self) {
        self.0.join().unwrap();
    }
}

/// Waits for all of them.
pub fn join_all<const N: usize>(threads: [Thread; N]) {
    threads.into_iter().for_each(Thread::join);
}
